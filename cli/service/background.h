// A service in the background: the command returns when the service is ready, with the exit code of its start.
#pragma once

#include <functional>

#include "base/status.h"

namespace tidemark::cli {

// How a service says that it has started. Until then a failure is reported by the command that started it.
class Readiness {
 public:
  explicit Readiness(int pipe_fd) : pipe_fd_(pipe_fd) {}  // -1: in the foreground
  // In the background: the waiting command ends with 0, and stdin, stdout and stderr become /dev/null.
  void ready();
  void failed(const Status& status);
  [[nodiscard]] bool background() const { return background_; }

 private:
  int pipe_fd_;
  bool background_ = pipe_fd_ >= 0;
};

// Runs `service`, in the foreground here and now, or in a child with a session of its own that logs to syslog. Must be called
// before the process has any thread, any database and any socket context: none of them survives a fork.
// Returns the exit code.
int run_service(bool foreground, const std::function<Status(Readiness&)>& service);

}  // namespace tidemark::cli
