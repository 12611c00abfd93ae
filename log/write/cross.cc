// The half of the log writer that goes on behind a gap.
#include "base/logging.h"
#include "log/write/writer.h"

namespace tidemark {
namespace {

Result<Floor> floor_with(const Floor& old, const GroupId& group, const Gap& gap, const CrossOrder& order) {
  Floor next = old;
  next.group = group;
  next.gaps.push_back(gap);
  next.packs.insert(next.packs.end(), order.packs.begin(), order.packs.end());
  if (order.is_base) {
    next.base = order.to;
    next.time_ns = order.time_ns;
  }
  if (next.gaps.size() > kGapsMax) {
    return Status(Code::kLimit, "the log has " + std::to_string(kGapsMax) + " gaps already: prune it to a point after them");
  }
  if (next.packs.size() > kPacksMax) return Status(Code::kLimit, "the log would have too many packs");
  TM_TRY(decode_floor(as_bytes(encode_floor(next))).status());  // what could not be read again is not written
  return next;
}

}  // namespace

Status LogWriter::cross(const CrossOrder& order) {
  MutexLock lock(append_mutex_);
  TM_TRY(retire_failed_);
  if (poisoned_.load(std::memory_order_acquire)) return health();
  if (order.to.seq <= tail_.position.seq || order.to.epoch < tail_.position.epoch) {
    return Status(Code::kInvalid, "record " + std::to_string(order.to.seq.value()) + " does not lie ahead of record " +
                                      std::to_string(tail_.position.seq.value()));
  }
  TM_TRY(sync(kLatest));
  const Floor old = floor();
  TM_ASSIGN(const Floor next, floor_with(old, group(), {tail_.position, order.to, order.time_ns}, order));
  const std::string path = segment_path(directory_, order.to.seq.next());
  if (Status removed = files_.remove(path); !removed.ok() && removed.code() != Code::kNotFound) return removed;
  TM_ASSIGN(const auto live, write_born_segment(kSegmentReceived | kSegmentAfterGap, order.to));
  if (Status written = commit_floor(old, next); !written.ok()) {
    // Where the floor may have the gap, the log in memory is not the one on disk.
    if (!retire_failed_.ok()) return poison(written);
    if (Status removed = files_.remove(path); !removed.ok()) log_warning(removed.text());
    return written;
  }
  packs_.replace(next);
  take_over(live);
  tail_.position = order.to;
  tail_.time_ns = std::max(tail_.time_ns, order.time_ns);
  MutexLock state(state_mutex_);
  tail_position_ = durable_position_ = order.to;
  appended_.store(order.to.seq.value(), std::memory_order_release);
  settled_.store(order.to.seq.value(), std::memory_order_release);  // a source gives no base that it may lose
  syncing_.store(order.to.seq.value(), std::memory_order_release);
  durable_.store(order.to.seq.value(), std::memory_order_release);
  tell(LogProgress::kSyncing);
  tell_all();
  return Status();
}

}  // namespace tidemark
