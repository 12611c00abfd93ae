// The way of our own threads to inodes of the mount they serve, for the flush before a mark.
#pragma once

#include <cstdint>
#include <string>

#include <tidemark/types.h>
#include "base/status.h"

struct fuse_session;

namespace tidemark::fs {

// Open while this lives, and that must be short: a descriptor or a working directory in the mount makes every umount fail.
class OwnRoot {
 public:
  // `readable`: for syncfs(), which costs the daemon requests. `device`: st_dev of the mount.
  OwnRoot(const std::string& mountpoint, uint64_t device, bool readable);
  ~OwnRoot();
  OwnRoot(const OwnRoot&) = delete;
  OwnRoot& operator=(const OwnRoot&) = delete;
  // False: the mountpoint no longer leads to the mount.
  [[nodiscard]] bool reached() const { return reached_; }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  bool reached_;
};

// One thread's way through `root`, which outlives it. Not shared, and one to a thread.
class OwnInodes {
 public:
  OwnInodes(const OwnRoot& root, fuse_session* session);
  ~OwnInodes();
  OwnInodes(const OwnInodes&) = delete;
  OwnInodes& operator=(const OwnInodes&) = delete;

  // Has the kernel write the file's dirty pages and times, and waits until the daemon has taken them. An inode that is gone is ok.
  Status flush(Ino ino);

 private:
  [[nodiscard]] int open_by_handle(Ino ino) const;  // -1: not possible; the path may be
  [[nodiscard]] int open_by_path(Ino ino) const;    // -1: errno says why

  const OwnRoot& root_;
  fuse_session* const session_;
  int before_ = -1;  // this thread's working directory, while it is in the mount
};

}  // namespace tidemark::fs
