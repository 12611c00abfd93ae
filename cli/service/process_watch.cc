#include "cli/service/process_watch.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace tidemark::cli {

ProcessWatch::ProcessWatch(pid_t pid) : pid_(pid), fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}

ProcessWatch::~ProcessWatch() {
  if (fd_ >= 0) ::close(fd_);
}

Status ProcessWatch::wait_gone(std::chrono::milliseconds timeout) {
  if (fd_ < 0) return Status();
  auto until = std::chrono::steady_clock::now() + timeout;
  while (true) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd wait{fd_, POLLIN, 0};
    int got = ::poll(&wait, 1, left > 0 ? static_cast<int>(left) : 0);
    if (got > 0) return Status();
    if (got < 0 && errno != EINTR) return errno_status(errno, "cannot wait for process " + std::to_string(pid_));
    if (got == 0) return Status(Code::kTimeout, "process " + std::to_string(pid_) + " is still running");
  }
}

}  // namespace tidemark::cli
