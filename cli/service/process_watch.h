// Waiting for a process that is not our child to be gone.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "base/status.h"

namespace tidemark::cli {

// Refers to one process for good: a number that is used again later is another process.
class ProcessWatch {
 public:
  explicit ProcessWatch(pid_t pid);
  ~ProcessWatch();
  ProcessWatch(const ProcessWatch&) = delete;
  ProcessWatch& operator=(const ProcessWatch&) = delete;
  // Ok once it is gone (at once if it was when we began); kTimeout.
  Status wait_gone(std::chrono::milliseconds timeout);

 private:
  pid_t pid_;
  int fd_;
};

}  // namespace tidemark::cli
