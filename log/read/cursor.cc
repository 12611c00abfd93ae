#include <algorithm>

#include "log/log.h"
#include "log/read/reader.h"

namespace tidemark {

struct LogCursor::State {
  LogReader& log;
  Seq next;
  bool check_payloads;
  bool placed = false;  // location and before are those of `next`
  Location location;
  Position before;
  Buffer buffer;
  bool mends = true;

  // Finds `next` when the cursor was made, and nothing later: from there it knows where it stands.
  Status place() {
    if (placed) return Status();
    if (next < log.first()) {
      return Status(Code::kNotFound, "record " + std::to_string(next.value()) + " is no longer held; the oldest is record " +
                                         std::to_string(log.first().value()));
    }
    TM_ASSIGN(before, log.position_at(next.prev()));
    if (next <= log.appended()) {
      TM_ASSIGN(location, log.locate(next));
      placed = true;
    }
    return Status();
  }

  // Moves on to the next segment where this one is read to its end.
  Status enter_segment(SegmentSet::OpenSegment& segment) {
    TM_ASSIGN(segment, log.segment_set().open(Seq(location.segment)));
    if (location.offset < segment.bytes) return Status();
    const auto following = log.segment_set().after(Seq(location.segment));
    if (!following || following->first_seq != next) {
      return Status(Code::kNotFound, "record " + std::to_string(next.value()) + " is not held here");
    }
    location = {following->first_seq.value(), kSegmentHeaderSize};
    TM_ASSIGN(segment, log.segment_set().open(following->first_seq));
    return Status();
  }

  [[nodiscard]] Status corrupt(uint32_t at, RecordFault fault) const {
    return corrupt_segment(Seq(location.segment), at, before.seq.next(), record_fault_name(fault));
  }

  // Fills the buffer with at least `least` bytes from the cursor on, `wanted` if the segment has them.
  Result<Bytes> fill(const SegmentSet::OpenSegment& segment, size_t wanted) {
    wanted = static_cast<size_t>(std::min<uint64_t>(wanted, segment.bytes - location.offset));
    if (buffer.size() < wanted) buffer = Buffer(wanted);
    TM_ASSIGN(const size_t got, segment.file->read(location.offset, buffer.span().first(wanted)));
    return buffer.bytes().first(got);
  }

  // The size of the record at the start of `rest` if it is whole there; 0 if it is sound so far, but goes beyond.
  Result<uint32_t> check_record(Bytes rest, uint32_t at, RecordHeader& header) {
    if (rest.size() < kRecordHeaderSize) return 0u;
    RecordFault fault = decode_header(rest, header);
    if (fault == RecordFault::kUnwritten) fault = RecordFault::kHeaderDamaged;
    if (fault == RecordFault::kNone) fault = check_follows(header, rest, before);
    if (fault != RecordFault::kNone) return corrupt(at, fault);
    if (rest.size() < header.size_in_log()) return 0u;
    if (check_payloads) {
      fault = check_payload(header, rest.subspan(kRecordHeaderSize, header.stored_length));
      if (fault != RecordFault::kNone) return corrupt(at, fault);
    }
    return header.size_in_log();
  }
};

LogCursor::LogCursor(Log& log, Seq next, bool check_payloads) {
  auto* reader = dynamic_cast<LogReader*>(&log);
  CHECK_INVARIANT(reader != nullptr && next != Seq());
  state_ = std::make_unique<State>(State{*reader, next, check_payloads, false, {}, {}, {}});
}
LogCursor::~LogCursor() = default;
LogCursor::LogCursor(LogCursor&&) noexcept = default;
LogCursor& LogCursor::operator=(LogCursor&&) noexcept = default;

Seq LogCursor::next() const { return state_->next; }
void LogCursor::leave_damage() { state_->mends = false; }

Result<Position> LogCursor::position() {
  TM_TRY(state_->place());
  return state_->before;
}

Result<LogCursor::Run> LogCursor::read(size_t bytes_max, Seq last) {
  auto run = read_once(bytes_max, last);
  if (run.ok() || run.status().code() != Code::kCorrupt || !state_->placed) return run;
  const Seq segment(state_->location.segment);
  if (state_->log.let_go(segment)) {
    return Status(Code::kNotFound,
                  "record " + std::to_string(state_->next.value()) + " is no longer held: it was pruned meanwhile");
  }
  if (!state_->mends) return run;
  return state_->log.mend(state_->location).ok() ? read_once(bytes_max, last) : std::move(run);
}

Result<LogCursor::Run> LogCursor::read_once(size_t bytes_max, Seq last) {
  State& state = *state_;
  Run run;
  run.first = state.next;
  run.last = state.next.prev();
  last = std::min(last, state.log.appended());
  if (state.next > last) return run;
  TM_TRY(state.place());
  SegmentSet::OpenSegment segment;
  TM_TRY(state.enter_segment(segment));
  run.location = state.location;
  const uint64_t moves = state.log.moves();

  constexpr size_t kLeast = kRecordHeaderSize + kPayloadMax + kRecordAlignment;  // any one record
  TM_ASSIGN(Bytes held, state.fill(segment, std::max<size_t>(bytes_max, kHopStep)));
  uint32_t taken = 0;
  const Position start = state.before;
  while (state.next <= last && taken < held.size()) {
    RecordHeader header;
    auto size = state.check_record(held.subspan(taken), run.location.offset + taken, header);
    if (size.ok() && *size == 0 && taken == 0 && held.size() < kLeast) {
      TM_ASSIGN(const Bytes more, state.fill(segment, kLeast));
      if (more.size() <= held.size()) return state.corrupt(run.location.offset, RecordFault::kPayloadDamaged);
      held = more;
      continue;
    }
    if (!size.ok()) {
      if (taken > 0) break;  // first what is good; the damage comes with the next call
      state.before = start;
      return size.status();
    }
    if (*size == 0 || (taken > 0 && taken + *size > bytes_max)) break;
    taken += *size;
    state.before = header.position();
    state.next = state.next.next();
  }
  // What payloads nobody checked here may be holes.
  if (state.log.moves() != moves && state.log.let_go(Seq(run.location.segment))) {
    return state.corrupt(run.location.offset, RecordFault::kPayloadDamaged);
  }
  if (taken == 0) return state.corrupt(run.location.offset, RecordFault::kPayloadDamaged);
  state.location.offset += taken;
  run.bytes = held.first(taken);
  run.last = state.before.seq;
  return run;
}

std::vector<HeldStretch> held_stretches(const Log& log, Seq from) {
  std::vector<HeldStretch> held;
  Seq first = std::max(from, log.first());
  const Seq end = log.appended();
  for (const Gap& gap : log.gaps()) {
    if (gap.to.seq < first) continue;
    if (first <= gap.from.seq) held.push_back({first, gap.from.seq});
    first = gap.to.seq.next();
  }
  if (first <= end) held.push_back({first, end});
  return held;
}

}  // namespace tidemark
