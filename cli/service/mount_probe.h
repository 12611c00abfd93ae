// Whether a mount answers: the kernel goes on listing one whose process was killed.
#pragma once

#include <chrono>
#include <string>

namespace tidemark::cli {

enum class MountAnswer {
  kAnswers,
  kDead,     // its process is gone
  kSilent,   // not in time
  kPrivate,  // another user's, who lets nobody else look
};
[[nodiscard]] std::string mount_answer_name(MountAnswer answer);  // "answers", "dead", "silent", "private"

// Asks the mount's process, and waits no longer than `patience`.
MountAnswer probe_mount(const std::string& mountpoint, std::chrono::milliseconds patience);

}  // namespace tidemark::cli
