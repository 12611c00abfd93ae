// Threads that share one job, and the thread that started them, which watches over it.
#pragma once

#include <atomic>
#include <functional>

#include "base/mutex.h"
#include "base/status.h"

namespace tidemark {

inline constexpr unsigned kJobsMax = 64;         // no job takes more threads than this
inline constexpr unsigned kJobsDefaultMax = 16;  // nor more than this unasked

// The number of threads meant by a --jobs value: 0 is as many as there are cores, at most kJobsDefaultMax.
unsigned effective_jobs(unsigned asked);

// Runs `work` once on each of `jobs` threads and returns when all have returned. Meanwhile the calling thread calls `tick`
// every 100 ms. Where the system refuses threads there are fewer; with none, the caller does the work (without ticks).
void run_workers(unsigned jobs, const std::function<void()>& work, const std::function<void()>& tick);

// How a shared job ends: the first failure wins, and everybody else stops soon.
class Outcome {
 public:
  explicit Outcome(const std::atomic<bool>* interrupted) : interrupted_(interrupted) {}
  // True when there is nothing more to do: something failed, or the caller asked to stop (kInterrupted).
  [[nodiscard]] bool stopped();
  void fail(Status status);
  [[nodiscard]] Status status();

 private:
  const std::atomic<bool>* interrupted_;
  std::atomic<bool> stopped_{false};
  Mutex mutex_;
  Status first_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
