// A FUSE mount of a live group or of a tree at a point. libfuse lives in this folder and nowhere else.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "volume/group/group.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

struct MountOptions {
  std::string mountpoint;
  std::vector<std::string> options;  // from -o: "sync", "nosuid", "suid", "nodev", "dev", "noexec", "ro", "allow_other" …
  std::string source_name;           // shown as the mount's source in /proc/mounts
};

// What is mounted: `group` set: its live tree, writable, with /.tidemark/at/POINT and the mark ioctl. `group` null: `view`, read
// only.
struct MountSource {
  Group* group = nullptr;
  std::shared_ptr<TreeView> view;
};

struct MarkOutcome {
  Mark mark;
  Status wait;  // ok; kTimeout: the mark is made and durable here, but not confirmed by those waited for
};

class Mount {
 public:
  // Mounts. A stale mountpoint of our own ("Transport endpoint is not connected") is cleaned first. kBusy if something is
  // mounted there already; kNotDirectory, kNotFound, kPermission; kInvalid for an unknown option (its name in the text).
  static Result<std::unique_ptr<Mount>> create(const MountSource& source, const MountOptions& options);
  virtual ~Mount() = default;  // unmounts if still mounted

  // Serves requests on several threads until unmounted (by umount(8), tidemark umount or stop()). Returns how it ended.
  virtual Status serve() = 0;
  // Unmounts and lets serve() return. Safe from any thread, not from a signal handler.
  virtual void stop() = 0;

  // Flushes the mount's dirty pages, makes the mark, waits for sites. From any thread that serves no request of this mount.
  // kNotFound: `wait` names no site (no mark is made).
  virtual Result<MarkOutcome> mark(const MarkRequest& request, const std::string& wait,
                                   std::chrono::milliseconds timeout) = 0;
};

// Unmounts `mountpoint` (fusermount3 for users). kBusy: in use, with what to do; kInvalid: not a mountpoint of ours.
Status unmount(const std::string& mountpoint, bool lazy);

struct MountedVolume {
  std::string source;  // what was mounted: DIR or DIR@POINT
  std::string mountpoint;
  bool read_only = false;
};
// The Tidemark mounts that a process sees (0: this one; another may be in a mount namespace of its own), from /proc/PID/mountinfo, names
// unescaped. kNotFound: there is no such process.
Result<std::vector<MountedVolume>> list_mounts(pid_t process = 0);

}  // namespace tidemark
