#include "volume/check/scrub.h"

#include <algorithm>
#include <deque>
#include <thread>

#include "base/logging.h"
#include "base/mutex.h"
#include "base/priority.h"

namespace tidemark {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kBurstNs = 100'000'000;    // so much may be read at once after a pause
constexpr int64_t kWaitLeastNs = 5'000'000;  // shorter waits are saved up
constexpr std::chrono::nanoseconds kLookMax = std::chrono::seconds(15);
constexpr size_t kPlacesTold = 5;  // in the log, of one part

std::string place_text(const LogDamage& each) {
  std::string text = each.segment + ", byte " + std::to_string(each.offset);
  if (each.seq != Seq()) text += ", record " + std::to_string(each.seq.value());
  return text + ": " + std::string(record_fault_name(each.fault));
}

}  // namespace

ScrubPace::ScrubPace(Clock& clock, uint64_t bytes_per_second, Wait wait)
    : clock_(clock), bytes_per_second_(std::max<uint64_t>(1, bytes_per_second)), wait_(std::move(wait)) {}

Status ScrubPace::spent(uint64_t bytes) {
  const int64_t now = clock_.steady_ns();
  const auto cost = static_cast<int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(bytes_per_second_));
  free_ns_ = std::max(free_ns_, now - kBurstNs) + cost;
  return wait_(std::chrono::nanoseconds(free_ns_ - now > kWaitLeastNs ? free_ns_ - now : 0));
}

GroupScrub::GroupScrub(Group& group, const ScrubOptions& options)
    : group_(group), options_(options), clock_(*options.clock) {
  auto loaded = load_scrub_state(group.directory(), *options.files);
  if (loaded.ok()) state_ = std::move(*loaded);
  if (!loaded.ok()) log_warning(loaded.status().text() + "; scrubbing starts over");
  saved_ = state_;
  state_.every_s = group.scrub_every().count();
  if (state_.known_ns == 0) state_.known_ns = clock_.wall_ns();
  // A log that has no digest yet is of an earlier version: what it holds is read soon enough.
  const Seq digested = group.log().newest_digest();
  const auto segments = group.log().segments();
  const bool early = digested == Seq() && !segments.empty();
  digest_from_ = early ? segments.back().first_seq : digested.next();
  const Floor floor = group.log().floor();
  for (const PackInfo& pack : floor.packs) {
    if (early) digest_packs_above_ = std::max(digest_packs_above_, pack.made_for);
  }
  save_now_and_then(true);
}

Result<bool> GroupScrub::digest_one(ScrubPace& pace) {
  const auto part = group_.log().undigested([this](const LogPart& each) {
    if (!each.pack) return each.segment >= digest_from_;
    return each.pack->made_for > digest_packs_above_ && !tried_.contains(part_name(each));
  });
  if (!part) return false;
  // One that is damaged is for the pass.
  if (part->pack) tried_.insert(part_name(*part));
  if (!part->pack) digest_from_ = part->segment.next();
  TM_TRY(look_at(*part, group_.log().durable(), false, [&pace](uint64_t) { return pace.go_on(); }));
  return true;
}

Result<std::chrono::nanoseconds> GroupScrub::step(ScrubPace& pace) {
  TM_ASSIGN(const bool digested, digest_one(pace));
  if (digested) return std::chrono::nanoseconds(0);
  if (group_.scrub_every().count() == 0) return kLookMax;
  if (!state_.running) {
    const int64_t every = group_.scrub_every().count() * kSecondNs;
    const int64_t left = std::max(state_.known_ns, state_.began_ns) + every - clock_.wall_ns();
    // One wait is never longer than a period, wherever the wall clock has been put.
    if (left > 0 && left <= every && state_.damaged.empty()) return std::min(std::chrono::nanoseconds(left), kLookMax);
    if (left > 0 && left <= every) {
      const std::chrono::nanoseconds until(retry_.empty() ? retry_ns_ - clock_.steady_ns() : 0);
      if (until.count() > 0) return std::min({until, std::chrono::nanoseconds(left), kLookMax});
      TM_TRY(retry_one(pace));
      return std::chrono::nanoseconds(0);
    }
    begin_pass();
  }
  const auto part = next_part();
  if (!part) {
    end_pass();
    return std::chrono::nanoseconds(0);
  }
  uint64_t read = 0;
  const Status looked = look_at(*part, state_.to, true, [&](uint64_t bytes) {
    read += bytes;
    return pace.spent(bytes);
  });
  state_.bytes_done += read;
  TM_TRY(looked);
  state_.next = (part->pack ? part->pack->first : part->segment).next();
  save_now_and_then(false);
  return std::chrono::nanoseconds(0);
}

void GroupScrub::begin_pass() {
  state_.running = true;
  state_.began_ns = clock_.wall_ns();
  state_.to = group_.log().durable();
  state_.packs = false;
  state_.next = Seq();
  state_.bytes_done = 0;
  state_.bytes_total = group_.log().bytes() + group_.log().pack_bytes();
  save_now_and_then(true);
}

void GroupScrub::end_pass() {
  state_.running = false;
  state_.ended_ns = clock_.wall_ns();
  // What was pruned meanwhile is damaged no more.
  std::erase_if(state_.damaged, [&](const ScrubDamage& each) { return !part_named(each.file).has_value(); });
  log_info(group_.directory() + ": scrubbed, " + std::to_string(state_.bytes_done >> 20) + " MiB; " +
           std::to_string(state_.damaged.size()) + " damaged places are left");
  save_now_and_then(true);
}

std::optional<LogPart> GroupScrub::next_part() {
  if (!state_.packs) {
    for (const SegmentInfo& segment : group_.log().segments()) {
      if (segment.first_seq >= state_.next && segment.first_seq <= state_.to)
        return LogPart{segment.first_seq, std::nullopt};
    }
    state_.packs = true;  // what was moved from a segment meanwhile is in one
    state_.next = Seq();
  }
  const Floor floor = group_.log().floor();
  for (const PackInfo& pack : floor.packs) {
    if (pack.first >= state_.next) return LogPart{Seq(), pack};
  }
  return std::nullopt;
}

std::optional<LogPart> GroupScrub::part_named(const std::string& file) const {
  for (const SegmentInfo& segment : group_.log().segments()) {
    LogPart part{segment.first_seq, std::nullopt};
    if (part_name(part) == file) return part;
  }
  const Floor floor = group_.log().floor();
  for (const PackInfo& pack : floor.packs) {
    LogPart part{Seq(), pack};
    if (part_name(part) == file) return part;
  }
  return std::nullopt;
}

Status GroupScrub::look_at(const LogPart& part, Seq last, bool from_disk, const Wait& wait) {
  Log& log = group_.log();
  auto found = log.check(part, last, from_disk, wait);
  const std::string file = part_name(part);
  if (found.status().code() == Code::kNotFound) return forget(file), Status();
  // The disk itself says that it has lost something: nothing can be put right there, and the others are to be read all the same.
  if (found.status().code() == Code::kIo) {
    log_error(group_.directory() + ": scrubbing: " + found.status().text());
    const LogDamage whole{file, 0, part.segment, Ino(), RecordFault::kPayloadDamaged};
    note(file, {whole}, {whole});
    return Status();
  }
  TM_TRY(found.status());
  auto left = *found;
  if (!found->empty() && log.mend_part(part).ok()) {
    auto again = log.check(part, last, from_disk, wait);
    if (again.status().code() == Code::kNotFound) return forget(file), Status();
    TM_TRY(again.status());
    left = std::move(*again);
  }
  note(file, *found, left);
  return Status();
}

// Files with damage that could not be put right, one a step, then a pause.
Status GroupScrub::retry_one(ScrubPace& pace) {
  if (retry_.empty()) {
    for (const ScrubDamage& each : state_.damaged) retry_.insert(each.file);
  }
  const std::string file = *retry_.begin();
  retry_.erase(retry_.begin());
  if (retry_.empty()) retry_ns_ = clock_.steady_ns() + options_.retry_every.count();
  const auto part = part_named(file);
  const auto wait = [&pace](uint64_t bytes) { return pace.spent(bytes); };
  if (part) return look_at(*part, group_.log().durable(), true, wait);
  forget(file);
  return Status();
}

void GroupScrub::forget(const std::string& file) {
  std::erase_if(state_.damaged, [&](const ScrubDamage& each) { return each.file == file; });
}

// What is known of a file's damage is replaced by what was found now.
void GroupScrub::note(const std::string& file, const std::vector<LogDamage>& found, const std::vector<LogDamage>& left) {
  const auto is_among = [](const auto& places, uint64_t at) {
    return std::any_of(places.begin(), places.end(), [&](const LogDamage& each) { return each.offset == at; });
  };
  std::set<uint64_t> before;
  uint64_t healed = 0;
  for (const ScrubDamage& each : state_.damaged) {
    if (each.file != file) continue;
    before.insert(each.at);
    healed += !is_among(found, each.at);  // somebody who read it has had it put right
  }
  size_t told = 0;
  for (const LogDamage& each : found) {
    healed += !is_among(left, each.offset);
    if (before.contains(each.offset)) continue;
    ++state_.found;
    if (told++ < kPlacesTold) log_error(group_.directory() + ": scrubbing found damage: " + place_text(each));
  }
  if (found.empty() && before.empty()) return;
  state_.healed += healed;
  forget(file);
  for (const LogDamage& each : left) {
    if (state_.damaged.size() == kScrubDamageMax) break;
    state_.damaged.push_back({file, each.offset, each.seq});
  }
  if (!left.empty() && retry_ns_ == 0) retry_ns_ = clock_.steady_ns() + options_.retry_every.count();
  save_now_and_then(true);
}

void GroupScrub::save_now_and_then(bool now) {
  if (!now && clock_.steady_ns() - saved_ns_ < options_.save_every.count()) return;
  const Status saved = save();
  const std::string text = saved.ok() ? "" : saved.text();
  if (!saved.ok() && text != told_) log_warning("cannot save the progress of scrubbing: " + text);
  told_ = text;
}

Status GroupScrub::save() {
  saved_ns_ = clock_.steady_ns();
  if (state_ == saved_) return Status();
  TM_TRY(save_scrub_state(group_.directory(), state_, *options_.files));
  saved_ = state_;
  return Status();
}

namespace {

class ScrubThread final : public Scrubber {
 public:
  explicit ScrubThread(const ScrubOptions& options)
      : options_(options),
        pace_(*options.clock, options.bytes_per_second, [this](std::chrono::nanoseconds time) { return wait(time); }),
        thread_([this] { run(); }) {}
  ~ScrubThread() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

  void add(Group& group) override {
    MutexLock lock(mutex_);
    arrived_.push_back(&group);
    changed_.notify_all();
  }

 private:
  struct Turn {
    std::unique_ptr<GroupScrub> scrub;
    int64_t due_ns = 0;  // steady
    std::string told;    // the failure that was logged last
  };

  // kInterrupted: it is being stopped. Returns early where a group has come.
  Status wait(std::chrono::nanoseconds time, bool for_groups = false) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    MutexLock lock(mutex_);
    while (!stopping_ && !(for_groups && !arrived_.empty())) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= left.zero()) return Status();
      (void)changed_.wait_for(mutex_, left);
    }
    return stopping_ ? Status(Code::kInterrupted, "scrubbing is being stopped") : Status();
  }

  void take_arrived() {
    std::deque<Group*> arrived;
    {
      MutexLock lock(mutex_);
      arrived.swap(arrived_);
    }
    for (Group* group : arrived) turns_.push_back({std::make_unique<GroupScrub>(*group, options_), 0, ""});
  }

  // The next time anything is due.
  int64_t take_turns() {
    int64_t next_ns = options_.clock->steady_ns() + kLookMax.count();
    for (Turn& turn : turns_) {
      if (turn.due_ns <= options_.clock->steady_ns()) {
        const auto rest = turn.scrub->step(pace_);
        if (rest.status().code() == Code::kInterrupted) return 0;
        if (!rest.ok() && std::exchange(turn.told, rest.status().text()) != turn.told) {
          log_warning("scrubbing is paused: " + turn.told);
        }
        turn.due_ns = options_.clock->steady_ns() + (rest.ok() ? *rest : kLookMax).count();
      }
      next_ns = std::min(next_ns, turn.due_ns);
    }
    return next_ns;
  }

  void run() {
    lower_own_priority();
    for (;;) {
      take_arrived();
      const int64_t next_ns = take_turns();
      const std::chrono::nanoseconds rest(std::max<int64_t>(0, next_ns - options_.clock->steady_ns()));
      if (!wait(rest, true).ok()) break;
    }
    for (Turn& turn : turns_) {
      if (Status saved = turn.scrub->save(); !saved.ok()) log_warning(saved.text());
    }
  }

  const ScrubOptions options_;
  ScrubPace pace_;  // of the thread, as is the next
  std::vector<Turn> turns_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Group*> arrived_ TM_GUARDED_BY(mutex_);
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses what stands above
};

}  // namespace

std::unique_ptr<Scrubber> Scrubber::start(const ScrubOptions& options) { return std::make_unique<ScrubThread>(options); }

}  // namespace tidemark
