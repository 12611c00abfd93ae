#include "volume/committer.h"

#include "base/logging.h"

namespace tidemark {

Status Committer::writable() {
  if (!writable_) return Status(Code::kReadOnly, "this copy of the group is read-only");
  TM_TRY(ready());
  return watermarks_.may_write();
}

// Who asks while the index is behind has decided by what it lacks: he must look again, even if it has caught up by now.
Status Committer::ready() {
  TM_TRY(stopped_);
  if (!behind_) return state_.writable();
  TM_TRY(publish());
  return Status(Code::kNoSpace, "the disk was full until this moment; nothing was changed: try again", ENOSPC);
}

Status Committer::stop(const Status& why) {
  stopped_ = Status(Code::kPoisoned,
                    "the index has failed and nothing more is accepted until the group is opened anew: " + why.text());
  log_error(stopped_.text());
  return stopped_;
}

Status Committer::publish() {
  Status written = state_.write();
  behind_ = written.code() == Code::kNoSpace;
  if (behind_) return written;
  if (!written.ok()) return stop(written);
  newest_.store(state_.meta().applied.seq.value(), std::memory_order_release);
  return Status();
}

Status Committer::admit(std::span<const RecordDraft> drafts) const {
  if (log_limit.max_bytes == 0 || log_limit.on_full != OnFull::kBlockWrites || log_.bytes() < log_limit.max_bytes)
    return Status();
  for (const RecordDraft& draft : drafts) {
    switch (draft.type) {
      case RecordType::kData:
      case RecordType::kMakeNode:
      case RecordType::kClone:
      case RecordType::kAllocate:
      case RecordType::kSetXattr:
        return Status(Code::kNoSpace,
                      "the log has reached its limit of " + std::to_string(log_limit.max_bytes >> 20) +
                          " MiB and takes no new data; prune it, raise --max-log, or end what holds it back");
      default: break;
    }
  }
  return Status();
}

Status Committer::commit(std::span<const RecordDraft> drafts) {
  TM_TRY(writable());
  TM_TRY(admit(drafts));
  TM_ASSIGN(auto appended, log_.append(drafts, epoch));
  for (size_t i = 0; i < drafts.size(); ++i) {
    Status applied = state_.apply(appended[i].header, drafts[i].payload.bytes(), appended[i].location);
    if (!applied.ok()) return stop(applied);
  }
  return publish();
}

Status Committer::leap(const std::function<Status()>& load) {
  Status loaded = load();
  if (loaded.ok()) loaded = state_.look_anew();
  if (!loaded.ok()) return stop(loaded);
  newest_.store(state_.meta().applied.seq.value(), std::memory_order_release);
  return Status();
}

Status Committer::commit_verified(Bytes run) {
  TM_TRY(ready());
  Position position = log_.tail_position();
  TM_ASSIGN(auto locations, log_.append_verified(run));
  size_t index = 0;
  Status applied = walk_records(run, position, [&](const RecordView& record) {
    return state_.apply(record.header, record.payload, locations[index++]);
  });
  if (!applied.ok()) return stop(applied);
  return publish();
}

}  // namespace tidemark
