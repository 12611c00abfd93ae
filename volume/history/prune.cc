#include "volume/history/prune.h"

#include <algorithm>

#include "base/logging.h"
#include "log/write/writer.h"
#include "volume/history/base_image.h"
#include "volume/history/sweep.h"

namespace tidemark {
namespace {

constexpr size_t kMarksShown = 1000;
constexpr size_t kMarksAtOnce = 1000;
constexpr int64_t kNsPerSecond = 1'000'000'000;

// Calls visit(mark) for every mark there is.
template <class Visit>
Status each_mark(TreeState& state, Visit&& visit) {
  MarkId after{0};
  for (;;) {
    TM_ASSIGN(const auto marks, state.marks(after, kMarksAtOnce));
    for (const Mark& mark : marks) visit(mark);
    if (marks.size() < kMarksAtOnce) return Status();
    after = marks.back().id;
  }
}

}  // namespace

Pruner::Pruner(std::string directory, FileSystem& files, Clock& clock, GroupCore& core, Committer& committer)
    : directory_(std::move(directory)), files_(files), clock_(clock), core_(core), committer_(committer) {
  (void)clock_.wall_ns();  // what it is held against later
}

Pruner::~Pruner() { stop(); }

void Pruner::stop() {
  stop_ = true;
  MutexLock lock(mutex_);
  if (finisher_.joinable()) finisher_.join();
}

void Pruner::finish_earlier() {
  const Seq base = core_.log->base();
  if (base == Seq()) return;
  auto header = read_base_header(files_, directory_, base);
  if (!header.ok()) return log_warning(header.status().text());
  const BaseRule rule{base, header->tombstones_from};
  auto done = swept(core_.state->index());
  const bool clean = done.ok() && *done == rule;
  if (clean && core_.log->floor().held_from == Seq()) return;
  finisher_ = std::thread([this, rule] {
    PruneReport report;
    Status finished = retire_rest(0, report);
    if (!finished.ok() && finished.code() != Code::kInterrupted)
      log_warning("cannot finish an earlier prune: " + finished.text());
    finished = sweep(core_.state->index(), rule, stop_).status();
    if (!finished.ok() && finished.code() != Code::kInterrupted) log_warning(finished.text());
  });
}

Status Pruner::without_pruning(const std::function<Status()>& job) {
  MutexLock lock(mutex_);
  if (stop_) return Status(Code::kInterrupted, directory_ + " is being closed");
  if (finisher_.joinable()) finisher_.join();
  return job();
}

Result<PruneReport> Pruner::prune(const PruneRequest& request) {
  MutexLock lock(mutex_);
  if (stop_) return Status(Code::kInterrupted, directory_ + " is being closed");
  if (finisher_.joinable()) finisher_.join();
  TM_ASSIGN(PruneReport report, plan(request));
  if (request.dry_run) return report;
  if (report.base == report.base_before) {
    TM_TRY(retire_rest(request.bytes_per_second, report));
    return report;
  }
  if (Status done = carry_out(request, report); !done.ok()) {
    if (core_.log->base() != report.base) back_out(report.base_before);
    return done;
  }
  return report;
}

// What is needed of the present, and what stands in the way. Ages are looked up before the commit lock is taken.
Result<RetentionState> Pruner::look(const PruneRequest& request) {
  RetentionState state;
  state.base = std::max(core_.log->base(), Seq(committer_.newest() == Seq(0) ? 0 : 1));
  state.to = request.to;
  if (request.policy.age.count() > 0) {
    TM_ASSIGN(state.at_age, core_.log->seq_at_time(clock_.wall_ns() - request.policy.age.count() * kNsPerSecond));
  }
  state.segments = core_.log->segments();
  state.gaps = core_.log->gaps();
  state.limits = request.keep;
  // What is appended may not be in the index yet, where the disk was full in between.
  state.limits.push_back({std::min(core_.log->durable(), committer_.newest()), "what is durable"});
  return state;
}

// From the moment a base is decided on, nobody may begin to rely on anything below it: marks are held under the commit lock, and
// views enter through the ledger.
Result<PruneReport> Pruner::plan(const PruneRequest& request) {
  TM_ASSIGN(RetentionState state, look(request));
  MutexLock commit(committer_.mutex);
  TM_TRY(each_mark(*core_.state, [&](const Mark& mark) {
    if (mark.held && mark.seq >= state.base) state.limits.push_back({mark.seq, "the held mark '" + mark.name + "'"});
  }));
  if (const auto oldest = core_.views.oldest(ViewKind::kCopy); oldest && !request.without_copies) {
    state.limits.push_back({*oldest, "the difference that a site is being sent"});
  }
  if (const auto oldest = core_.views.oldest(ViewKind::kHolds)) {
    state.limits.push_back({*oldest, "a view of seq:" + std::to_string(oldest->value()) + " that is open"});
  }
  const BasePlan planned = plan_base(request.policy, state);
  PruneReport report;
  report.base_before = state.base;
  report.base = planned.base;
  report.wanted = planned.wanted;
  report.stopped_by = planned.stopped_by;
  report.segments = planned.segments;
  report.segment_bytes = planned.segment_bytes;
  report.log_bytes = core_.log->bytes();
  report.pack_bytes = core_.log->pack_bytes();
  TM_TRY(add_marks(report));
  if (request.dry_run || report.base == report.base_before) return report;
  if (core_.views.raise(report.base)) return report;
  return Status(Code::kBusy,
                "a view of a point below seq:" + std::to_string(report.base.value()) + " was just opened; try again");
}

Status Pruner::add_marks(PruneReport& report) {
  return each_mark(*core_.state, [&](const Mark& mark) {
    const bool goes = mark.seq >= report.base_before && mark.seq < report.base;
    if (goes && report.marks.size() < kMarksShown) report.marks.push_back(mark);
  });
}

Result<BaseRule> Pruner::make_image(const PruneRequest& request, Seq base) {
  BaseHeader before;
  if (const Seq old = core_.log->base(); old != Seq()) {
    TM_ASSIGN(before, read_base_header(files_, directory_, old));
  }
  const BaseRule rule{base, std::max(std::min(request.tombstones_from, base), before.tombstones_from)};
  TM_TRY(write_image(rule, before));
  return rule;
}

// The index on disk reaches the base, and beyond it nothing that the base image holds can be lost any more.
Status Pruner::write_image(const BaseRule& rule, const BaseHeader& before) {
  LogWriter& log = core_.log_writer();
  TM_TRY(log.sync(kLatest));
  TM_TRY(core_.state->flush());
  BaseImageOrder order;
  order.rule = rule;
  order.before = before;
  TM_ASSIGN(order.base, log.position_at(rule.base));
  TM_ASSIGN(order.time_ns, log.time_of(rule.base));
  order.group = log.group();
  order.stop = &stop_;
  TM_TRY(write_base_image(files_, directory_, core_.state->index(), order).status());
  return log.sync(kLatest);  // marks may have been held meanwhile, and the image knows
}

Status Pruner::rewrite_image() {
  MutexLock lock(mutex_);
  if (stop_) return Status(Code::kInterrupted, directory_ + " is being closed");
  if (finisher_.joinable()) finisher_.join();
  const Seq base = core_.log->base();
  if (base == Seq()) return Status(Code::kInvalid, directory_ + " was never pruned: there is no base image");
  TM_ASSIGN(const BaseRule rule, swept(core_.state->index()));
  if (rule.base != base) return Status(Code::kBusy, "an earlier prune of " + directory_ + " has not been finished yet");
  // Without the old header the counters begin behind what the rows have: numbers that went before the base may come again.
  const auto before = read_base_header(files_, directory_, base);
  return write_image(rule, before.ok() ? *before : BaseHeader());
}

Status Pruner::carry_out(const PruneRequest& request, PruneReport& report) {
  TM_ASSIGN(const BaseRule rule, make_image(request, report.base));
  RetireOrder order;
  order.base = report.base;
  order.copy_ends = request.copy_ends;
  order.bytes_per_second = request.bytes_per_second;
  order.stop = &stop_;
  order.live = [&](uint64_t from, uint64_t end) { return find_needed_records(core_.state->index(), rule, from, end); };
  auto done_there = core_.log_writer().retire(order);
  if (!done_there.ok() && core_.log->base() == report.base) tidy_after(rule, report);  // it came a part of the way
  TM_ASSIGN(const RetireReport retired, std::move(done_there));
  report.segments = retired.segments;
  report.segment_bytes = retired.segment_bytes;
  report.log_bytes = core_.log->bytes();
  report.pack_bytes = core_.log->pack_bytes();
  tidy_after(rule, report);
  return Status();
}

// The base has moved. What fails from here on is made up for by the next prune, or the next open.
void Pruner::tidy_after(const BaseRule& rule, PruneReport& report) {
  if (Status tidied = tidy_base_images(files_, directory_, *core_.log); !tidied.ok()) log_warning(tidied.text());
  auto done = sweep(core_.state->index(), rule, stop_);
  if (!done.ok() && done.status().code() != Code::kInterrupted) log_warning(done.status().text());
  if (done.ok()) report.rows_removed = done->rows_removed;
}

// Segments below the base that an earlier prune did not come to, on a disk that was too full.
Status Pruner::retire_rest(uint64_t bytes_per_second, PruneReport& report) {
  const Floor floor = core_.log->floor();
  if (floor.held_from == Seq()) return Status();
  TM_ASSIGN(const BaseHeader header, read_base_header(files_, directory_, floor.base.seq));
  const BaseRule rule{floor.base.seq, header.tombstones_from};
  RetireOrder order;
  order.base = rule.base;
  for (const Position& position : floor.known) order.copy_ends.emplace_back(position.seq, position.seq);
  order.bytes_per_second = bytes_per_second;
  order.stop = &stop_;
  order.live = [&](uint64_t from, uint64_t end) { return find_needed_records(core_.state->index(), rule, from, end); };
  TM_ASSIGN(const RetireReport retired, core_.log_writer().retire(order));
  report.segments = retired.segments;
  report.segment_bytes = retired.segment_bytes;
  report.log_bytes = core_.log->bytes();
  report.pack_bytes = core_.log->pack_bytes();
  return Status();
}

// Unless the disk has the new floor all the same, what was made for it is of no use.
void Pruner::back_out(Seq base_before) {
  const auto floor = read_floor(files_, log_directory(directory_));
  if (!floor.ok() || floor->base.seq != core_.log->base()) return;
  core_.views.lower(base_before);
  if (Status tidied = tidy_base_images(files_, directory_, *core_.log); !tidied.ok()) log_warning(tidied.text());
}

}  // namespace tidemark
