#include "fs/durable_replies.h"

#include <algorithm>

#include "log/write/writer.h"

namespace tidemark::fs {

void DurableReplies::start() {
  {
    MutexLock lock(mutex_);
    stopping_ = false;
  }
  for (size_t i = 0; i < kSyncers; ++i) threads_.emplace_back([this] { sync_in_turn(); });
  threads_.emplace_back([this] { watch_deadlines(); });
  if (group_.identity().role == Role::kPrimary) group_.watermarks().on_change([this] { answer_copied(); });
}

void DurableReplies::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  unsynced_came_.notify_all();
  uncopied_came_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  if (!threads_.empty() && group_.identity().role == Role::kPrimary) group_.watermarks().on_change(nullptr);
  threads_.clear();
}

void DurableReplies::when_durable(Done done) {
  Waiting one{Seq(0), std::chrono::steady_clock::now() + kSiteWaitMax, std::move(done)};
  bool alone = false, first = false, queued = false;
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
        first = unsynced_.size() == 1;
        queued = true;
      }
    }
  }
  if (first) unsynced_came_.notify_one();  // without the lock, for which it would wait next
  if (queued) return;
  if (!alone) return one.done({Code::kBusy, "too many requests wait for the disk or for a site"});
  std::vector<Waiting> waiting;
  waiting.push_back(std::move(one));
  sync_for(std::move(waiting));
}

// Those who come while the disk works are the next round's: it has to begin after their records were appended.
void DurableReplies::sync_for(std::vector<Waiting> waiting) {
  const Status synced = group_.log_writer().sync(waiting.back().upto);
  {
    MutexLock lock(mutex_);
    --syncing_;
  }
  answer(waiting, synced);
  if (waiting.empty()) return;
  {
    MutexLock lock(mutex_);
    for (Waiting& one : waiting) uncopied_.push_back(std::move(one));
    if (!watches_) uncopied_came_.notify_one();
  }
  answer_copied();  // where the last one has just answered
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

std::optional<Status> DurableReplies::site_answer(const Waiting& one) const {
  if (group_.identity().role != Role::kPrimary) return Status();
  return group_.watermarks().answer(one.upto);
}

void DurableReplies::answer(std::vector<Waiting>& waiting, const Status& synced) {
  const size_t before = waiting.size();
  std::erase_if(waiting, [&](const Waiting& one) {
    const std::optional<Status> answer = synced.ok() ? site_answer(one) : synced;
    if (answer) one.done(*answer);
    return answer.has_value();
  });
  MutexLock lock(mutex_);
  count_ -= before - waiting.size();
}

void DurableReplies::answer_copied() {
  std::vector<std::pair<Waiting, Status>> answered;
  {
    MutexLock lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    while (!uncopied_.empty()) {
      std::optional<Status> answer = site_answer(uncopied_.front());
      if (!answer && stopping_) answer = {Code::kInterrupted, "the mount ended before the change was durable at a site"};
      if (!answer && now >= uncopied_.front().deadline)
        answer = group_.watermarks().wait_copied(uncopied_.front().upto, now);
      if (!answer) break;
      answered.emplace_back(std::move(uncopied_.front()), *answer);
      uncopied_.pop_front();
    }
  }
  for (const auto& [one, status] : answered) one.done(status);
  MutexLock lock(mutex_);
  count_ -= answered.size();
}

// The sites' answers are heard of elsewhere: who gets none in time is found here.
void DurableReplies::watch_deadlines() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (uncopied_.empty() && !stopping_) uncopied_came_.wait(mutex_);
      if (stopping_ && count_ == 0) return;
      watches_ = true;
      uncopied_came_.wait_for(mutex_, stopping_ ? kStopStep : kSlice);
      watches_ = false;
    }
    answer_copied();
  }
}

}  // namespace tidemark::fs
