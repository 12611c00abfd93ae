#include "fs/marks/marks.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fs/marks/own_inodes.h"
#include "volume/history/point.h"

namespace tidemark::fs {
namespace {

constexpr std::chrono::milliseconds kWaitSlice{200};

}  // namespace

// This thread flushes while it lives.
class MarkMaker::Flushing {
 public:
  explicit Flushing(MarkMaker& maker) : maker_(maker) {
    MutexLock lock(maker_.mutex_);
    maker_.flushers_.push_back(tid_);
  }
  ~Flushing() {
    MutexLock lock(maker_.mutex_);
    maker_.flushers_.erase(std::find(maker_.flushers_.begin(), maker_.flushers_.end(), tid_));
  }
  Flushing(const Flushing&) = delete;
  Flushing& operator=(const Flushing&) = delete;

 private:
  MarkMaker& maker_;
  const pid_t tid_ = gettid();
};

MarkMaker::MarkMaker(Group& group, InodeTable& inodes, std::string mountpoint)
    : group_(group), inodes_(inodes), mountpoint_(std::move(mountpoint)) {}

void MarkMaker::start() {
  stopping_ = false;
  for (size_t i = 0; i < kWorkers; ++i) workers_.emplace_back([this] { run(); });
}

void MarkMaker::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

Status MarkMaker::submit(std::function<void()> job) {
  MutexLock lock(mutex_);
  if (queue_.size() >= kQueueMax || stopping_) return {Code::kBusy, "too many marks are being made at once; try again"};
  queue_.push_back(std::move(job));
  changed_.notify_one();
  return {};
}

void MarkMaker::run() {
  for (;;) {
    std::function<void()> job;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) changed_.wait(mutex_);
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    job();
  }
}

Result<MarkOutcome> MarkMaker::make(const MarkRequest& request, const std::string& wait, std::chrono::milliseconds timeout,
                                    const std::function<bool()>& abandoned) {
  TM_TRY(check_mark_name(request.name));
  if (!group_.watermarks().knows(wait)) return Status(Code::kNotFound, "no such site: '" + wait + "'");
  TM_TRY(flush());
  MarkOutcome outcome;
  Result<Mark> made = group_.create_mark(request);
  if (made.status().code() == Code::kTimeout) {  // it is in the log, and a sync pair's site has not confirmed it
    outcome.wait = made.status();
    TM_ASSIGN(outcome.mark, group_.find_mark(request.name));
    return outcome;
  }
  TM_ASSIGN(outcome.mark, std::move(made));
  outcome.wait = wait_for_sites(wait, outcome.mark.seq, timeout, abandoned);
  return outcome;
}

Status MarkMaker::wait_for_sites(const std::string& who, Seq seq, std::chrono::milliseconds timeout,
                                 const std::function<bool()>& abandoned) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto slice = std::clamp(left, std::chrono::milliseconds{0}, kWaitSlice);
    Status status = group_.watermarks().wait_durable(who, seq, slice);
    if (status.code() != Code::kTimeout || left <= kWaitSlice) return status;
    if (stopping_ || (abandoned && abandoned()))
      return {Code::kInterrupted, "the mark is made; the wait for sites was interrupted"};
  }
}

// Only files that are open for writing can have pages on their way: the kernel writes the others' before it closes them (or unmaps
// them). So each of these is opened and closed once more (fs/marks/own_inodes.h). Where there are many, syncfs() before that hands all dirty
// pages to the daemon many at a time; alone it does not do, for it does not wait until the daemon has taken them (a kernel must not hang on
// a FUSE daemon in sync(2)). Where there are few, each request saved counts: it would be a tenth of a mark.
Status MarkMaker::flush() {
  const std::vector<Ino> writers = inodes_.open_for_write();
  if (writers.empty()) return {};
  const uint64_t lost_before = inodes_.pages_lost();
  const Flushing flushing(*this);
  const bool many = writers.size() > kFilesPerThread;
  const OwnRoot root(mountpoint_, device_, many);
  if (!root.reached()) {
    if (!mounted_) return {};
    return {Code::kBusy, mountpoint_ + " no longer leads to the mount (detached, or covered by another): cannot flush it"};
  }
  if (many && syncfs(root.fd()) != 0) return errno_status(errno, "flushing dirty pages before a mark");
  TM_TRY(flush_files(root, writers));
  // The kernel tells one only of those who close a file.
  if (inodes_.pages_lost() == lost_before) return {};
  return {Code::kIo, "dirty pages could not be written before a mark"};
}

// Each file takes a few requests one after the other; other files need not wait for them.
Status MarkMaker::flush_files(const OwnRoot& root, const std::vector<Ino>& files) {
  std::atomic<size_t> next{0};
  Mutex mutex;
  Status failure;
  const auto flush_some = [&] {
    OwnInodes own(root, session_);
    for (size_t i = next++; i < files.size(); i = next++) {
      Status flushed = own.flush(files[i]);
      if (flushed.ok()) continue;
      next = files.size();
      MutexLock lock(mutex);
      failure = flushed.within("flushing inode " + std::to_string(files[i].value()) + " before a mark");
    }
  };
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < std::min(kThreadsMax, files.size() / kFilesPerThread); ++i) {
    helpers.emplace_back([&] {
      const Flushing flushing(*this);
      flush_some();
    });
  }
  flush_some();
  for (std::thread& helper : helpers) helper.join();
  return failure;
}

bool MarkMaker::is_flusher(pid_t tid) const {
  MutexLock lock(mutex_);
  return std::find(flushers_.begin(), flushers_.end(), tid) != flushers_.end();
}

}  // namespace tidemark::fs
