#include "volume/group/replay.h"

#include "base/logging.h"
#include "log/format/record_walker.h"
#include "log/read/cursor.h"
#include "log/repair/damage.h"

namespace tidemark {
namespace {

// How much is read at a time, and how many rows go in one batch.
constexpr size_t kReplayRunBytes = 4u << 20;
constexpr size_t kReplayBatchBytes = 4u << 20;

// A record whose payload is damaged can be applied where that is in the blocks of a file alone: reading those answers kCorrupt then.
Status check_record(Log& log, const RecordHeader& header, Bytes payload, const Location& location) {
  if (check_payload(header, payload) == RecordFault::kNone) return Status();
  const Status damaged = log.damaged_at(location, header.seq, record_fault_name(RecordFault::kPayloadDamaged));
  if (!damaged_in_blocks(header, payload)) return damaged;
  log_error(damaged.text() + "; blocks of inode " + std::to_string(header.ino.value()) +
            " cannot be read until it is repaired");
  return Status();
}

}  // namespace

Status replay_stretch(Log& log, TreeState& state, Seq end) {
  LogCursor cursor(log, state.meta().applied.seq.next(), false);
  while (cursor.next() <= end) {
    TM_ASSIGN(auto run, cursor.read(kReplayRunBytes, end));
    const Status replayed = walk_headers(run.bytes, [&](const RecordView& record) -> Status {
      const Location location{run.location.segment, run.location.offset + record.location.offset};
      TM_TRY(check_record(log, record.header, record.payload, location));
      TM_TRY(state.apply(record.header, record.payload, location));
      return state.batch_bytes() > kReplayBatchBytes ? state.write() : Status();
    });
    TM_TRY(replayed);
  }
  return state.write();
}

}  // namespace tidemark
