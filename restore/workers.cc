#include "restore/workers.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kTick{100};

// Counts the threads that have not returned yet.
class Running {
 public:
  void add() {
    MutexLock lock(mutex_);
    ++count_;
  }
  void remove() {
    MutexLock lock(mutex_);
    --count_;
    changed_.notify_all();
  }
  // Waits for the last to return, at most one tick. True when there is none left.
  bool wait() {
    MutexLock lock(mutex_);
    if (count_ != 0) changed_.wait_for(mutex_, kTick);
    return count_ == 0;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  unsigned count_ TM_GUARDED_BY(mutex_) = 0;
};

}  // namespace

unsigned effective_jobs(unsigned asked) {
  if (asked != 0) return std::min(asked, kJobsMax);
  return std::clamp(std::thread::hardware_concurrency(), 1u, kJobsDefaultMax);
}

void run_workers(unsigned jobs, const std::function<void()>& work, const std::function<void()>& tick) {
  Running running;
  std::vector<std::thread> threads;
  threads.reserve(jobs);
  for (unsigned i = 0; i < jobs; ++i) {
    running.add();
    try {
      threads.emplace_back([&work, &running] {
        work();
        running.remove();
      });
    } catch (const std::system_error&) {  // no more threads to be had
      running.remove();
      break;
    }
  }
  if (threads.empty()) work();
  while (!running.wait()) tick();
  for (std::thread& thread : threads) thread.join();
}

bool Outcome::stopped() {
  if (stopped_.load(std::memory_order_relaxed)) return true;
  if (interrupted_ == nullptr || !interrupted_->load(std::memory_order_relaxed)) return false;
  fail(Status(Code::kInterrupted, "interrupted"));
  return true;
}

void Outcome::fail(Status status) {
  MutexLock lock(mutex_);
  if (first_.ok()) first_ = std::move(status);
  stopped_.store(true, std::memory_order_relaxed);
}

Status Outcome::status() {
  MutexLock lock(mutex_);
  return first_;
}

}  // namespace tidemark
