// Jobs that come round again and again, on few threads: what would be a thread for each of hundreds of groups.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "base/mutex.h"

namespace tidemark {

// Threads are made as they are needed: beside those at work, one watches the time, and takes what nobody else takes within kPatience. So
// quick jobs have one thread however many they are, and a job that hangs holds up the others for no longer than that; only where as many
// hang as there may be threads, those wait that are due. Thread-safe.
class TaskPool {
 public:
  static constexpr std::chrono::milliseconds kPatience{10};

  // Does what there is to do, and says after which time it wants to come again; nullopt: never.
  using Job = std::function<std::optional<std::chrono::nanoseconds>()>;

  // A job of the pool, which outlives it. On return of the destructor it does not run and never will again: not to be called by the job.
  class Task {
   public:
    ~Task();
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

   private:
    friend class TaskPool;
    using Time = std::chrono::steady_clock::time_point;
    Task(std::shared_ptr<TaskPool> pool, Job job) : pool_(std::move(pool)), job_(std::move(job)) {}

    const std::shared_ptr<TaskPool> pool_;
    const Job job_;
    // Guarded by the pool's mutex.
    Time due_;
    bool running_ = false;
    bool gone_ = false;
  };

  // `name`: what its threads are called, at most 15 bytes.
  static std::shared_ptr<TaskPool> make(std::string name, size_t threads_max);
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  // Runs the job after `first`, and then as it says. The first call makes a thread: make it after the last fork().
  static std::unique_ptr<Task> add(const std::shared_ptr<TaskPool>& pool, std::chrono::nanoseconds first, Job job);
  [[nodiscard]] size_t threads() const TM_EXCLUDES(mutex_);

 private:
  using Time = std::chrono::steady_clock::time_point;
  TaskPool(std::string name, size_t threads_max) : name_(std::move(name)), threads_max_(threads_max) {}
  void enqueue(Task& task, std::chrono::nanoseconds after) TM_REQUIRES(mutex_);
  void ensure_waiter() TM_REQUIRES(mutex_);
  void run();
  // When somebody who watches takes what is due first; there is something.
  [[nodiscard]] Time time_to_take() const TM_REQUIRES(mutex_);
  void wait() TM_REQUIRES(mutex_);
  void take(Task& task) TM_REQUIRES(mutex_);
  void join_ended() TM_REQUIRES(mutex_);

  const std::string name_;
  const size_t threads_max_;
  mutable Mutex mutex_;  // not held while a job runs
  CondVar changed_;
  CondVar finished_;                                            // a job has
  std::set<std::pair<Time, Task*>> due_ TM_GUARDED_BY(mutex_);  // those that do not run
  std::list<std::thread> threads_ TM_GUARDED_BY(mutex_);
  std::list<std::thread> ended_ TM_GUARDED_BY(mutex_);  // or about to
  size_t waiting_ TM_GUARDED_BY(mutex_) = 0;
  size_t at_work_ TM_GUARDED_BY(mutex_) = 0;
  Time short_ TM_GUARDED_BY(mutex_);  // when there was nobody left to watch
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
};

}  // namespace tidemark
