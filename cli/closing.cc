#include "cli/closing.h"

#include <algorithm>
#include <chrono>

#include "cli/process_watch.h"
#include "fs/mount.h"
#include "volume/group.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kCloseTimeout{30};

// As its holder sees it.
bool is_mounted(const std::string& directory, const Holder& holder, const std::string& mountpoint) {
  auto mounts = list_mounts(static_cast<pid_t>(holder.pid));
  return mounts.ok() && std::any_of(mounts->begin(), mounts->end(), [&](const MountedVolume& mount) {
           return mount.source == directory && mount.mountpoint == mountpoint;
         });
}

}  // namespace

Status wait_until_closed(const std::string& directory) {
  const std::string prefix = kMountPurpose;
  const auto until = std::chrono::steady_clock::now() + kCloseTimeout;
  while (std::chrono::steady_clock::now() < until) {
    TM_ASSIGN(std::optional<Holder> holder, lock_holder(directory));
    if (!holder || !holder->purpose.starts_with(prefix)) return {};
    if (is_mounted(directory, *holder, holder->purpose.substr(prefix.size()))) return {};
    Status gone = ProcessWatch(static_cast<pid_t>(holder->pid)).wait_gone(std::chrono::milliseconds(100));
    if (!gone.ok() && gone.code() != Code::kTimeout) return gone;
  }
  return {};
}

}  // namespace tidemark::cli
