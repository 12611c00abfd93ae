#include "fs/marks/own_inodes.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fs/node.h"
#include "fs/time_travel.h"

namespace tidemark::fs {
namespace {

constexpr int kOpenFlags = O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;

// A file handle as the kernel's FUSE makes it: what NFS clients keep for as long as they like, so it does not change. Where it is another
// all the same, the kernel refuses it (ESTALE).
constexpr int kHandleType = 0x81;  // FILEID_INO64_GEN
struct Handle {
  uint32_t bytes = 12;
  int32_t type = kHandleType;
  uint32_t node_high = 0, node_low = 0, generation = 0;
};
static_assert(sizeof(Handle) == sizeof(file_handle) + 12);

// Asks nobody: a device does not change.
bool is_on_device(int fd, uint64_t device) {
  struct statx about {};
  return fd >= 0 && statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &about) == 0 &&
         makedev(about.stx_dev_major, about.stx_dev_minor) == device;
}

// A working directory of this thread's own, from now on.
bool has_own_directory() {
  thread_local const bool has = unshare(CLONE_FS) == 0;
  return has;
}

}  // namespace

OwnRoot::OwnRoot(const std::string& mountpoint, uint64_t device, bool readable)
    : fd_(open(mountpoint.c_str(), (readable ? O_RDONLY : O_PATH) | O_DIRECTORY | O_CLOEXEC)),
      reached_(is_on_device(fd_, device)) {}

OwnRoot::~OwnRoot() {
  if (fd_ >= 0) close(fd_);
}

// open_by_handle_at() asks for a descriptor in the mount, and to open one would cost the daemon requests; a working directory does as
// well, and costs none.
OwnInodes::OwnInodes(const OwnRoot& root, fuse_session* session) : root_(root), session_(session) {
  if (!has_own_directory()) return;
  before_ = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (before_ < 0 || fchdir(root.fd()) == 0) return;
  close(before_);
  before_ = -1;
}

OwnInodes::~OwnInodes() {
  if (before_ < 0) return;
  if (fchdir(before_) != 0) static_cast<void>(chdir("/") == 0);
  close(before_);
}

int OwnInodes::open_by_handle(Ino ino) const {
  if (before_ < 0) return -1;
  Handle handle;
  handle.node_high = static_cast<uint32_t>(ino.value() >> 32);
  handle.node_low = static_cast<uint32_t>(ino.value());
  return open_by_handle_at(AT_FDCWD, reinterpret_cast<file_handle*>(&handle), O_RDONLY | kOpenFlags);
}

int OwnInodes::open_by_path(Ino ino) const {
  const std::string number = std::to_string(ino.value());
  const std::string path = std::string(kTidemarkName) + "/" + std::string(kInoName) + "/" + number;
  int fd = openat(root_.fd(), path.c_str(), O_RDONLY | kOpenFlags);
  // A mount of an ordinary user: a file may be closed to its owner for reading, for writing, or (EACCES again) for both.
  if (fd < 0 && errno == EACCES) fd = openat(root_.fd(), path.c_str(), O_WRONLY | kOpenFlags);
  const int error = errno;
  // The kernel would keep that name, and with it the inode, though its last real name be gone.
  fuse_lowlevel_notify_inval_entry(session_, kInoDir, number.data(), number.size());
  errno = error;
  return fd;
}

Status OwnInodes::flush(Ino ino) {
  int fd = open_by_handle(ino);
  if (fd < 0) fd = open_by_path(ino);
  if (fd < 0) {
    if (errno == ENOENT || errno == ESTALE) return {};  // closed and gone meanwhile
    return errno_status(errno, "opening it");
  }
  // What the kernel does at every close, and what we rely on for files that are not open. fsync() would do the same and ask the daemon to
  // sync as well.
  return close(fd) == 0 ? Status() : errno_status(errno, "writing its dirty pages");
}

}  // namespace tidemark::fs
