// Marks through a mount: everything written before becomes part of the log, then the mark, then the wait for sites.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "fs/cache/inode_table.h"
#include "fs/mount.h"

struct fuse_session;

namespace tidemark::fs {

class OwnRoot;

// Thread-safe.
class MarkMaker {
 public:
  MarkMaker(Group& group, InodeTable& inodes, std::string mountpoint);
  ~MarkMaker() { stop(); }

  void set_mount(fuse_session* session, uint64_t device) { session_ = session, device_ = device; }  // device: its st_dev
  void start();
  // The mount is gone, and the kernel flushed it on the way: nothing is left to flush.
  void unmounted() { mounted_ = false; }
  // Ends waits for sites early and joins the workers. What is queued is answered.
  void stop();

  // Runs `job` on a worker: a thread that serves no request and so may wait for the mount itself. kBusy: the queue is full.
  Status submit(std::function<void()> job);

  // On the calling thread, which must serve no request. `abandoned` is asked now and then while sites are waited for; once it
  // says true the wait ends as kInterrupted.
  Result<MarkOutcome> make(const MarkRequest& request, const std::string& wait, std::chrono::milliseconds timeout,
                           const std::function<bool()>& abandoned);

  // Writes every dirty page and time of the mount to the volume. kIo: something could not be written. kBusy: the mount cannot
  // be reached at its mountpoint.
  Status flush();
  // True where `tid` is a thread of ours that flushes just now: its close must flush, and it alone may use /.tidemark/ino.
  [[nodiscard]] bool is_flusher(pid_t tid) const;

 private:
  class Flushing;
  static constexpr size_t kWorkers = 8;
  static constexpr size_t kQueueMax = 64;

  // Files flushed side by side: so many to a thread, on so many threads at most.
  static constexpr size_t kFilesPerThread = 4;
  static constexpr size_t kThreadsMax = 8;

  void run();
  Status flush_files(const OwnRoot& root, const std::vector<Ino>& files);
  Status wait_for_sites(const std::string& who, Seq seq, std::chrono::milliseconds timeout,
                        const std::function<bool()>& abandoned);

  Group& group_;
  InodeTable& inodes_;
  const std::string mountpoint_;
  fuse_session* session_ = nullptr;
  uint64_t device_ = 0;

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ TM_GUARDED_BY(mutex_);
  std::vector<pid_t> flushers_ TM_GUARDED_BY(mutex_);
  std::vector<std::thread> workers_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> mounted_{true};
};

}  // namespace tidemark::fs
