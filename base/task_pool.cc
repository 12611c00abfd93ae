#include "base/task_pool.h"

#include <pthread.h>

#include <algorithm>

#include "base/check.h"

namespace tidemark {
namespace {

// A thread that finds nothing to do while so many wait already ends, once all have not been needed for so long.
constexpr size_t kWaitersKept = 2;
constexpr std::chrono::seconds kSpareFor{5};

}  // namespace

std::shared_ptr<TaskPool> TaskPool::make(std::string name, size_t threads_max) {
  return std::shared_ptr<TaskPool>(new TaskPool(std::move(name), threads_max));
}

TaskPool::~TaskPool() {
  std::list<std::thread> all;
  {
    MutexLock lock(mutex_);
    CHECK_INVARIANT(due_.empty());
    stopping_ = true;
    changed_.notify_all();
    all.splice(all.end(), threads_);
    all.splice(all.end(), ended_);
  }
  for (std::thread& thread : all) thread.join();
}

std::unique_ptr<TaskPool::Task> TaskPool::add(const std::shared_ptr<TaskPool>& pool, std::chrono::nanoseconds first,
                                              Job job) {
  std::unique_ptr<Task> task(new Task(pool, std::move(job)));
  MutexLock lock(pool->mutex_);
  pool->enqueue(*task, first);
  pool->ensure_waiter();
  return task;
}

TaskPool::Task::~Task() {
  MutexLock lock(pool_->mutex_);
  gone_ = true;
  pool_->due_.erase({due_, this});
  while (running_) pool_->finished_.wait(pool_->mutex_);
}

size_t TaskPool::threads() const {
  MutexLock lock(mutex_);
  return threads_.size();
}

void TaskPool::enqueue(Task& task, std::chrono::nanoseconds after) {
  task.due_ = std::chrono::steady_clock::now() + std::max(after, std::chrono::nanoseconds(0));
  due_.emplace(task.due_, &task);
  if (due_.begin()->second == &task) changed_.notify_all();
}

// Somebody has to look at the time while jobs run.
void TaskPool::ensure_waiter() {
  if (threads_.size() > at_work_ || due_.empty()) return;
  short_ = std::chrono::steady_clock::now();
  if (threads_.size() >= threads_max_) return;
  join_ended();
  threads_.emplace_back([this] { run(); });
  pthread_setname_np(threads_.back().native_handle(), name_.c_str());
}

void TaskPool::join_ended() {
  for (std::thread& thread : ended_) thread.join();
  ended_.clear();
}

void TaskPool::run() {
  MutexLock lock(mutex_);
  bool worked = false;
  while (!stopping_) {
    const Time now = std::chrono::steady_clock::now();
    if (!due_.empty() && (worked ? due_.begin()->first : time_to_take()) <= now) {
      take(*due_.begin()->second);
      worked = true;
    } else if (waiting_ >= kWaitersKept && now - short_ >= kSpareFor) {
      break;
    } else {
      worked = false;
      wait();
    }
  }
  const auto self = std::find_if(threads_.begin(), threads_.end(),
                                 [](const std::thread& thread) { return thread.get_id() == std::this_thread::get_id(); });
  if (self != threads_.end()) ended_.splice(ended_.end(), threads_, self);
}

// A thread that has just finished a job takes the next one before another is woken for it.
TaskPool::Time TaskPool::time_to_take() const {
  return due_.begin()->first + (at_work_ == 0 ? std::chrono::milliseconds(0) : kPatience);
}

void TaskPool::wait() {
  std::optional<std::chrono::nanoseconds> pause;
  if (!due_.empty()) pause = time_to_take() - std::chrono::steady_clock::now();
  if (waiting_ >= kWaitersKept) pause = std::min<std::chrono::nanoseconds>(kSpareFor, pause.value_or(kSpareFor));
  ++waiting_;
  if (pause) {
    (void)changed_.wait_for(mutex_, *pause);
  } else {
    changed_.wait(mutex_);
  }
  --waiting_;
}

void TaskPool::take(Task& task) {
  due_.erase(due_.begin());
  task.running_ = true;
  ++at_work_;
  ensure_waiter();
  mutex_.unlock();
  const std::optional<std::chrono::nanoseconds> again = task.job_();
  mutex_.lock();
  --at_work_;
  task.running_ = false;
  if (!task.gone_ && again) enqueue(task, *again);
  finished_.notify_all();
}

}  // namespace tidemark
