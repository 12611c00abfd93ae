#include "log/log.h"

#include <algorithm>

#include "base/logging.h"
#include "log/format/record_walker.h"

namespace tidemark {
namespace {

// A segment that could not be repaired is left alone this long: each try may wait for a site that does not answer.
constexpr std::chrono::seconds kMendPause{5};
constexpr int kReadAttempts = 5;  // each for a step of a prune that came between

Status gone(Seq seq) { return Status(Code::kNotFound, "record " + std::to_string(seq.value()) + " is not held here"); }

Status past_the_end(const Location& location, uint64_t end) {
  return Status(Code::kCorrupt, "segment " + segment_name(Seq(location.segment)) + ": a read at byte " +
                                    std::to_string(location.offset) + " goes past its end at byte " + std::to_string(end));
}

}  // namespace

Result<Log::Place> Log::place_once(const Location& location) {
  auto segment = segments_.open(Seq(location.segment));
  if (segment.ok() && location.offset < segment->bytes) {
    return Place{std::move(segment->file), location.offset, segment->bytes};
  }
  if (!segment.ok() && segment.status().code() != Code::kNotFound) return segment.status();
  const auto packed = packs_.find(location);
  if (packed.ok()) return Place{packed->pack->records(), packed->entry.at, packed->entry.at + packed->entry.size};
  return segment.ok() ? past_the_end(location, segment->bytes) : packed.status();
}

// Between the look at the segments and the one at the packs a record may have moved: hence twice.
Result<Log::Place> Log::place(const Location& location) {
  auto found = place_once(location);
  if (!found.ok() && found.status().code() == Code::kNotFound) found = place_once(location);
  if (found.ok() || found.status().code() != Code::kNotFound) return found;
  TM_TRY(look_again(found.status()));
  found = place_once(location);
  if (found.ok() || found.status().code() != Code::kNotFound) return found;
  return pruned_meanwhile(found.status());
}

Status Log::pruned_meanwhile(const Status& not_found) {
  return Status(Code::kNoSuchPoint, not_found.text() +
                                        " any more: the process that holds the log has pruned it; "
                                        "reopen it at its base or a later point");
}

// What moves while it is read is read once more where it is then: a hole may have taken its place.
Status Log::read(const Location& location, uint32_t skip, MutableBytes out) {
  for (int attempt = 0;; ++attempt) {
    const uint64_t moves = moves_.load();
    TM_ASSIGN(const Place found, place(location));
    const uint64_t at = found.at + skip;
    if (at + out.size() > found.end) return past_the_end(location, found.end);
    TM_ASSIGN(const size_t got, found.file->read(at, out));
    if (moves_.load() != moves && attempt < kReadAttempts) continue;
    return got == out.size() ? Status() : past_the_end(location, at + got);
  }
}

void Log::prefetch(const Location& location, uint32_t skip, uint32_t size) {
  // What cannot be found is reported by the read that follows.
  if (auto found = place_once(location); found.ok()) found->file->prefetch(found->at + skip, size);
}

Status Log::damaged_at(const Location& location, Seq seq, std::string_view what) {
  if (const auto packed = packs_.find(location); packed.ok()) return packed->pack->damaged(packed->entry.at, seq, what);
  return corrupt_segment(Seq(location.segment), location.offset, seq, what);
}

Result<RecordView> Log::read_record(const Location& location, Buffer& storage) {
  const auto corrupt = [&](Seq seq, RecordFault fault) { return damaged_at(location, seq, record_fault_name(fault)); };
  HeaderBytes head;
  TM_TRY(read(location, 0, head));
  RecordView record;
  RecordFault fault = decode_header(head, record.header);
  if (fault != RecordFault::kNone) return corrupt(Seq(), fault);
  const uint32_t size = record.header.size_in_log();
  if (storage.size() < size) storage = Buffer(size);
  std::copy(head.begin(), head.end(), storage.data());
  TM_TRY(read(location, kRecordHeaderSize, storage.span().subspan(kRecordHeaderSize, size - kRecordHeaderSize)));
  record.whole = storage.bytes().first(size);
  record.payload = record.whole.subspan(kRecordHeaderSize, record.header.stored_length);
  record.location = location;
  fault = check_payload(record.header, record.payload);
  if (fault != RecordFault::kNone) return corrupt(record.header.seq, fault);
  return record;
}

Result<std::string> Log::read_packed(Seq from, size_t bytes_max) {
  std::string records;
  Buffer buffer;
  while (const auto info = packs_.pack_from(from)) {
    TM_ASSIGN(const auto pack, packs_.open(*info));
    TM_ASSIGN(uint64_t index, pack->first_from(from));
    while (index < info->entries) {
      TM_ASSIGN(const auto entries, pack->entries_from(index));
      for (const PackEntry& entry : entries) {
        if (!records.empty() && records.size() + entry.size > bytes_max) return records;
        auto record = read_record(entry.location, buffer);
        if (!record.ok()) return records.empty() ? record.status() : Result<std::string>(records);
        records += as_text(record->whole);
      }
      index += entries.size();
    }
    from = info->end;
  }
  return records;
}

Result<Log::Hop> Log::hop(const KnownSegment& segment, const IndexPoint& from, Seq to, int64_t until_ns) {
  TM_ASSIGN(const auto open, segments_.open(segment.first_seq));
  SegmentWindow window(*open.file, open.bytes, kHopStep);
  RecordWalker walker(window, from.offset, Position(), {.order = false, .payload = false});
  Hop last;
  uint64_t last_point = from.offset;
  for (Seq expected = from.seq; expected <= to; expected = expected.next()) {
    TM_ASSIGN(const RecordWalker::Step step, walker.next());
    if (step == RecordWalker::Step::kEnd) break;
    const RecordHeader& header = walker.record().header;
    if (step == RecordWalker::Step::kDamage || header.seq != expected) {
      const RecordFault fault = step == RecordWalker::Step::kDamage ? RecordFault::kHeaderDamaged : RecordFault::kWrongOrder;
      return corrupt_segment(segment.first_seq, walker.at(), expected, record_fault_name(fault));
    }
    if (header.time_ns > until_ns) break;
    last = {header, {segment.first_seq.value(), walker.record().location.offset}};
    if (walker.at() - last_point >= kIndexSpacing) {
      segments_.add_point({expected, last.location.offset, header.time_ns});
      last_point = walker.at();
    }
  }
  return last;
}

std::optional<Gap> Log::gap_over(Seq seq) const {
  for (const Gap& gap : packs_.gaps()) {
    if (gap.covers(seq)) return gap;
  }
  return std::nullopt;
}

Result<Log::Hop> Log::find_record(Seq seq) {
  if (seq > appended() || gap_over(seq)) return gone(seq);
  const auto segment = segments_.covering(seq);
  if (!segment) return gone(seq);
  auto walked = hop(*segment, segments_.point_at(*segment, seq), seq, INT64_MAX);
  if (walked.status().code() == Code::kCorrupt && let_go(segment->first_seq)) return gone(seq);
  TM_ASSIGN(const Hop found, std::move(walked));
  if (found.header.seq != seq) return corrupt_segment(segment->first_seq, segment->bytes, seq, "the record is missing");
  return found;
}

Result<Location> Log::locate(Seq seq) {
  TM_ASSIGN(const Hop found, find_record(seq));
  return found.location;
}

Result<int64_t> Log::time_of(Seq seq) {
  if (const auto gap = gap_over(seq); gap && gap->to.seq == seq) return gap->time_ns;
  TM_ASSIGN(const Hop found, find_record(seq));
  return found.header.time_ns;
}

Result<Position> Log::position_at(Seq seq) {
  if (seq == Seq()) return Position();
  if (const Position tail = tail_position(); tail.seq == seq) return tail;
  if (const Position base = packs_.base(); base.seq == seq) return base;
  if (const auto known = packs_.known(seq)) return *known;
  // The record before a segment stands in the segment's header, even when the record itself is no longer held.
  // (In a damaged log a segment may have lost it: then its epoch is none.)
  if (const auto next = segments_.find(seq.next()); next && seq <= appended() && next->before.epoch != Epoch()) {
    return next->before;
  }
  TM_ASSIGN(const Hop found, find_record(seq));
  return found.header.position();
}

Result<Seq> Log::seq_at_time(int64_t time_ns) {
  Seq newest;
  if (const auto segment = segments_.at_time(time_ns)) {
    TM_ASSIGN(const Hop found, hop(*segment, segments_.point_at_time(*segment, time_ns), appended(), time_ns));
    newest = found.header.seq;
  }
  for (const Gap& gap : packs_.gaps()) {
    if (gap.time_ns <= time_ns) newest = std::max(newest, gap.to.seq);
  }
  return newest;
}

void Log::set_record_sources(std::vector<std::shared_ptr<RecordSource>> sources) {
  MutexLock lock(mend_mutex_);
  sources_ = std::move(sources);
  in_vain_.clear();
}

Status Log::mend(const Location& location) {
  LogPart part{Seq(location.segment), std::nullopt};
  if (!segments_.find(part.segment)) {
    TM_ASSIGN(const auto packed, packs_.find(location));
    part.pack = packed.pack->info();
  }
  return mend_part(part);
}

Status Log::mend_part(const LogPart& part) {
  MutexLock lock(mend_mutex_);
  if (sources_.empty()) return Status(Code::kNotFound, "there is no site to fetch damaged records from");
  const auto now = std::chrono::steady_clock::now();
  const uint64_t key = part.pack ? part.pack->first.value() : part.segment.value();
  const auto failed = in_vain_.find(key);
  if (failed != in_vain_.end() && now - failed->second < kMendPause) {
    return Status(Code::kCorrupt, part_name(part) + " could not be repaired a moment ago");
  }
  Status mended = mend_now(part);
  if (mended.ok()) {
    in_vain_.erase(key);
  } else {
    in_vain_[key] = std::chrono::steady_clock::now();
  }
  return mended;
}

Status Log::mend_now(const LogPart& part) {
  bool some = false;
  Status left;
  for (const auto& source : sources_) {
    TM_ASSIGN(MendReport report, mend_from(part, *source));
    some = some || !report.mended.empty();
    left = std::move(report.left);
    if (left.ok()) break;  // somebody may also have repaired it while this one waited for its turn
  }
  if (!left.ok()) log_error("not repaired: " + left.text());
  return some ? Status() : left;
}

Result<MendReport> Log::mend_from(const LogPart& part, RecordSource& source) {
  TM_ASSIGN(const auto digest, digest_for(part));
  MendReport report;
  if (part.pack) {
    TM_ASSIGN(report, mend_pack(mended_files_, mended_directory_, *part.pack, packs_.floor(), source, digest));
  } else {
    const Position tail = tail_position();  // before the look at the segment: so it lies in what is used of it
    const auto segment = segments_.find(part.segment);
    if (!segment) return Status(Code::kNotFound, "segment " + segment_name(part.segment) + " is not held here");
    const MendTarget target{part.segment, segment->bytes, end_of(*segment, tail), group_, Position(), digest};
    TM_ASSIGN(report, mend_segment(mended_files_, mended_directory_, target, source));
  }
  const std::string where = (part.pack ? "pack " : "segment ") + part_name(part);
  for (const Mended& each : report.mended) {
    log_warning("repaired: " + where + ", byte " + std::to_string(each.offset) + ", " + describe(each) + ", from " +
                source.name());
  }
  if (!part.pack && report.left.ok()) segment_mended(part.segment);
  return report;
}

// The next segment knows what stands before it, even while its own header is not on disk yet.
std::optional<Position> Log::end_of(const KnownSegment& segment, const Position& tail) const {
  if (const auto next = segments_.after(segment.first_seq)) {
    if (next->before.epoch == Epoch()) return std::nullopt;
    const auto gap = gap_over(next->before.seq);
    return gap ? gap->from : next->before;
  }
  if (tail.seq >= segment.first_seq) return tail;
  return std::nullopt;
}

}  // namespace tidemark
