// The half of the log writer that lets old segments go.
#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <thread>

#include "base/logging.h"
#include "log/format/record_walker.h"
#include "log/read/cursor.h"
#include "log/write/adopt.h"
#include "log/write/likeliest.h"
#include "log/write/writer.h"

namespace tidemark {
namespace {

// Of what an adopted segment holds so much has to be needed that another look at it is not worth its while.
constexpr uint64_t kWellUsed = 3;                  // of 4
constexpr uint64_t kPaceStep = uint64_t{1} << 20;  // bytes between two looks at the clock

// Sleeps where more was copied than the time since the start allows.
class Pace {
 public:
  explicit Pace(uint64_t bytes_per_second) : rate_(bytes_per_second), start_(std::chrono::steady_clock::now()) {}
  void spend(uint64_t bytes) {
    done_ += bytes;
    if (rate_ == 0 || done_ < next_look_) return;
    next_look_ = done_ + kPaceStep;
    const auto due = std::chrono::duration<double>(static_cast<double>(done_) / static_cast<double>(rate_));
    std::this_thread::sleep_until(start_ + std::chrono::duration_cast<std::chrono::steady_clock::duration>(due));
  }

 private:
  const uint64_t rate_;
  const std::chrono::steady_clock::time_point start_;
  uint64_t done_ = 0;
  uint64_t next_look_ = kPaceStep;
};

}  // namespace

// Sorts parts into packs: keeps, merges, rewrites. What it knows of needed records is good for every step of one order.
class Repacker {
 public:
  using Part = RetirePart;

  Repacker(Log& log, PackSet& packs, FileSystem& files, const std::string& directory, const RetireOrder& order,
           Seq end_segment, uint64_t pack_bytes, RetireReport& report)
      : log_(log),
        packs_(packs),
        files_(files),
        directory_(directory),
        order_(order),
        end_segment_(end_segment.value()),
        pack_bytes_(pack_bytes),
        report_(report),
        pace_(order.bytes_per_second) {}

  // `room`: for bytes of packs, which only matters where `parts` is one.
  Result<std::vector<PackInfo>> run(std::span<const Part> parts, uint64_t room) {
    const bool tight = parts.size() == 1 && parts.front().bytes + parts.front().bytes / 8 > room;  // with a table
    room_ = tight ? room : UINT64_MAX;
    result_.clear();
    written_.clear();
    adopted_ = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const Part& part = parts[i];
      TM_TRY(fetch(part));
      const bool joins = writer_ != nullptr || (i + 1 < parts.size() && !parts[i + 1].pack);
      TM_ASSIGN(const Fate fate, fate_of(part, joins));
      if (fate != Fate::kCopy) TM_TRY(close());
      if (fate == Fate::kKeep) result_.push_back(*part.pack);
      if (fate == Fate::kCopy) TM_TRY(copy(part));
      if (fate == Fate::kAdopt) TM_TRY(adopt(part));
    }
    TM_TRY(close());
    return result_;
  }

  // The packs that the last run has written are of no use: nothing names them.
  void discard() {
    std::vector<PackInfo> mine = written_;
    if (writer_ != nullptr) mine.push_back(writer_->info());
    writer_.reset();
    for (const PackInfo& pack : mine) (void)files_.remove(pack_path(directory_, pack));
  }

 private:
  // The needed records of a part, in memory as a whole: a part is a pack or a segment, so there is a bound.
  Status fetch(const Part& part) {
    if (part.first.value() >= from_ && part.end.value() <= window_.end) return Status();
    TM_ASSIGN(window_, order_.live(part.first.value(), end_segment_));
    from_ = part.first.value();
    if (part.end.value() <= window_.end) return Status();
    return Status(Code::kLimit, "too many records are needed of segment " + segment_name(part.first));
  }

  template <class Visit>
  Status needed(const Part& part, Visit&& visit) {
    auto each = window_.offsets.lower_bound(part.first.value());
    for (; each != window_.offsets.end() && each->first < part.end.value(); ++each) {
      for (const uint32_t offset : each->second) TM_TRY(visit(Location{each->first, offset}));
    }
    return Status();
  }

  struct Need {
    uint64_t entries = 0;
    uint64_t bytes = 0;
  };
  Result<Need> measure(const Part& part) {
    Need need;
    std::shared_ptr<Pack> pack;
    if (part.pack) {
      TM_ASSIGN(pack, packs_.open(*part.pack));
    }
    TM_TRY(needed(part, [&](const Location& location) -> Status {
      TM_ASSIGN(const uint64_t size, pack != nullptr ? size_in_pack(*pack, location) : size_in_segment(location));
      ++need.entries;
      need.bytes += size;
      return Status();
    }));
    return need;
  }

  static Result<uint64_t> size_in_pack(const Pack& pack, const Location& location) {
    TM_ASSIGN(const PackEntry entry, pack.find(location));
    return uint64_t{entry.size};
  }

  Result<uint64_t> size_in_segment(const Location& location) {
    HeaderBytes head;
    RecordHeader header;
    TM_TRY(log_.read(location, 0, head));
    const RecordFault fault = decode_header(head, header);
    if (fault != RecordFault::kNone) return log_.damaged_at(location, Seq(), record_fault_name(fault));
    return uint64_t{header.size_in_log()};
  }

  enum class Fate { kKeep, kCopy, kAdopt };

  // A pack stays as it is while at least half of it is needed, unless it is small and can be joined to a neighbour. A segment moves
  // into one. Where there is no room for that, each stays where it is, a segment as an adopted one.
  Result<Fate> fate_of(const Part& part, bool joins) {
    if (!part.pack && room_ == UINT64_MAX) return Fate::kCopy;
    if (part.pack && part.pack->made_for == order_.base) return Fate::kKeep;  // by an earlier step: nothing in it is dead
    TM_ASSIGN(const Need need, measure(part));
    if (need.entries == 0) return Fate::kCopy;
    const bool fits = room_ == UINT64_MAX || pack_file_bytes(need.entries, need.bytes) <= room_;
    const bool adopts = !fits && can_release(files_, directory_, part.first);
    if (!part.pack) return adopts ? Fate::kAdopt : Fate::kCopy;
    if (fits && joins && part.bytes < pack_bytes_ / 4) return Fate::kCopy;
    if (part.pack->adopted == 0) return fits && need.bytes < part.bytes / 2 ? Fate::kCopy : Fate::kKeep;
    if (need.bytes >= part.pack->adopted / 4 * kWellUsed) return Fate::kKeep;
    if (fits && need.bytes < part.pack->adopted / 2) return Fate::kCopy;
    if (adopted_ == kAdoptedInStep) return Fate::kKeep;  // until the next prune
    return can_release(files_, directory_, part.first) ? Fate::kAdopt : Fate::kKeep;
  }

  Status copy(const Part& part) {
    TM_TRY(add(part, [&] { return PackWriter::create(files_, directory_, log_.group(), part.first, order_.base); }));
    end_ = part.end;
    return writer_ != nullptr && writer_->bytes() >= pack_bytes_ / 2 ? close() : Status();
  }

  Status adopt(const Part& part) {
    TM_TRY(add(part, [&] { return PackWriter::adopt(files_, directory_, log_.group(), part.first, order_.base); }));
    end_ = part.end;
    ++adopted_;
    if (!part.pack) {
      ++report_.adopted;
      log_info("segment " + segment_name(part.first) + " of " + directory_ +
               ": there is no room to move its needed records; they stay in it, and the rest of its space is freed");
    }
    return close();
  }

  // What is needed of a part, every record verified.
  template <class Make>
  Status add(const Part& part, Make&& make) {
    return needed(part, [&](const Location& location) -> Status {
      if (order_.stop != nullptr && order_.stop->load()) return Status(Code::kInterrupted, "pruning was interrupted");
      if (writer_ == nullptr) {
        TM_ASSIGN(writer_, make());
      }
      TM_ASSIGN(const RecordView record, log_.read_record(location, storage_));
      pace_.spend(record.whole.size());
      return writer_->add(location, record.whole);
    });
  }

  Status close() {
    if (writer_ == nullptr) return Status();
    TM_ASSIGN(const PackInfo made, writer_->finish(end_));
    writer_.reset();
    ++report_.packs_written;
    report_.bytes_written += made.bytes;
    result_.push_back(made);
    written_.push_back(made);
    return Status();
  }

  Log& log_;
  PackSet& packs_;
  FileSystem& files_;
  const std::string& directory_;
  const RetireOrder& order_;
  const uint64_t end_segment_;  // the first one that stays
  const uint64_t pack_bytes_;
  RetireReport& report_;
  Pace pace_;
  uint64_t room_ = UINT64_MAX;  // for the only part of a step; or there is enough
  size_t adopted_ = 0;          // in this step
  LiveWindow window_{{}, 0};
  uint64_t from_ = UINT64_MAX;
  std::vector<PackInfo> result_;
  std::vector<PackInfo> written_;
  std::unique_ptr<PackWriter> writer_;
  Seq end_;
  Buffer storage_;
};

namespace {

Seq parts_begin(std::span<const RetirePart> parts) { return parts.empty() ? kLatest : parts.front().first; }

std::set<Seq> firsts_of_packs(std::span<const RetirePart> parts) {
  std::set<Seq> firsts;
  for (const RetirePart& part : parts) {
    if (part.pack) firsts.insert(part.first);
  }
  return firsts;
}

}  // namespace

// The oldest segment that stays. All before it are durable, whole and closed.
Result<KnownSegment> LogWriter::check_order(const RetireOrder& order) {
  TM_TRY(retire_failed_);
  TM_TRY(health());
  const Floor old = floor();
  const bool goes_on = order.base == old.base.seq && old.held_from != Seq();  // with what an earlier prune did not come to
  if (order.base > durable() || (order.base <= old.base.seq && !goes_on)) {
    return Status(Code::kInvalid, "record " + std::to_string(order.base.value()) + " cannot become the base: it is " +
                                      (order.base > durable() ? "not durable" : "not above the current one"));
  }
  const auto kept = segments_.covering(order.base);
  CHECK_INVARIANT(kept.has_value());
  MutexLock lock(state_mutex_);  // whoever made record `base` durable has let go of the segments before it
  CHECK_INVARIANT(kept->first_seq <= live_.front()->known.first_seq);
  return *kept;
}

// By rising first. Packs lie before the segments, and in the gaps between them.
std::vector<RetirePart> LogWriter::parts_below(Seq kept, const Floor& old) const {
  std::vector<RetirePart> parts;
  for (const PackInfo& pack : old.packs) {
    if (pack.first < kept) parts.push_back({pack.first, pack.end, pack.bytes + pack.adopted, pack});
  }
  for (const SegmentInfo& segment : segments()) {
    if (segment.first_seq >= kept) break;
    parts.push_back({segment.first_seq, kept, segment.bytes, std::nullopt});
  }
  std::stable_sort(parts.begin(), parts.end(), [](const RetirePart& a, const RetirePart& b) {
    return a.first != b.first ? a.first < b.first : !a.pack && b.pack;  // an empty segment, and a pack of the gap behind it
  });
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (!parts[i].pack) parts[i].end = parts[i + 1].first;
  }
  return parts;
}

// How many of `parts` one step takes: all of them where there is room for whatever is needed of them, and where not, as much as half of the
// room holds, one at least. What a step frees is room for the next. A part of the room is left to those who write meanwhile.
Result<LogWriter::RetireStep> LogWriter::step_of(std::span<const RetirePart> parts) {
  TM_ASSIGN(const FileSystemSpace space,
            files_.space(directory_ + "/."));  // where packs go, which is not always the newest segment's disk
  const uint64_t left_alone = options_.reserve_bytes / 8;
  const uint64_t room = space.available_bytes - std::min(left_alone, space.available_bytes);
  uint64_t bytes = 0;
  for (const RetirePart& part : parts) bytes += part.bytes;
  if (bytes + options_.segment_bytes <= space.available_bytes) return RetireStep{parts.size(), room};
  bytes = 0;
  size_t count = 0;
  for (; count < parts.size(); ++count) {
    bytes += parts[count].bytes;
    if (count > 0 && bytes > space.available_bytes / 2) break;
  }
  return RetireStep{count, room};
}

Result<RetireReport> LogWriter::retire(const RetireOrder& order) {
  RetireReport report;
  TM_ASSIGN(const KnownSegment kept, check_order(order));
  Floor next;
  next.group = group();
  TM_ASSIGN(next.base, position_at(order.base));
  TM_ASSIGN(next.time_ns, time_of(order.base));
  const std::vector<RetirePart> parts = parts_below(kept.first_seq, floor());
  std::span<const RetirePart> left = parts;
  Repacker repacker(*this, packs_, files_, directory_, order, kept.first_seq, options_.segment_bytes, report);
  do {
    TM_ASSIGN(const RetireStep step, step_of(left));
    const auto later = left.subspan(step.parts);
    Status done = retire_step(order, kept.first_seq, left.first(step.parts), step.room, later, next, repacker, report);
    if (!done.ok() && report.steps > 0) {
      return done.within("the base has moved and " + std::to_string(report.segments) +
                         " segments were removed; the next prune continues with the others");
    }
    TM_TRY(done);
    ++report.steps;
    left = later;
  } while (!left.empty());
  return report;
}

// Packs what is needed of `parts`; the rename of the floor is the moment at which they are gone. `later` stays as it is, whole.
Status LogWriter::retire_step(const RetireOrder& order, Seq kept, std::span<const RetirePart> parts, uint64_t room,
                              std::span<const RetirePart> later, Floor next, Repacker& repacker, RetireReport& report) {
  const Floor old = floor();
  auto packs = repacker.run(parts, room);
  if (!packs.ok()) {
    repacker.discard();
    return packs.status();
  }
  const auto first_later = std::find_if(later.begin(), later.end(), [](const RetirePart& part) { return !part.pack; });
  const Seq held_from = first_later == later.end() ? kept : first_later->first;
  if (held_from != kept) next.held_from = held_from;
  const std::set<Seq> handled = firsts_of_packs(parts);
  for (const PackInfo& pack : old.packs) {
    if (pack.first < parts_begin(parts)) next.packs.push_back(pack);  // an earlier step's
  }
  next.packs.insert(next.packs.end(), packs->begin(), packs->end());
  for (const PackInfo& pack : old.packs) {
    if (pack.first >= parts_begin(parts) && !handled.contains(pack.first))
      next.packs.push_back(pack);  // a later step's, or of a gap above the base
  }
  for (const Gap& gap : old.gaps) {
    if (gap.to.seq >= order.base) next.gaps.push_back(gap);
  }
  auto known = positions_to_keep(order, held_from);
  Status committed = known.status();
  if (known.ok()) next.known = std::move(*known);
  if (committed.ok() && next.packs.size() > kPacksMax)
    committed = Status(Code::kLimit, directory_ + " would have too many packs");
  if (committed.ok()) committed = commit_floor(old, next);
  if (!committed.ok()) {
    if (retire_failed_.ok()) repacker.discard();
    return committed;
  }
  packs_.replace(next);  // before the segments go: who does not find a record there looks here
  segments_.remove_before(held_from);
  ++moves_;
  release(old, next);
  clear_away(old, next, parts);
  for (const RetirePart& part : parts) {
    if (part.pack) continue;
    ++report.segments;
    report.segment_bytes += part.bytes;
  }
  return Status();
}

// Positions of records that go, or went already, where somebody's copy may end. The one right before `held_from` needs no keeping.
Result<std::vector<Position>> LogWriter::positions_to_keep(const RetireOrder& order, Seq held_from) {
  std::vector<std::pair<Seq, Seq>> going;
  for (const auto& [first, last] : order.copy_ends) {
    going.emplace_back(std::max(first, Seq(1)), std::min(last, held_from.prev()));
  }
  const auto ranges = likeliest_positions(std::move(going), kKnownMax);
  const auto wanted = [&](Seq seq) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const auto& range) { return range.first <= seq && seq <= range.second; });
  };
  std::vector<Position> known;
  for (const Position& position : floor().known) {
    if (wanted(position.seq)) known.push_back(position);
  }
  // Where held records follow what is not held (the base, the far side of a gap), a copy may end as well.
  for (const HeldStretch& held : held_stretches(*this, Seq(1))) {
    if (!wanted(held.first.prev())) continue;
    const Result<Position> before = position_at(held.first.prev());
    if (before.ok()) known.push_back(*before);
  }
  for (const auto& [first, last] : ranges) {
    for (const HeldStretch& held : held_stretches(*this, first)) {
      LogCursor cursor(*this, held.first, false);
      const Seq end = std::min(held.last, last);
      while (cursor.next() <= end) {
        TM_ASSIGN(const LogCursor::Run run, cursor.read(kPaceStep, end));
        TM_TRY(walk_headers(run.bytes, [&](const RecordView& record) {
          known.push_back(record.header.position());
          return Status();
        }));
      }
    }
  }
  std::sort(known.begin(), known.end(), [](const Position& a, const Position& b) { return a.seq < b.seq; });
  known.erase(std::unique(known.begin(), known.end()), known.end());
  return known;
}

// A failure after the rename leaves it open which floor the disk has.
Status LogWriter::commit_floor(const Floor& old, const Floor& now) {
  TM_TRY(files_.sync_directory(directory_));  // the names of the packs
  Status written = write_floor(files_, directory_, now);
  if (written.ok()) return written;
  const auto seen = read_floor(files_, directory_);
  if (!seen.ok() || *seen != old) {
    retire_failed_ = Status(
        Code::kPoisoned, "an earlier prune failed (" + written.text() + "); nothing is pruned until the group is reopened");
  }
  return written;
}

// What is not needed of segments that were adopted just now. Best effort: it is done again at the next open.
void LogWriter::release(const Floor& old, const Floor& now) {
  for (const PackInfo& pack : now.packs) {
    if (pack.adopted == 0 || std::find(old.packs.begin(), old.packs.end(), pack) != old.packs.end()) continue;
    release_dead(files_, directory_, group(), pack);
  }
}

// Best effort: what stays is removed at the next open.
void LogWriter::clear_away(const Floor& old, const Floor& now, std::span<const RetirePart> going) {
  std::vector<std::string> paths;
  for (const PackInfo& pack : old.packs) {
    if (std::find(now.packs.begin(), now.packs.end(), pack) != now.packs.end()) continue;
    paths.push_back(pack_path(directory_, pack));
    if (pack.adopted != 0 && !adopts(now, pack.first)) paths.push_back(segment_path(directory_, pack.first));
  }
  for (const RetirePart& part : going) {
    if (!part.pack && !adopts(now, part.first)) paths.push_back(segment_path(directory_, part.first));
  }
  Status first;
  for (const std::string& path : paths) {
    if (Status removed = files_.remove(path); !removed.ok() && first.ok()) first = removed;
  }
  if (Status synced = files_.sync_directory(directory_); !synced.ok() && first.ok()) first = synced;
  if (!first.ok()) log_warning("after a prune: " + first.text());
}

}  // namespace tidemark
