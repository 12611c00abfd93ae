#include "cli/target.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cli/source.h"
#include "fs/mountinfo.h"
#include "restore/safe_path.h"
#include "volume/group/occupied.h"

namespace tidemark::cli {
namespace {

constexpr ino_t kMountRootInode = 1;

// `path` if it is a directory, or else the directory in which it would be.
Fd open_nearest(const std::string& path) {
  Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) return fd;
  return Fd(::open(std::filesystem::path(absolute_path(path)).parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

// Which of the mounts an open file was reached through; 0 where the kernel does not tell.
uint64_t mount_of(int fd) {
  std::ifstream file("/proc/self/fdinfo/" + std::to_string(fd));
  for (std::string word; file >> word;) {
    uint64_t id = 0;
    if (word == "mnt_id:" && file >> id) return id;
  }
  return 0;
}

bool begins_with(const std::string& path, const std::string& directory) {
  return directory == "/" || path == directory || path.starts_with(directory + "/");
}

std::string join(const std::string& directory, const std::string& rest) {  // rest: "" or "/x/y"
  return directory == "/" ? (rest.empty() ? "/" : rest) : directory + rest;
}

// The path of an open directory from the root of its file system; "" where that cannot be told.
std::string path_in_file_system(int fd, const fs::MountEntry& mount) {
  std::error_code error;
  const std::string path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error).string();
  if (error || !begins_with(path, mount.mountpoint)) return "";
  return join(mount.root, mount.mountpoint == "/" ? path : path.substr(mount.mountpoint.size()));
}

// A bind mount of DIR/index, say, has nothing above it that looks like a group: the same directory is looked up in the other mounts of its
// file system, which may show more.
Status check_elsewhere(int fd, const std::string& what) {
  TM_ASSIGN(const auto mounts, fs::read_mountinfo());
  const uint64_t id = mount_of(fd);
  const auto own = std::find_if(mounts.begin(), mounts.end(), [&](const fs::MountEntry& mount) { return mount.id == id; });
  if (own == mounts.end() || own->root == "/") return Status();
  const std::string inner = path_in_file_system(fd, *own);
  struct stat here {};
  if (inner.empty() || ::fstat(fd, &here) != 0) return Status();
  for (const fs::MountEntry& mount : mounts) {
    const bool same = mount.device_major == own->device_major && mount.device_minor == own->device_minor;
    if (!same || mount.id == own->id || !begins_with(inner, mount.root)) continue;
    const std::string there = join(mount.mountpoint, mount.root == "/" ? inner : inner.substr(mount.root.size()));
    const Fd other(::open(there.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    struct stat about {};
    if (!other.valid() || ::fstat(other.get(), &about) != 0) continue;
    if (about.st_dev == here.st_dev && about.st_ino == here.st_ino) TM_TRY(check_outside_groups(other.get(), what));
  }
  return Status();
}

Status check_not_mounted_here(const std::string& path, const std::string& what, const Source& source) {
  struct stat here {};
  if (source.remote || ::stat(path.c_str(), &here) != 0 || here.st_ino != kMountRootInode) return Status();
  TM_ASSIGN(const auto mounts, fs::read_mountinfo());
  for (const fs::MountEntry& mount : mounts) {
    if (mount.type != fs::kFilesystemType || makedev(mount.device_major, mount.device_minor) != here.st_dev) continue;
    if (mounted_now({mount.source, mount.mountpoint}) != source.directory) continue;
    return Status(Code::kInvalid,
                  what + " is the mountpoint of " + source.text +
                      " itself: a restore would replace its files with older ones; restore to another place (a "
                      "directory in the mount will do) and move the files that you want back");
  }
  return Status();
}

}  // namespace

Status check_target(const std::string& path, const std::string& what, const Source* source) {
  const Fd nearest = open_nearest(path);
  if (!nearest.valid()) return Status();
  TM_TRY(check_outside_groups(nearest.get(), what));
  TM_TRY(check_elsewhere(nearest.get(), what));
  return source == nullptr ? Status() : check_not_mounted_here(path, what, *source);
}

Status check_import(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || !is_groups_place(fd.get())) return Status();
  return Status(Code::kInvalid, "--from " + path +
                                    " is the directory that holds a volume's log, not the volume's content; "
                                    "mount it and give the mountpoint, or use `tidemark restore " +
                                    path + " --as volume`");
}

}  // namespace tidemark::cli
