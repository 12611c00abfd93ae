// Opening, below a directory we hold, what a tree says - and nothing else. Every name comes from a log or from a directory that
// somebody may be changing: none of these calls follows a symbolic link, leaves the directory, or trusts a name unseen.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/status.h"

namespace tidemark {

// Which inode of this machine: what a name must still lead to when it is used again.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};
inline FileIdentity identity_of(const struct stat& info) { return {info.st_dev, info.st_ino}; }

// Longest path within a tree (bytes). The kernel's PATH_MAX does not bound it: paths are walked in pieces.
inline constexpr size_t kTreePathMax = 65536;

// ok, or kCorrupt: an entry's name is 1 … 255 bytes without '/' and NUL, and not "." or "..".
Status check_entry_name(std::string_view name);

// For messages: "/" before it, control characters and bytes that are not text as \xHH.
std::string show_path(std::string_view path);

// The path's last component, and what stands before it ("" for an entry of the root).
std::string_view entry_name(std::string_view path);
std::string_view parent_path(std::string_view path);

// How far a path may lead.
enum class Mounts { kCross, kStay };  // kStay: EXDEV at a mount point

// openat2() below `directory`: no symbolic link anywhere (O_PATH|O_NOFOLLOW opens the link itself), no "..", no magic link.
// `path` is relative, of any length, "" for the directory itself. Returns -1 with errno; O_CLOEXEC is added.
Fd open_beneath(int directory, std::string_view path, int flags, Mounts mounts, mode_t mode = 0);

}  // namespace tidemark
