// Ends writes that went beside the page cache where others read the same file through it.
//
// The kernel drops cached pages before it sends a direct write, and after a synchronous one once more. For an asynchronous one
// (io_submit) it does not: what somebody read into the cache in between would stay, as it was before the write, for as long as there
// is memory. So the kernel is told to drop those pages before the write is answered. It waits for reads under way, which need threads
// of ours that serve requests: hence a thread that serves none.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

#include <tidemark/types.h>
#include "base/mutex.h"
#include "fs/libfuse.h"

namespace tidemark::fs {

class DirectWrites {
 public:
  ~DirectWrites() { stop(); }
  void start(fuse_session* session);
  // Ends what is waiting, then the thread.
  void stop();
  // The bytes are in the volume; answers `req` once no page shows what was there before. Bounded by the requests the kernel has
  // under way.
  void finish(fuse_req_t req, Ino ino, uint64_t at, size_t size);

 private:
  struct Write {
    fuse_req_t req = nullptr;
    Ino ino;
    uint64_t at = 0;
    size_t size = 0;
  };
  void run();

  fuse_session* session_ = nullptr;
  std::thread thread_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<Write> waiting_ TM_GUARDED_BY(mutex_);
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
};

}  // namespace tidemark::fs
