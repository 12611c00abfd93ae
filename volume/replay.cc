#include "volume/replay.h"

namespace tidemark {
namespace {

// How much is read at a time, and how many rows go in one batch.
constexpr size_t kReplayRunBytes = 4u << 20;
constexpr size_t kReplayBatchBytes = 4u << 20;

}  // namespace

Status replay_stretch(Log& log, TreeState& state, Seq end) {
  LogCursor cursor(log, state.meta().applied.seq.next());
  while (cursor.next() <= end) {
    TM_ASSIGN(auto run, cursor.read(kReplayRunBytes, end));
    Bytes rest = run.bytes;
    uint32_t offset = run.location.offset;
    while (!rest.empty()) {
      RecordHeader header;
      if (decode_header(rest, header) != RecordFault::kNone)
        return Status(Code::kCorrupt, "a record changed while it was read");
      const uint32_t size = header.size_in_log();
      const Bytes payload = rest.subspan(kRecordHeaderSize, header.stored_length);
      const Location location{run.location.segment, offset};
      TM_TRY(state.apply(header, payload, location));
      if (state.batch_bytes() > kReplayBatchBytes) TM_TRY(state.write());
      rest = rest.subspan(size);
      offset += size;
    }
  }
  return state.write();
}

}  // namespace tidemark
