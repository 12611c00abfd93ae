#include "cli/service/mount_probe.h"

#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace tidemark::cli {
namespace {

constexpr std::chrono::milliseconds kLook{2};

// Its exit code is the answer.
[[noreturn]] void ask(const char* mountpoint) {
  ::close_range(0, ~0U, 0);  // whoever waits for the end of our output does not wait for this process
  struct statvfs found {};
  MountAnswer answer = MountAnswer::kAnswers;
  if (::statvfs(mountpoint, &found) != 0) {
    answer = errno == EACCES || errno == EPERM ? MountAnswer::kPrivate : MountAnswer::kDead;
  } else if (found.f_namemax == 0) {
    answer = MountAnswer::kPrivate;  // the kernel answers for it, with zeros
  }
  ::_exit(static_cast<int>(answer));
}

}  // namespace

std::string mount_answer_name(MountAnswer answer) {
  switch (answer) {
    case MountAnswer::kAnswers: return "answers";
    case MountAnswer::kDead: return "dead";
    case MountAnswer::kSilent: return "silent";
    case MountAnswer::kPrivate: return "private";
  }
  return "";
}

MountAnswer probe_mount(const std::string& mountpoint, std::chrono::milliseconds patience) {
  // A process of its own: one that waits for a mount which hangs cannot even be killed, and would keep us from ending.
  const pid_t child = ::fork();
  if (child == 0) ask(mountpoint.c_str());
  if (child < 0) return MountAnswer::kSilent;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(child, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kLook);
  }
  if (ended != child || !WIFEXITED(status)) return MountAnswer::kSilent;
  return static_cast<MountAnswer>(WEXITSTATUS(status));
}

}  // namespace tidemark::cli
