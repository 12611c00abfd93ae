#include "cli/service/closing.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "cli/service/process_watch.h"
#include "fs/mount.h"
#include "volume/group/group.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kCloseTimeout{30};
constexpr std::chrono::milliseconds kLookEvery{10};

// The mount belongs to another volume: to one that is held by another process than `holder`.
bool is_anothers(const MountedVolume& mount, const Holder& holder) {
  const auto other = lock_holder(mount.source);
  return other.ok() && *other && (*other)->pid != holder.pid;
}

// As its holder sees it. A mount goes on being called by the name that the directory had when it was mounted.
bool is_mounted(const std::string& directory, const Holder& holder, const std::string& mountpoint) {
  auto mounts = list_mounts(static_cast<pid_t>(holder.pid));
  return mounts.ok() && std::any_of(mounts->begin(), mounts->end(), [&](const MountedVolume& mount) {
           if (mount.mountpoint != mountpoint) return false;
           return mount.source == directory || !is_anothers(mount, holder);
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
    std::this_thread::sleep_for(kLookEvery);  // a process that cannot be watched is gone at once
    Status gone = ProcessWatch(static_cast<pid_t>(holder->pid)).wait_gone(std::chrono::milliseconds(100));
    if (!gone.ok() && gone.code() != Code::kTimeout) return gone;
  }
  return {};
}

}  // namespace tidemark::cli
