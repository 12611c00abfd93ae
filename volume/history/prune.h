// Moving the base of an open group. The order of things, and what each interruption leaves, is in docs/ARCHITECTURE.md.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "volume/group/committer.h"
#include "volume/history/retention.h"
#include "volume/tree/base_rows.h"
#include "volume/tree/tree_reader.h"

namespace tidemark {

// One of a group that is open for writing. Thread-safe; one prune at a time.
class Pruner {
 public:
  Pruner(std::string directory, FileSystem& files, Clock& clock, GroupCore& core, Committer& committer);
  ~Pruner();
  // kInterrupted: the group is being closed. Any failure before the base has moved leaves everything as it was; one of the sweep
  // after it is made up for later.
  Result<PruneReport> prune(const PruneRequest& request) TM_EXCLUDES(mutex_);
  // The image of the present base, written anew from the index. kBusy: the index is not as the base wants it yet. kInvalid: there is
  // no base.
  Status rewrite_image() TM_EXCLUDES(mutex_);
  // In the background: what an interrupted prune has left in the index.
  void finish_earlier();
  // Runs `job` while nothing is pruned. kInterrupted: the group is being closed.
  Status without_pruning(const std::function<Status()>& job) TM_EXCLUDES(mutex_);
  void stop();  // ends what is going on; nothing begins afterwards

 private:
  Result<PruneReport> plan(const PruneRequest& request) TM_REQUIRES(mutex_);
  Result<RetentionState> look(const PruneRequest& request) TM_REQUIRES(mutex_);
  Status add_marks(PruneReport& report);
  Result<BaseRule> make_image(const PruneRequest& request, Seq base) TM_REQUIRES(mutex_);
  Status write_image(const BaseRule& rule, const BaseHeader& before) TM_REQUIRES(mutex_);
  Status carry_out(const PruneRequest& request, PruneReport& report) TM_REQUIRES(mutex_);
  Status retire_rest(uint64_t bytes_per_second, PruneReport& report);
  void tidy_after(const BaseRule& rule, PruneReport& report);
  void back_out(Seq base_before) TM_REQUIRES(mutex_);

  const std::string directory_;
  FileSystem& files_;
  DoubtingClock clock_;  // under mutex_
  GroupCore& core_;
  Committer& committer_;
  Mutex mutex_;  // before the commit lock; held during a prune
  std::atomic<bool> stop_{false};
  std::thread finisher_;
};

}  // namespace tidemark
