// Waits for connections on many sockets, on one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"

namespace tidemark::cli {

// Thread-safe. From the first socket on it has a thread: add one after the last fork().
class Acceptor {
 public:
  // Takes the descriptor over. Called on the acceptor's thread: quick, and it takes no socket away.
  using Admit = std::function<void(int fd)>;

  // The one of this process; it ends with the last who holds it.
  static std::shared_ptr<Acceptor> of_this_process();
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  Status add(int listener, Admit admit) TM_EXCLUDES(mutex_);
  // On return nothing is admitted there, nor will be. The descriptor stays the caller's.
  void remove(int listener) TM_EXCLUDES(mutex_);

 private:
  Acceptor() = default;
  Status start() TM_REQUIRES(mutex_);
  void run();
  bool accept_one(int listener) TM_EXCLUDES(mutex_);

  Mutex mutex_;  // held while somebody is admitted
  std::map<int, Admit> listeners_ TM_GUARDED_BY(mutex_);
  int poll_ = -1;  // epoll; with the next set once, before the thread begins
  int wake_ = -1;  // eventfd: readable once we stop
  std::thread thread_;
};

}  // namespace tidemark::cli
