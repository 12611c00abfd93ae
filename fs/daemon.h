// One mount's state, and what every operation needs of it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fs/cache/direct_writes.h"
#include "fs/cache/inode_table.h"
#include "fs/cache/invalidator.h"
#include "fs/directory_handle.h"
#include "fs/durable_replies.h"
#include "fs/lane.h"
#include "fs/marks/mark_gate.h"
#include "fs/marks/marks.h"
#include "fs/marks/process_names.h"
#include "fs/node.h"
#include "fs/options.h"
#include "fs/reaper.h"
#include "fs/rights/default_acls.h"
#include "fs/rights/past_rights.h"
#include "fs/time_travel.h"

namespace tidemark::fs {

// Who asks.
struct Caller {
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t pid = 0;
  uint32_t umask = 0;
};
inline Caller caller_of(fuse_req_t req) {
  const fuse_ctx* ctx = fuse_req_ctx(req);
  return {ctx->uid, ctx->gid, static_cast<uint32_t>(ctx->pid), ctx->umask};
}

// The kernel tells the caller's first group only; the others are in /proc.
bool in_group(const Caller& caller, uint32_t group);

// An inode of some tree. `hold` keeps a past tree open while it is used.
struct Node {
  TreeView* tree = nullptr;
  uint32_t slot = kMainSlot;
  Ino ino;
  std::shared_ptr<TreeView> hold;
};

// Enough that requests which read the disk leave others free. What waits for longer waits elsewhere (fs/durable_replies, fs/marks/marks).
inline constexpr unsigned kThreadsMax = 24;
inline constexpr unsigned kReadsMax = 20;  // of them for reading content, which may have to come from another site

// What the kernel is told of an inode, and for how long it may believe it.
struct Answer {
  struct stat about {};
  double seconds = 0;
};

struct Daemon {
  Daemon(const MountSource& source, ParsedOptions parsed, const std::string& mountpoint);

  const ParsedOptions options;
  Group* const group;                     // null: a point is mounted
  Volume* const volume;                   // null: nothing can be changed through this mount
  const std::shared_ptr<TreeView> point;  // the mounted point
  TreeView* const tree;                   // what slot 0 shows
  // True where we are the only writer, so that the kernel may remember everything for long; false on a replica.
  const bool only_writer;
  const double timeout_seconds;  // of names and attributes in the kernel
  const bool writeback;          // the kernel writes pages back when it likes, and keeps size and times meanwhile
  bool setxattr_ext = false;     // set once, with INIT
  fuse_session* session = nullptr;
  std::string bdi_path;  // /sys/class/bdi/MAJOR:MINOR

  InodeTable inodes;
  DefaultAcls default_acls;
  DirectWrites direct_writes;
  RecentPages recent_pages;
  Lane reads{kReadsMax};
  std::optional<TimeTravel> travel;
  std::optional<Reaper> reaper;
  std::optional<MarkMaker> marks;
  std::optional<MarkGate> mark_gate;
  ProcessNames process_names;
  std::optional<DurableReplies> durable;
  Invalidator invalidator;

  // The kernel has its answer to INIT: settings that it would overwrite are made now.
  void kernel_ready();

  // What an id means. kStale where nothing.
  Result<Node> node(fuse_ino_t id);
  // The volume, to change inode `id`; kReadOnly where it is in a past tree, or the mount is read-only.
  Result<Volume*> writable(fuse_ino_t id);
  // Counts what a reply gives the kernel; takes it back (also: the kernel forgets).
  void grab(fuse_ino_t id);
  void drop(fuse_ino_t id, uint64_t lookups);
  // telling.cc. `write_follows`: the kernel asks because a write begins.
  Answer tell(uint32_t slot, Attr attr, bool write_follows = false);
  fuse_entry_param entry(uint32_t slot, const Attr& attr, bool write_follows = false);
  Answer tell_past(fuse_ino_t id, TreeView& past, const Attr& then);
  PastRights past_rights_of(TreeView& past, const Attr& then);
  void ask_again(Ino ino);  // makes the kernel forget the inode's attributes
  void opened_for_write(Ino ino);
  void released_after_write(Ino ino);
  // An inode lost its last name.
  void unlinked(const Attr& attr);
  // A change took effect and its reply waits: `answer` sends it, at once, or with -o sync when the change is durable, on another thread.
  // Where it does not become durable the request fails, and the kernel, which then believes that nothing happened, is made to
  // forget what `touched` returns: the change is there, and may still become durable.
  template <class Answer, class What>
  void answer_change(fuse_req_t req, What&& touched, Answer&& answer) {
    if (!options.sync || !durable) return answer();
    durable->when_durable(
        [this, req, touched = Touched(touched()), answer = std::forward<Answer>(answer)](const Status& status) {
          if (status.ok()) return answer();
          fail(req, status);
          invalidator.forget(touched);
        });
  }
  void fail(fuse_req_t req, const Status& status);
  // Takes setuid and setgid away from a regular file, as far as a write by `caller` must.
  Status kill_privileges(Ino ino, const Caller& caller);
};

inline Daemon& daemon_of(fuse_req_t req) { return *static_cast<Daemon*>(fuse_req_userdata(req)); }

// The mode of a file without setuid, and without setgid where that is more than a lock flag (the group may execute) or `caller`,
// who changes the file, is neither root nor in its group.
uint32_t without_privileges(const Attr& attr, const Caller& caller);

// kNameTooLong for what no directory of ours can hold.
Status check_entry_name(std::string_view name);

// Tells the operator of a failure he has to know of: damage (at most 50 lines a second), I/O or a poisoned log (one).
void report(const Status& status);

inline void reply(fuse_req_t req, int error) { fuse_reply_err(req, error); }
void reply(fuse_req_t req, const Status& status);
// Counts and hands out an inode of slot `slot`.
void reply_entry(fuse_req_t req, Daemon& daemon, uint32_t slot, const Attr& attr);

// Each fills in the operations of its file.
void add_attr_ops(fuse_lowlevel_ops& ops);       // ops_attr.cc: lookup, forget, getattr, setattr, readlink, statfs
void add_create_ops(fuse_lowlevel_ops& ops);     // ops_create.cc: create, mknod, mkdir, symlink
void add_name_ops(fuse_lowlevel_ops& ops);       // ops_name.cc: link, unlink, rmdir, rename
void add_data_ops(fuse_lowlevel_ops& ops);       // ops_data.cc: open, read, write, fsync, fallocate, lseek, copy …
void add_directory_ops(fuse_lowlevel_ops& ops);  // ops_directory.cc: opendir, readdir, readdirplus …
void add_xattr_ops(fuse_lowlevel_ops& ops);      // ops_xattr.cc
void add_ioctl_ops(fuse_lowlevel_ops& ops);      // ops_ioctl.cc

}  // namespace tidemark::fs

// Leaves an operation with the failure told to the kernel.
#define TM_REPLY(request, expression)                                                                   \
  do {                                                                                                  \
    if (::tidemark::Status tm_status = (expression); !tm_status.ok()) return reply(request, tm_status); \
  } while (false)
#define TM_REPLY_ASSIGN(request, target, expression) \
  TM_REPLY_ASSIGN_AS(TM_CONCAT(tm_result_, __LINE__), request, target, expression)
#define TM_REPLY_ASSIGN_AS(result, request, target, expression) \
  auto result = (expression);                                   \
  if (!result.ok()) return reply(request, result.status());     \
  target = std::move(result).value()
