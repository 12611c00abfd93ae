#include <algorithm>

#include "log/format/record_walker.h"
#include "log/log.h"
#include "log/read/cursor.h"

namespace tidemark {

struct LogCursor::State {
  Log& log;
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

  // Fills the buffer with at least `least` bytes from the cursor on, `wanted` if the segment has them.
  Result<Bytes> fill(const SegmentSet::OpenSegment& segment, size_t wanted) {
    wanted = static_cast<size_t>(std::min<uint64_t>(wanted, segment.bytes - location.offset));
    if (buffer.size() < wanted) buffer = Buffer(wanted);
    TM_ASSIGN(const size_t got, segment.file->read(location.offset, buffer.span().first(wanted)));
    return buffer.bytes().first(got);
  }

  // Whole, sound records from the cursor on: at least one, if it is there, and as many as fit. Where there is none, why not.
  struct Taken {
    size_t bytes = 0;
    Position end;
    RecordFault fault = RecordFault::kNone;
    bool cut_off = false;
  };
  Result<Taken> take(Bytes held, size_t bytes_max, Seq last) {
    Taken taken{0, before};
    RecordWalker walker(held, before, {.payload = check_payloads});
    while (taken.end.seq < last) {
      TM_ASSIGN(const RecordWalker::Step step, walker.next());
      if (step != RecordWalker::Step::kRecord) {
        taken.fault = walker.fault() == RecordFault::kUnwritten ? RecordFault::kHeaderDamaged : walker.fault();
        taken.cut_off = walker.is_cut_off();
        break;
      }
      if (taken.bytes > 0 && walker.next_at() > bytes_max) break;
      taken.bytes = static_cast<size_t>(walker.next_at());
      taken.end = walker.position();
    }
    return taken;
  }
};

LogCursor::LogCursor(Log& log, Seq next, bool check_payloads) {
  CHECK_INVARIANT(next != Seq());
  state_ = std::make_unique<State>(State{log, next, check_payloads, false, {}, {}, {}});
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
  TM_ASSIGN(const Bytes held, state.fill(segment, std::max<size_t>(bytes_max, kHopStep)));
  TM_ASSIGN(State::Taken taken, state.take(held, bytes_max, last));
  if (taken.bytes == 0 && taken.cut_off && held.size() < kLeast) {
    TM_ASSIGN(const Bytes more, state.fill(segment, kLeast));
    TM_ASSIGN(taken, state.take(more, bytes_max, last));
  }
  // What payloads nobody checked here may be holes.
  const bool moved = state.log.moves() != moves && state.log.let_go(Seq(run.location.segment));
  if (moved || taken.bytes == 0) {
    const RecordFault fault = moved || taken.cut_off ? RecordFault::kPayloadDamaged : taken.fault;
    return corrupt_segment(Seq(run.location.segment), run.location.offset, run.first, record_fault_name(fault));
  }
  state.location.offset += static_cast<uint32_t>(taken.bytes);
  state.before = taken.end;
  state.next = taken.end.seq.next();
  run.bytes = state.buffer.bytes().first(taken.bytes);
  run.last = taken.end.seq;
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
