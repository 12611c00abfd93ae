// Frees inodes that nobody can reach any more, many at a time, behind everybody's back: rm must not wait for it.
#pragma once

#include <thread>
#include <vector>

#include "base/mutex.h"
#include "volume/tree/volume.h"

namespace tidemark::fs {

class Reaper {
 public:
  explicit Reaper(Volume& volume) : volume_(volume) {}
  ~Reaper() { stop(); }

  // Frees what an earlier mount left unnamed: nobody can have it open yet. Before the first request, and after the last.
  Status free_all_unnamed();
  void start();
  // Frees what is waiting, then ends the thread.
  void stop();
  // From any thread; never blocks for long. Bounded by the inodes the kernel knew.
  void add(Ino ino);

 private:
  void run();
  void free_batch(const std::vector<Ino>& inodes);

  Volume& volume_;
  std::thread thread_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<Ino> waiting_ TM_GUARDED_BY(mutex_);
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
};

}  // namespace tidemark::fs
