// Makes the kernel forget what is no longer so. Forgetting a name waits for whatever goes on in its directory, which waits for
// threads that serve requests: so this has a thread of its own, and nothing waits for it.
#pragma once

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <tidemark/types.h>
#include "base/mutex.h"
#include "fs/libfuse.h"

namespace tidemark::fs {

// What a change touched: names in their directories, and the content and attributes of inodes.
struct Touched {
  std::vector<std::pair<Ino, std::string>> names;
  std::vector<Ino> inodes;
};

// Thread-safe.
class Invalidator {
 public:
  ~Invalidator() { stop(); }
  void start(fuse_session* session);
  void stop();  // ends what is waiting, then the thread
  // The kernel asks anew about all of `touched`, soon.
  void forget(Touched touched);

 private:
  // Changes that took effect and failed, of requests that waited: more than can wait at once (DurableReplies).
  static constexpr size_t kWaitingMax = 32'768;
  void run();

  fuse_session* session_ = nullptr;
  std::thread thread_;
  Mutex mutex_;
  CondVar came_;
  std::vector<Touched> waiting_ TM_GUARDED_BY(mutex_);
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
};

}  // namespace tidemark::fs
