// A group that takes its records from another site.
#include "base/logging.h"
#include "log/format/record_walker.h"
#include "log/write/writer.h"
#include "volume/difference/gap_rows.h"
#include "volume/group/committer.h"
#include "volume/group/directory.h"
#include "volume/group/group.h"
#include "volume/history/base_image.h"
#include "volume/history/prune.h"
#include "volume/tree/record_check.h"

namespace tidemark {

namespace {

// Every block against its own sum, before anything of the run is taken.
Status verify_blocks(const VerifiedRun& run) {
  std::vector<std::byte> blocks(size_t{kDataBlocksMax} * kBlockSize);
  for (const RecordView& record : run.records()) {
    if (record.header.type != RecordType::kData) continue;
    TM_ASSIGN(DataBody body, decode_data(record.header, record.payload));
    TM_TRY(extract_blocks(record.header, body, MutableBytes(blocks).first(size_t{body.count} * kBlockSize)));
  }
  return Status();
}

}  // namespace

Result<Position> Group::ingest(Bytes bytes, Seq settled) {
  if (mode_ != OpenMode::kReplica) return Status(Code::kReadOnly, directory_ + " accepts no records from another site");
  RecordHeader first;
  const bool again = bytes.size() >= kRecordHeaderSize && decode_header(bytes, first) == RecordFault::kNone &&
                     first.seq > Seq() && first.seq <= put_back_to_;
  Position before = core_->log->tail_position();
  if (again) {
    TM_ASSIGN(before, core_->log->position_at(first.seq.prev()));
  }
  TM_ASSIGN(const VerifiedRun run, VerifiedRun::verify(bytes, before));
  TM_TRY(verify_blocks(run));
  return again ? take_again(run, settled) : take(run, settled);
}

Result<Position> Group::take(const VerifiedRun& run, Seq settled) {
  MutexLock lock(committer_->mutex);
  TM_TRY(committer_->caught_up());
  RecordCheck check(*core_->state, identity_.id);
  for (const RecordView& record : run.records()) TM_TRY(check.check(record.header, record.payload));
  TM_TRY(committer_->commit_verified(run));
  log_writer().settle(settled);
  return position();
}

// The part of the run that is held already goes to the log alone: the index has it.
Result<Position> Group::take_again(const VerifiedRun& run, Seq settled) {
  LogWriter& log = log_writer();
  const Seq tail = log.appended();
  TM_TRY(log.put_back(run.up_to(tail)));
  const VerifiedRun rest = run.behind(tail);
  return rest.empty() ? run.end() : take(rest, settled);
}

Result<std::unique_ptr<DifferenceReader>> Group::read_difference(const Position& from) {
  const Seq base = core_->log->base();
  TM_ASSIGN(auto held, open_view(std::max(from.seq, base), ViewKind::kCopy));
  return DifferenceReader::open(*options_.files, directory_, *core_->log, std::move(held), from);
}

Result<std::unique_ptr<DifferenceWriter>> Group::begin_difference(const DifferenceOffer& offer) {
  if (mode_ != OpenMode::kReplica) return Status(Code::kReadOnly, directory_ + " accepts no records from another site");
  TM_TRY(sync());
  MutexLock lock(committer_->mutex);
  TM_TRY(committer_->caught_up());
  return DifferenceWriter::open(*options_.files, directory_, identity_.id, *core_->state, offer);
}

Status Group::finish_difference(DifferenceWriter& taken, const std::optional<std::vector<MarkId>>& held_marks) {
  return pruner_->without_pruning([&]() -> Status {
    LogWriter& log = log_writer();
    const Gap gap{taken.offer().from, taken.offer().target.base, taken.offer().target.time_ns};
    if (log.tail_position() != gap.from) return Status(Code::kStale, "the copy has moved since the difference was begun");
    TM_ASSIGN(const CrossOrder order, taken.finish(held_marks));
    MutexLock lock(committer_->mutex);
    TM_TRY(log.cross(order));
    if (order.is_base) core_->views.lower(order.to.seq);
    TM_TRY(committer_->load([&] {
      Index& index = core_->state->index();
      return order.is_base ? load_base_image(*options_.files, directory_, order.to, index)
                           : load_gap_rows(*options_.files, directory_, gap, index);
    }));
    if (Status cleaned = DifferenceWriter::clean(*options_.files, directory_); !cleaned.ok()) log_warning(cleaned.text());
    return Status();
  });
}

Status Group::cut_tail(const Position& to) {
  if (mode_ != OpenMode::kReplica) return Status(Code::kReadOnly, directory_ + " accepts no records from another site");
  return pruner_->without_pruning([&]() -> Status {
    MutexLock lock(committer_->mutex);
    if (to.seq < core_->log->base()) return below_base("seq:" + std::to_string(to.seq.value()));
    if (!core_->views.press(to.seq)) {
      return Status(Code::kBusy, "an open view of " + directory_ + " shows a point that its source has lost");
    }
    const Status cut = committer_->cut(to);
    core_->views.lift();
    return cut;
  });
}

}  // namespace tidemark
