// Looks after a group's history in the background: prunes by the group's policy, watches the log limit. The keepers of a process share
// their threads (volume/group/housekeeping.h).
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/task_pool.h"
#include "volume/group/group.h"

namespace tidemark {

struct HistoryKeeperOptions {
  // Adds what others still need (`keep`, `tombstones_from`); asked before each prune, on a keeper's thread.
  std::function<void(PruneRequest&)> needs;
  // The log is full, OnFull::kSuspendPair, and what `needs` named is why it cannot be pruned: gives up whoever needs the oldest
  // records. True: it did, and no longer names it; a difference that it was being sent is not read any more. On a keeper's thread, until the log can be pruned.
  std::function<bool()> give_up_one;
  // The log has come under another pressure. On a keeper's thread.
  std::function<void(LogPressure now)> on_pressure;
  std::chrono::milliseconds prune_every{60'000};   // also at once when the pressure rises, and as long as the log is full
  std::chrono::milliseconds retry_every{1'000};    // where the log is full and could not be pruned
  std::chrono::milliseconds look_every{50};        // at the pressure: how much beyond the limit is written depends on it
  uint64_t bytes_per_second = uint64_t{64} << 20;  // of records that a prune moves, unless the log is full
};

// Policy and limit are those of the group's options. Where there is no policy, but a limit that suspends pairs, the limit is the
// policy once it is reached: the oldest history goes, until three quarters of it are in use. The group must outlive it.
class HistoryKeeper {
 public:
  HistoryKeeper(Group& group, HistoryKeeperOptions options);
  ~HistoryKeeper();  // a prune that is going on is given up, and none begins until the group is opened anew
  HistoryKeeper(const HistoryKeeper&) = delete;
  HistoryKeeper& operator=(const HistoryKeeper&) = delete;

 private:
  std::optional<std::chrono::nanoseconds> run();
  [[nodiscard]] std::chrono::milliseconds until_look() const;
  bool look();
  [[nodiscard]] bool must_make_room() const;
  [[nodiscard]] RetentionPolicy policy() const;
  Result<PruneReport> plan(PruneRequest& request);
  bool prune();

  Group& group_;
  const HistoryKeeperOptions options_;
  std::atomic<bool> stopping_{false};
  // Of run(), which is never called twice at a time.
  std::chrono::steady_clock::time_point next_prune_;
  LogPressure pressure_ = LogPressure::kOk;
  std::string told_;                      // the failure that was logged last
  std::unique_ptr<TaskPool::Task> task_;  // last: it uses what stands above
};

}  // namespace tidemark
