// Answers that wait until what is appended is durable: here, and at the sites of sync pairs. No thread that serves requests waits.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "volume/group/group.h"

namespace tidemark::fs {

// Thread-safe.
class DurableReplies {
 public:
  using Done = std::function<void(const Status&)>;

  explicit DurableReplies(Group& group) : group_(group) {}
  ~DurableReplies() { stop(); }
  void start();
  // Answers everything that waits (kInterrupted where it waits for a site), then ends the threads.
  void stop();
  // `done` is called with ok once everything appended so far is durable as Group::sync() has it, or with why it cannot be (kBusy: the
  // limit is reached). It must not wait for anything. It is called on another thread, the one that hears of the site's answer where a
  // site has to have it as well, with one exception: who finds nobody syncing syncs for himself, here, since waking another thread can take
  // as long as a quick disk. So the disk holds one caller at most, and a site none.
  void when_durable(Done done);

 private:
  static constexpr size_t kWaitingMax = 16'384;  // requests of one mount; each is a process or thread that waits
  // Two: while one answers those whom its sync served, the other one syncs for those who came meanwhile.
  static constexpr size_t kSyncers = 2;
  static constexpr std::chrono::seconds kSiteWaitMax{60};
  static constexpr std::chrono::milliseconds kSlice{200};
  static constexpr std::chrono::milliseconds kStopStep{5};  // at the end: for what is still being synced
  struct Waiting {
    Seq upto;
    std::chrono::steady_clock::time_point deadline;
    Done done;
  };

  void sync_in_turn();
  void sync_for(std::vector<Waiting> waiting);  // counted in syncing_
  // Answers those for whom the sites have what they wait for, or who may not write any more; where it is time, those as well who waited in
  // vain. Any thread, without a lock.
  void answer_copied();
  void watch_deadlines();
  // Those of `waiting` that need no site are answered; the others are left.
  void answer(std::vector<Waiting>& waiting, const Status& synced);
  [[nodiscard]] std::optional<Status> site_answer(const Waiting& one) const;

  Group& group_;
  std::vector<std::thread> threads_;
  Mutex mutex_;
  CondVar unsynced_came_, uncopied_came_;
  bool watches_ TM_GUARDED_BY(mutex_) = false;  // deadlines are looked at every kSlice: nobody needs to wake the thread
  size_t count_ TM_GUARDED_BY(mutex_) = 0;      // of both queues, and of what is being synced
  size_t syncing_ TM_GUARDED_BY(mutex_) = 0;    // threads that wait for the disk
  std::vector<Waiting> unsynced_ TM_GUARDED_BY(mutex_);  // by rising upto
  std::deque<Waiting> uncopied_ TM_GUARDED_BY(mutex_);   // about by rising upto
  bool stopping_ TM_GUARDED_BY(mutex_) = true;
};

}  // namespace tidemark::fs
