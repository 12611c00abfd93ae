// Keeps one kind of request from taking all threads: a read can wait for a site that is far away, or for a disk that has trouble.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>

#include "base/mutex.h"

namespace tidemark::fs {

// Thread-safe.
class Lane {
 public:
  // At most `most` jobs run at a time.
  explicit Lane(size_t most) : most_(most) {}

  // Runs `job` now, on this thread; or, where so many run already, later, on a thread that has ended one. So it holds no more threads than
  // that, and needs none of its own.
  template <class Job>
  void run(Job&& job) {
    {
      MutexLock lock(mutex_);
      if (running_ >= most_ && waiting_.size() < kWaitingMax) {
        waiting_.emplace_back(std::forward<Job>(job));
        return;
      }
      ++running_;
    }
    job();
    for (std::function<void()> next = take(); next; next = take()) next();
  }

 private:
  static constexpr size_t kWaitingMax = 16'384;  // beyond, jobs run at once
  std::function<void()> take() {
    MutexLock lock(mutex_);
    if (waiting_.empty() || running_ > most_) {
      --running_;
      return nullptr;
    }
    std::function<void()> next = std::move(waiting_.front());
    waiting_.pop_front();
    return next;
  }

  const size_t most_;
  Mutex mutex_;
  size_t running_ TM_GUARDED_BY(mutex_) = 0;
  std::deque<std::function<void()>> waiting_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark::fs
