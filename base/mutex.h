// Mutexes that clang's thread-safety analysis understands. The order in which they are taken is in docs/LOCKS.md.
#pragma once

#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#if defined(__clang__)
#define TM_THREAD_ATTR(x) __attribute__((x))
#else
#define TM_THREAD_ATTR(x)
#endif

#define TM_CAPABILITY(x) TM_THREAD_ATTR(capability(x))
#define TM_SCOPED_CAPABILITY TM_THREAD_ATTR(scoped_lockable)
#define TM_GUARDED_BY(x) TM_THREAD_ATTR(guarded_by(x))
#define TM_PT_GUARDED_BY(x) TM_THREAD_ATTR(pt_guarded_by(x))
#define TM_REQUIRES(...) TM_THREAD_ATTR(requires_capability(__VA_ARGS__))
#define TM_REQUIRES_SHARED(...) TM_THREAD_ATTR(requires_shared_capability(__VA_ARGS__))
#define TM_EXCLUDES(...) TM_THREAD_ATTR(locks_excluded(__VA_ARGS__))
#define TM_ACQUIRE(...) TM_THREAD_ATTR(acquire_capability(__VA_ARGS__))
#define TM_ACQUIRE_SHARED(...) TM_THREAD_ATTR(acquire_shared_capability(__VA_ARGS__))
#define TM_RELEASE(...) TM_THREAD_ATTR(release_capability(__VA_ARGS__))
#define TM_RELEASE_SHARED(...) TM_THREAD_ATTR(release_shared_capability(__VA_ARGS__))
#define TM_RELEASE_ANY(...) TM_THREAD_ATTR(release_generic_capability(__VA_ARGS__))
#define TM_NO_ANALYSIS TM_THREAD_ATTR(no_thread_safety_analysis)

namespace tidemark {

class TM_CAPABILITY("mutex") Mutex {
 public:
  void lock() TM_ACQUIRE() { mutex_.lock(); }
  void unlock() TM_RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class TM_CAPABILITY("shared_mutex") SharedMutex {
 public:
  void lock() TM_ACQUIRE() { mutex_.lock(); }
  void unlock() TM_RELEASE() { mutex_.unlock(); }
  void lock_shared() TM_ACQUIRE_SHARED() { mutex_.lock_shared(); }
  void unlock_shared() TM_RELEASE_SHARED() { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

class TM_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) TM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() TM_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class TM_SCOPED_CAPABILITY ExclusiveLock {
 public:
  explicit ExclusiveLock(SharedMutex& mutex) TM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~ExclusiveLock() TM_RELEASE() { mutex_.unlock(); }
  ExclusiveLock(const ExclusiveLock&) = delete;
  ExclusiveLock& operator=(const ExclusiveLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class TM_SCOPED_CAPABILITY SharedLock {
 public:
  explicit SharedLock(SharedMutex& mutex) TM_ACQUIRE_SHARED(mutex) : mutex_(mutex) { mutex_.lock_shared(); }
  ~SharedLock() TM_RELEASE() { mutex_.unlock_shared(); }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;

 private:
  SharedMutex& mutex_;
};

// Waits on a Mutex that the caller holds.
class CondVar {
 public:
  void wait(Mutex& mutex) TM_REQUIRES(mutex) { variable_.wait(mutex); }
  template <class Duration>
  bool wait_for(Mutex& mutex, Duration timeout) TM_REQUIRES(mutex) {
    return variable_.wait_for(mutex, timeout) == std::cv_status::no_timeout;
  }
  void notify_one() { variable_.notify_one(); }
  void notify_all() { variable_.notify_all(); }

 private:
  std::condition_variable_any variable_;
};

}  // namespace tidemark
