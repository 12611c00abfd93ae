#include "fs/cache/invalidator.h"

#include "base/logging.h"

namespace tidemark::fs {

void Invalidator::start(fuse_session* session) {
  session_ = session;
  thread_ = std::thread([this] { run(); });
}

void Invalidator::stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  came_.notify_all();
  thread_.join();
}

void Invalidator::forget(Touched touched) {
  MutexLock lock(mutex_);
  if (waiting_.size() >= kWaitingMax) {
    log_warning("the kernel may show a stale name or file: too many changes failed at once; unmount and mount again");
    return;
  }
  waiting_.push_back(std::move(touched));
  came_.notify_one();
}

void Invalidator::run() {
  for (;;) {
    std::vector<Touched> all;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) came_.wait(mutex_);
      if (waiting_.empty()) return;
      all.swap(waiting_);
    }
    // Each fails where the kernel does not know what it is about: then there is nothing to forget.
    for (const Touched& touched : all) {
      for (const auto& [directory, name] : touched.names) {
        fuse_lowlevel_notify_inval_entry(session_, directory.value(), name.data(), name.size());
        fuse_lowlevel_notify_inval_inode(session_, directory.value(), -1, 0);
      }
      for (Ino ino : touched.inodes) fuse_lowlevel_notify_inval_inode(session_, ino.value(), 0, 0);
    }
  }
}

}  // namespace tidemark::fs
