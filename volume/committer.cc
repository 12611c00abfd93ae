#include "volume/committer.h"

#include "base/logging.h"

namespace tidemark {

Status Committer::writable() const {
  if (!writable_) return Status(Code::kReadOnly, "this copy of the group is read-only");
  TM_TRY(stopped_);
  return watermarks_.may_write();
}

Status Committer::stop(const Status& why) {
  stopped_ = Status(Code::kPoisoned,
                    "the index has failed and nothing more is accepted until the group is opened anew: " + why.text());
  log_error(stopped_.text());
  return stopped_;
}

void Committer::publish() { newest_.store(state_.meta().applied.seq.value(), std::memory_order_release); }

Status Committer::commit(std::span<const RecordDraft> drafts) {
  TM_TRY(writable());
  TM_ASSIGN(auto appended, log_.append(drafts, epoch));
  for (size_t i = 0; i < drafts.size(); ++i) {
    Status applied = state_.apply(appended[i].header, drafts[i].payload.bytes(), appended[i].location);
    if (!applied.ok()) return stop(applied);
  }
  if (Status written = state_.write(); !written.ok()) return stop(written);
  publish();
  return Status();
}

Status Committer::commit_verified(Bytes run) {
  TM_TRY(stopped_);
  Position position = log_.tail_position();
  TM_ASSIGN(auto locations, log_.append_verified(run));
  size_t index = 0;
  Status applied = walk_records(run, position, [&](const RecordView& record) {
    return state_.apply(record.header, record.payload, locations[index++]);
  });
  if (!applied.ok()) return stop(applied);
  if (Status written = state_.write(); !written.ok()) return stop(written);
  publish();
  return Status();
}

}  // namespace tidemark
