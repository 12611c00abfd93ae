// The one place where a change becomes history: checked drafts → log → rows, one at a time, under the commit lock.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <span>

#include "base/mutex.h"
#include "volume/group/watermarks.h"
#include "volume/history/log_limit.h"
#include "volume/tree/tree_reader.h"

namespace tidemark {

class VerifiedRun;

// What the index on disk lacks of the log is read again when a group is opened after a crash: at most about this much, and only what is
// older than that where something is written.
inline constexpr uint64_t kUnflushedBytesMax = uint64_t{512} << 20;
inline constexpr std::chrono::seconds kUnflushedMax{30};

class Committer {
 public:
  Committer(GroupCore& core, const Watermarks& watermarks, bool writable)
      : core_(core),
        log_(*core.log),
        state_(*core.state),
        watermarks_(watermarks),
        writable_(writable),
        newest_(state_.meta().applied.seq.value()) {}

  // The commit lock. Whoever decides on the newest state (does the name exist?) holds it from the question to commit().
  Mutex mutex;

  // ok, or why nothing may be changed: kReadOnly (no right to, or fenced), or the failure that stopped an earlier commit half-way;
  // kNoSpace.
  Status writable() TM_REQUIRES(mutex);
  // Appends the drafts in order and applies them. kNoSpace (the disk, or the log limit) leaves everything as it was, except where the disk
  // filled up between the log and the index: then the change is in the log, and readers see it once the index can be written again.
  // `last` gets the header of the last one.
  Status commit(std::span<const RecordDraft> drafts, RecordHeader* last = nullptr) TM_REQUIRES(mutex);
  // ok: the newest state is all that the log has, so records of another site can be held against it. kNoSpace: the index's disk is full.
  Status caught_up() TM_REQUIRES(mutex);
  // Appends and applies records another site numbered. kInvalid: they do not follow log.tail_position().
  Status commit_verified(const VerifiedRun& run) TM_REQUIRES(mutex);

  // The records above `to` go, from the index and the log. Whoever calls has seen to it that nobody looks at them.
  Status cut(const Position& to) TM_REQUIRES(mutex);
  // The index is brought further by `load`, to where the log is. After a failure only opening anew helps.
  Status load(const std::function<Status()>& load) TM_REQUIRES(mutex);

  // Has what is not on disk for too long brought there, where nobody commits any more. Any thread. Returns when to ask again.
  std::chrono::nanoseconds flush_what_is_old();
  // It was stopped half-way: nothing more is accepted. Without the lock.
  [[nodiscard]] bool failed() const { return failed_; }

  [[nodiscard]] Seq newest() const { return Seq(newest_.load(std::memory_order_acquire)); }
  [[nodiscard]] TreeState& state() { return state_; }
  [[nodiscard]] Log& log() { return log_; }
  // The tenure records are written under. Set before the first commit.
  Epoch epoch{1};
  LogLimit log_limit;  // likewise

 private:
  // ok, or why nothing may be appended.
  Status ready() TM_REQUIRES(mutex);
  // Applies what the log has and the index has not, puts it there, and shows it. On kNoSpace the next call goes on where this one stopped.
  Status publish() TM_REQUIRES(mutex);
  // After rows were written: has the index brought to disk when enough was appended since the last time.
  void flush_now_and_then(uint64_t appended_bytes) TM_REQUIRES(mutex);
  void begin_flush(int64_t since_ns);
  // After records were appended: `applied` says how far applying them came.
  Status finish(const Status& applied) TM_REQUIRES(mutex);
  // A failure after the append: the log has what the index lacks. Only opening anew (which replays the log) mends that.
  Status stop(const Status& why) TM_REQUIRES(mutex);
  // kNoSpace where the drafts bring new data and the log may not grow. What takes away goes on, so that room can be made.
  Status admit(std::span<const RecordDraft> drafts) const;

  GroupCore& core_;
  Log& log_;
  TreeState& state_;
  const Watermarks& watermarks_;
  const bool writable_;
  Status stopped_ TM_GUARDED_BY(mutex);
  bool behind_ TM_GUARDED_BY(mutex) = false;  // the index lacks what the log has: its disk is full
  uint64_t unflushed_bytes_ TM_GUARDED_BY(mutex) = 0;
  std::atomic<int64_t> unflushed_since_ns_{0};  // 0: no row was written since the last flush began
  std::atomic<uint64_t> newest_;
  std::atomic<bool> failed_{false};
};

}  // namespace tidemark
