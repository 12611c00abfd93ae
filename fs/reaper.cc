#include "fs/reaper.h"

#include <algorithm>
#include <chrono>

#include "base/logging.h"

namespace tidemark::fs {
namespace {
// How long the first of a batch waits for company: one record then frees up to kFreeMax inodes.
constexpr std::chrono::milliseconds kGather{50};
}  // namespace

Status Reaper::free_all_unnamed() {
  for (;;) {
    TM_ASSIGN(std::vector<Ino> left, volume_.unnamed_inodes(kFreeMax));
    if (left.empty()) return {};
    TM_TRY(volume_.free_inodes(left));
  }
}

void Reaper::start() {
  {
    MutexLock lock(mutex_);
    stopping_ = false;
  }
  thread_ = std::thread([this] { run(); });
}

void Reaper::stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Reaper::add(Ino ino) {
  MutexLock lock(mutex_);
  waiting_.push_back(ino);
  if (waiting_.size() == 1 || waiting_.size() == kFreeMax) changed_.notify_one();
}

void Reaper::run() {
  for (;;) {
    std::vector<Ino> batch;
    bool last = false;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) changed_.wait(mutex_);
      if (!stopping_ && waiting_.size() < kFreeMax) changed_.wait_for(mutex_, kGather);
      batch.swap(waiting_);
      last = stopping_;
    }
    free_batch(batch);
    if (last) return;
  }
}

void Reaper::free_batch(const std::vector<Ino>& inodes) {
  for (size_t from = 0; from < inodes.size(); from += kFreeMax) {
    auto begin = inodes.begin() + static_cast<std::ptrdiff_t>(from);
    auto end = inodes.begin() + static_cast<std::ptrdiff_t>(std::min(from + kFreeMax, inodes.size()));
    Status freed = volume_.free_inodes(std::vector<Ino>(begin, end));
    if (!freed.ok()) {
      log_warning("deleted files could not be freed and stay until the next mount: " + freed.text());
      return;
    }
  }
}

}  // namespace tidemark::fs
