// What is mounted where, as the kernel tells it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tidemark::fs {

inline constexpr std::string_view kFilesystemType = "fuse.tidemark";
// Of the root of a mounted volume: where its directory is now, which may have been renamed since it was mounted. Root and whoever mounted
// are answered.
inline constexpr char kDirectoryXattr[] = "user.tidemark.directory";

struct MountEntry {
  uint64_t id = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::string root;  // which directory of its file system is mounted: "/" but for bind mounts and subvolumes
  std::string mountpoint;
  std::string type;
  std::string source;
  bool read_only = false;
};

// Reads one line of /proc/PID/mountinfo; nullopt where it has no such form. Octal escapes are decoded.
std::optional<MountEntry> parse_mountinfo_line(std::string_view line);
// All mounts that a process sees (0: this one), in the order in which they were mounted.
Result<std::vector<MountEntry>> read_mountinfo(pid_t process = 0);
// The topmost mount whose mountpoint is exactly `path`.
Result<std::optional<MountEntry>> mount_at(const std::string& path);
// `path` absolute and without symlinks, found without touching its last component: that may be a dead mount.
Result<std::string> canonical_mountpoint(const std::string& path);
// umount2(2) as root, fusermount3 else. kBusy, kPermission, kIo.
Status detach(const std::string& mountpoint, bool lazy);

}  // namespace tidemark::fs
