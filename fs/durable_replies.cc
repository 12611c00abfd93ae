#include "fs/durable_replies.h"

#include <algorithm>

namespace tidemark::fs {

void DurableReplies::start() {
  {
    MutexLock lock(mutex_);
    stopping_ = false;
  }
  for (size_t i = 0; i < kSyncers; ++i) threads_.emplace_back([this] { sync_in_turn(); });
  threads_.emplace_back([this] { wait_for_sites(); });
}

void DurableReplies::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  unsynced_came_.notify_all();
  uncopied_came_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void DurableReplies::when_durable(Done done) {
  Waiting one{Seq(0), std::chrono::steady_clock::now() + kSiteWaitMax, std::move(done)};
  bool alone = false;
  {
    MutexLock lock(mutex_);
    if (count_ < kWaitingMax && !stopping_) {
      ++count_;
      one.upto = group_.log().appended();
      alone = syncing_ == 0 && unsynced_.empty();
      if (alone) {
        ++syncing_;
      } else {
        unsynced_.push_back(std::move(one));
        if (unsynced_.size() == 1) unsynced_came_.notify_one();
        return;
      }
    }
  }
  if (!alone) return one.done({Code::kBusy, "too many requests wait for the disk or for a site"});
  std::vector<Waiting> waiting;
  waiting.push_back(std::move(one));
  sync_for(std::move(waiting));
}

// Those who come while the disk works are the next round's: it has to begin after their records were appended.
void DurableReplies::sync_for(std::vector<Waiting> waiting) {
  const Status synced = group_.log().sync(waiting.back().upto);
  {
    MutexLock lock(mutex_);
    --syncing_;
  }
  answer(waiting, synced);
  if (waiting.empty()) return;
  MutexLock lock(mutex_);
  for (Waiting& one : waiting) uncopied_.push_back(std::move(one));
  uncopied_came_.notify_one();
}

void DurableReplies::sync_in_turn() {
  for (;;) {
    std::vector<Waiting> waiting;
    {
      MutexLock lock(mutex_);
      while (unsynced_.empty() && !stopping_) unsynced_came_.wait(mutex_);
      if (unsynced_.empty()) return;
      waiting.swap(unsynced_);
      ++syncing_;
    }
    sync_for(std::move(waiting));
  }
}

bool DurableReplies::copied(Seq upto) const {
  if (group_.identity().role != Role::kPrimary) return true;
  return group_.watermarks().may_write().ok() && group_.watermarks().may_acknowledge(upto);
}

void DurableReplies::answer(std::vector<Waiting>& waiting, const Status& synced) {
  const size_t before = waiting.size();
  std::erase_if(waiting, [&](const Waiting& one) {
    if (synced.ok() && !copied(one.upto)) return false;
    one.done(synced);
    return true;
  });
  MutexLock lock(mutex_);
  count_ -= before - waiting.size();
}

void DurableReplies::wait_for_sites() {
  for (;;) {
    Waiting first;
    bool last = false;
    {
      MutexLock lock(mutex_);
      while (uncopied_.empty() && !stopping_) uncopied_came_.wait(mutex_);
      // At the end the syncers may still bring some.
      while (uncopied_.empty() && count_ > 0) uncopied_came_.wait_for(mutex_, kSlice);
      if (uncopied_.empty()) return;
      first = std::move(uncopied_.front());
      uncopied_.pop_front();
      last = stopping_;
    }
    const auto slice = std::chrono::steady_clock::now() + (last ? std::chrono::milliseconds{0} : kSlice);
    Status status = group_.watermarks().wait_copied(first.upto, std::min(slice, first.deadline));
    const bool again = status.code() == Code::kTimeout && std::chrono::steady_clock::now() < first.deadline;
    if (again && last) status = {Code::kInterrupted, "the mount ended before a site had what was to be durable there"};
    if (!again || last) first.done(status);
    MutexLock lock(mutex_);
    if (again && !last) {
      uncopied_.push_front(std::move(first));
    } else {
      --count_;
    }
  }
}

}  // namespace tidemark::fs
