#include "fs/cache/direct_writes.h"

namespace tidemark::fs {

void DirectWrites::start(fuse_session* session) {
  session_ = session;
  thread_ = std::thread([this] { run(); });
}

void DirectWrites::stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void DirectWrites::finish(fuse_req_t req, Ino ino, uint64_t at, size_t size) {
  MutexLock lock(mutex_);
  waiting_.push_back({req, ino, at, size});
  changed_.notify_one();
}

void DirectWrites::run() {
  for (;;) {
    std::vector<Write> writes;
    bool last = false;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) changed_.wait(mutex_);
      writes.swap(waiting_);
      last = stopping_;
    }
    for (const Write& write : writes) {
      // It fails where the kernel has forgotten the inode, and its pages with it.
      fuse_lowlevel_notify_inval_inode(session_, write.ino.value(), static_cast<off_t>(write.at),
                                       static_cast<off_t>(write.size));
      fuse_reply_write(write.req, write.size);
    }
    if (last) return;
  }
}

}  // namespace tidemark::fs
