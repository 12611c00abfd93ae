// The names of processes that ask, as /proc/PID/comm has them at this moment.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/mutex.h"

namespace tidemark::fs {

// Thread-safe. Looking a process up in /proc costs a twentieth of a mark, reading a file that is open next to nothing; and an open one stays
// with the process it was opened for, whoever gets its number next.
class ProcessNames {
 public:
  ProcessNames() = default;
  ~ProcessNames();
  ProcessNames(const ProcessNames&) = delete;
  ProcessNames& operator=(const ProcessNames&) = delete;
  // "" where there is no such process, or /proc does not show it.
  std::string of(uint32_t pid);

 private:
  static constexpr size_t kKept = 16;
  struct Known {
    uint32_t pid = 0;
    int fd = -1;
  };
  Mutex mutex_;
  std::deque<Known> newest_first_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark::fs
