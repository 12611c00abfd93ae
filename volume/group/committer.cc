#include "volume/group/committer.h"

#include "base/clock.h"
#include "base/logging.h"
#include "log/format/record_walker.h"
#include "log/write/writer.h"
#include "volume/group/replay.h"

namespace tidemark {
namespace {

std::chrono::nanoseconds since_now(int64_t since_ns) {
  return std::chrono::nanoseconds(since_ns == 0 ? 0 : system_clock().steady_ns() - since_ns);
}

}  // namespace

Status Committer::writable() {
  if (!writable_) return Status(Code::kReadOnly, "this copy of the group is read-only");
  TM_TRY(ready());
  return watermarks_.may_write();
}

// Who asks while the index is behind has decided by what it lacks: he must look again, even if it has caught up by now.
Status Committer::ready() {
  const bool was_behind = behind_;
  TM_TRY(caught_up());
  if (!was_behind) return Status();
  return Status(Code::kNoSpace, "the disk was full until this moment; nothing was changed: try again", ENOSPC);
}

Status Committer::caught_up() {
  TM_TRY(stopped_);
  TM_TRY(state_.writable());
  return behind_ ? publish() : Status();
}

Status Committer::stop(const Status& why) {
  stopped_ =
      Status(Code::kPoisoned, "the index has failed and nothing is accepted until the group is reopened: " + why.text());
  failed_ = true;
  log_error(stopped_.text());
  return stopped_;
}

Status Committer::publish() {
  Status written = state_.write();
  if (written.ok() && state_.meta().applied.seq < log_.appended()) written = replay_stretch(log_, state_, log_.appended());
  behind_ = written.code() == Code::kNoSpace;
  if (behind_) return written;
  if (!written.ok()) return stop(written);
  CHECK_INVARIANT(state_.meta().applied.seq <= log_.appended());  // the index never shows what the log lacks
  newest_.store(state_.meta().applied.seq.value(), std::memory_order_release);
  return Status();
}

void Committer::flush_now_and_then(uint64_t appended_bytes) {
  unflushed_bytes_ += appended_bytes;
  int64_t since = 0;
  unflushed_since_ns_.compare_exchange_strong(since, system_clock().steady_ns());
  if (unflushed_bytes_ < kUnflushedBytesMax && since_now(since) < kUnflushedMax) return;
  unflushed_bytes_ = 0;
  begin_flush(since);
}

std::chrono::nanoseconds Committer::flush_what_is_old() {
  const int64_t since = unflushed_since_ns_;
  const std::chrono::nanoseconds age = since_now(since);
  if (age < kUnflushedMax) return kUnflushedMax - age;
  begin_flush(since);
  return kUnflushedMax;
}

// 0 comes first: rows that are written from here on are seen to be there, and may be flushed once more than they need.
void Committer::begin_flush(int64_t since) {
  unflushed_since_ns_ = 0;
  auto begun = state_.flush_soon();
  // What it meets is met again by whoever writes rows.
  if (!begun.ok()) log_warning(begun.status().text());
  int64_t none = 0;
  if (begun.ok() && !*begun) unflushed_since_ns_.compare_exchange_strong(none, since);
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
                          " MiB and accepts no new data; prune it, raise --max-log, or release what holds it back");
      default: break;
    }
  }
  return Status();
}

Status Committer::commit(std::span<const RecordDraft> drafts, RecordHeader* last) {
  TM_TRY(writable());
  TM_TRY(admit(drafts));
  TM_ASSIGN(auto appended, core_.log_writer().append(drafts, epoch));
  uint64_t bytes = 0;
  for (const Appended& each : appended) bytes += each.header.size_in_log();
  if (last) *last = appended.back().header;
  Status applied;
  for (size_t i = 0; i < drafts.size() && applied.ok(); ++i) {
    applied = state_.apply(appended[i].header, drafts[i].payload.bytes(), appended[i].location);
  }
  const Status finished = finish(applied);
  flush_now_and_then(bytes);
  return finished;
}

// A full disk in the middle of them: what was not applied is read from the log again once there is space.
Status Committer::finish(const Status& applied) {
  if (applied.ok()) return publish();
  behind_ = applied.code() == Code::kNoSpace;
  return behind_ ? applied : stop(applied);
}

Status Committer::load(const std::function<Status()>& load) {
  Status loaded = load();
  if (loaded.ok()) loaded = state_.look_anew();
  if (!loaded.ok()) return stop(loaded);
  newest_.store(state_.meta().applied.seq.value(), std::memory_order_release);
  return Status();
}

// The index first: one that knows more than the log would have to be made anew.
Status Committer::cut(const Position& to) {
  TM_TRY(caught_up());
  TM_TRY(state_.undo(log_, to));
  newest_.store(to.seq.value(), std::memory_order_release);
  const Status cut = core_.log_writer().cut(to);
  behind_ = !cut.ok();  // it has what the index lacks now
  return cut;
}

Status Committer::commit_verified(const VerifiedRun& run) {
  TM_TRY(caught_up());
  TM_ASSIGN(const auto locations, core_.log_writer().append_verified(run));
  Status applied;
  for (size_t i = 0; i < locations.size() && applied.ok(); ++i) {
    const RecordView& record = run.records()[i];
    applied = state_.apply(record.header, record.payload, locations[i]);
  }
  const Status finished = finish(applied);
  flush_now_and_then(run.bytes().size());
  return finished;
}

}  // namespace tidemark
