// Names to inodes, and what an inode is: lookup, forget, getattr, setattr, readlink, statfs, and statx for the birth time.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <charconv>

#include "base/clock.h"
#include "fs/daemon.h"
#include "fs/errno_map.h"
#include "fs/raw_io.h"
#include "fs/rights/acl.h"

namespace tidemark::fs {
namespace {

// --- lookup ---

// A directory that exists only here, and never changes.
void reply_own(fuse_req_t req, fuse_ino_t id, double name_timeout_seconds) {
  TM_REPLY_ASSIGN(req, struct stat about, own_stat(id, daemon_of(req).options.history_closed));
  fuse_entry_param entry{};
  entry.ino = id;
  entry.attr = about;
  entry.attr_timeout = daemon_of(req).timeout_seconds;
  entry.entry_timeout = name_timeout_seconds;
  fuse_reply_entry(req, &entry);
}

// NUMBER under /.tidemark/ino. The kernel must not keep that second way to the inode: timeout 0.
void lookup_by_number(fuse_req_t req, Daemon& daemon, std::string_view name) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return reply(req, ENOENT);
  TM_REPLY_ASSIGN(req, Attr attr, daemon.tree->get_attr(Ino(number)));
  if (!S_ISREG(attr.mode)) return reply(req, ENOENT);
  daemon.grab(number);
  fuse_entry_param entry = daemon.entry(kMainSlot, attr);
  entry.entry_timeout = 0;
  if (fuse_reply_entry(req, &entry) != 0) daemon.drop(number, 1);
}

// The kernel must be told from a thread that serves nobody: it waits for lookups in that directory to end.
void forget_crowded_points(Daemon& daemon) {
  std::vector<std::string> points = daemon.travel->crowded_out();
  if (points.empty()) return;
  Status status = daemon.marks->submit([&daemon, points] {
    for (const std::string& point : points) {
      fuse_lowlevel_notify_inval_entry(daemon.session, kAtDir, point.data(), point.size());
    }
  });
  report(status);
}

void lookup_own(fuse_req_t req, Daemon& daemon, fuse_ino_t parent, std::string_view name) {
  if (name == ".") return reply_own(req, parent, daemon.timeout_seconds);
  const bool flusher = daemon.marks && daemon.marks->is_flusher(fuse_req_ctx(req)->pid);
  if (parent == kTidemarkDir && name == kAtName) return reply_own(req, kAtDir, daemon.timeout_seconds);
  if (parent == kTidemarkDir && name == kInoName && flusher) return reply_own(req, kInoDir, 0);
  if (parent == kInoDir && flusher) return lookup_by_number(req, daemon, name);
  if (parent != kAtDir) return reply(req, ENOENT);
  TM_REPLY_ASSIGN(req, const TimeTravel::Entered entered, daemon.travel->enter(name));
  fuse_entry_param entry = daemon.entry(entered.slot, entered.root);
  entry.entry_timeout = 0;  // "latest" means another tree a moment later
  if (fuse_reply_entry(req, &entry) != 0) daemon.drop(entry.ino, 1);
  forget_crowded_points(daemon);
}

Result<Attr> find(const Node& directory, std::string_view name) {
  if (name != "." && name != "..") return directory.tree->lookup(directory.ino, name);
  // Asked for by open_by_handle_at(2) and NFS, for inodes the kernel does not know: those without a name are as good as gone.
  TM_ASSIGN(Attr self, directory.tree->get_attr(directory.ino));
  if (self.nlink == 0) return Status(Code::kStale, "no such inode any more");
  if (name == "..") return directory.tree->get_attr(self.parent);
  return self;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name_text) {
  Daemon& daemon = daemon_of(req);
  const std::string_view name(name_text);
  TM_REPLY(req, check_entry_name(name));
  if (slot_of(parent) == kOwnSlot) return lookup_own(req, daemon, parent, name);
  if (parent == FUSE_ROOT_ID && daemon.travel && name == kTidemarkName) {
    return reply_own(req, kTidemarkDir, daemon.timeout_seconds);
  }
  TM_REPLY_ASSIGN(req, Node directory, daemon.node(parent));
  Result<Attr> found = find(directory, name);
  if (found.ok()) return reply_entry(req, daemon, directory.slot, *found);
  if (found.status().code() != Code::kNotFound) return reply(req, found.status());
  fuse_entry_param absent{};  // ino 0: remembered as absent
  absent.entry_timeout = daemon.timeout_seconds;
  fuse_reply_entry(req, &absent);
}

void op_forget(fuse_req_t req, fuse_ino_t id, uint64_t lookups) {
  daemon_of(req).drop(id, lookups);
  fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, fuse_forget_data* forgets) {
  Daemon& daemon = daemon_of(req);
  for (size_t i = 0; i < count; ++i) daemon.drop(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(req);
}

// --- attributes ---

Result<Answer> answer_of(Daemon& daemon, fuse_ino_t id, bool write_follows) {
  if (slot_of(id) == kOwnSlot) {
    TM_ASSIGN(const struct stat about, own_stat(id, daemon.options.history_closed));
    return Answer{about, daemon.timeout_seconds};
  }
  TM_ASSIGN(Node node, daemon.node(id));
  TM_ASSIGN(const Attr attr, node.tree->get_attr(node.ino));
  return daemon.tell(node.slot, attr, write_follows);
}

// Only a read or a write that begins asks through its open file; stat and fstat do not.
void op_getattr(fuse_req_t req, fuse_ino_t id, fuse_file_info* info) {
  TM_REPLY_ASSIGN(req, const Answer answer, answer_of(daemon_of(req), id, info != nullptr));
  fuse_reply_attr(req, &answer.about, answer.seconds);
}

FileTime time_from(const timespec& time) { return {time.tv_sec, static_cast<uint32_t>(time.tv_nsec)}; }

SetAttr change_from(const struct stat& wanted, int to_set) {
  const auto has = [&](int bit) { return (to_set & bit) != 0; };
  const FileTime now = file_time(system_clock().wall_ns());
  SetAttr change;
  const auto set = [&](uint32_t bit) { change.mask |= bit; };
  if (has(FUSE_SET_ATTR_MODE)) set(kSetMode), change.mode = wanted.st_mode & 07777;
  if (has(FUSE_SET_ATTR_UID)) set(kSetUid), change.uid = wanted.st_uid;
  if (has(FUSE_SET_ATTR_GID)) set(kSetGid), change.gid = wanted.st_gid;
  if (has(FUSE_SET_ATTR_SIZE)) set(kSetSize), change.size = static_cast<uint64_t>(wanted.st_size);
  if (has(FUSE_SET_ATTR_ATIME)) set(kSetAtime), change.atime = time_from(wanted.st_atim);
  if (has(FUSE_SET_ATTR_ATIME_NOW)) set(kSetAtime), change.atime = now;
  if (has(FUSE_SET_ATTR_MTIME)) set(kSetMtime), change.mtime = time_from(wanted.st_mtim);
  if (has(FUSE_SET_ATTR_MTIME_NOW)) set(kSetMtime), change.mtime = now;
  if (has(FUSE_SET_ATTR_CTIME)) set(kSetCtime), change.ctime = time_from(wanted.st_ctim);
  return change;
}

// A new owner, and a truncation by somebody else (the kernel says when), take setuid and setgid away.
Status add_privilege_loss(Volume& volume, Ino ino, const Caller& caller, int to_set, SetAttr& change) {
  const bool told = (to_set & FUSE_SET_ATTR_KILL_SUID) != 0;  // the wire's FATTR_KILL_SUIDGID
  if (!told && (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) == 0) return {};
  if (change.mask & kSetMode) return {};
  TM_ASSIGN(Attr attr, volume.get_attr(ino));
  const uint32_t mode = without_privileges(attr, caller);
  if (S_ISDIR(attr.mode) || mode == attr.mode) return {};
  change.mask |= kSetMode;
  change.mode = mode & 07777;
  return {};
}

// chmod also changes the access ACL, where there is one: the kernel lets nobody change either meanwhile.
Result<Attr> change_with_acl(Volume& volume, Ino ino, const SetAttr& change) {
  if ((change.mask & kSetMode) == 0 || (change.mask & kSetSize) != 0) return volume.set_attr(ino, change);
  TM_ASSIGN(const Attr before, volume.get_attr(ino));
  if (before.xattr_count == 0 || S_ISLNK(before.mode)) return volume.set_attr(ino, change);
  Result<std::string> value = volume.get_xattr(ino, kAccessAcl);
  if (value.status().code() == Code::kNoData) return volume.set_attr(ino, change);
  TM_TRY(value.status());
  TM_ASSIGN(Acl acl, Acl::parse(*value));
  acl.change_mode(change.mode);
  const std::string changed = acl.format();
  return volume.set_attr_with(ino, change, {kAccessAcl, changed});
}

Result<Attr> set_attributes(Daemon& daemon, Volume& volume, Ino ino, const Caller& caller, const struct stat& wanted,
                            int to_set) {
  SetAttr change = change_from(wanted, to_set);
  constexpr uint32_t kTimes = kSetAtime | kSetMtime | kSetCtime;
  if ((change.mask & ~kTimes) == 0 && daemon.inodes.is_unlinked(ino)) {
    // The kernel stamps what was just removed. It keeps these times itself, and nobody after it will see them: no record.
    TM_ASSIGN(Attr attr, volume.get_attr(ino));
    if (change.mask & kSetAtime) attr.atime = change.atime;
    if (change.mask & kSetMtime) attr.mtime = change.mtime;
    if (change.mask & kSetCtime) attr.ctime = change.ctime;
    return attr;
  }
  TM_TRY(add_privilege_loss(volume, ino, caller, to_set, change));
  // Only chmod changes permission bits; what a change of owner takes away is in no ACL.
  return (to_set & FUSE_SET_ATTR_MODE) ? change_with_acl(volume, ino, change) : volume.set_attr(ino, change);
}

void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat* wanted, int to_set, fuse_file_info*) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, Volume * volume, daemon.writable(id));
  TM_REPLY_ASSIGN(req, Attr attr, set_attributes(daemon, *volume, Ino(id), caller_of(req), *wanted, to_set));
  if ((to_set & FUSE_SET_ATTR_SIZE) && wanted->st_size == 0) static_cast<void>(daemon.inodes.emptied(Ino(id)));
  daemon.answer_change(
      req,
      [&] {
        return Touched{{}, {attr.ino}};
      },
      [req, &daemon, attr] {
        const Answer answer = daemon.tell(kMainSlot, attr);
        fuse_reply_attr(req, &answer.about, answer.seconds);
      });
}

void op_readlink(fuse_req_t req, fuse_ino_t id) {
  TM_REPLY_ASSIGN(req, Node node, daemon_of(req).node(id));
  TM_REPLY_ASSIGN(req, std::string target, node.tree->read_link(node.ino));
  fuse_reply_readlink(req, target.c_str());
}

void op_statfs(fuse_req_t req, fuse_ino_t) {
  Daemon& daemon = daemon_of(req);
  struct statvfs about {};
  about.f_bsize = about.f_frsize = kBlockSize;
  about.f_namemax = kNameMax;
  if (daemon.group) {
    TM_REPLY_ASSIGN(req, VolumeSpace space, daemon.group->space());
    if (space.disk.total_bytes == 0) space.disk = {};  // not counted: as the disk below says it
    about.f_blocks = space.disk.total_bytes / kBlockSize;
    about.f_bfree = space.disk.free_bytes / kBlockSize;
    about.f_bavail = space.disk.available_bytes / kBlockSize;
    // There is no table of inodes to fill: as many more as there are free blocks.
    about.f_files = space.inodes + about.f_bfree;
    about.f_ffree = about.f_favail = about.f_bfree;
  }
  fuse_reply_statfs(req, &about);
}

// --- statx ---

// As in <linux/fuse.h> since 7.39; the headers of Linux 6.1 do not have it.
struct StatxIn {
  uint32_t getattr_flags, reserved;
  uint64_t fh;
  uint32_t sx_flags, sx_mask;
};
struct StatxTime {
  int64_t seconds;
  uint32_t nanoseconds;
  int32_t reserved;
};
struct StatxOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec, flags;
  uint64_t spare[2];
  uint32_t mask, blksize;
  uint64_t attributes;
  uint32_t nlink, uid, gid;
  uint16_t mode, spare0;
  uint64_t ino, size, blocks, attributes_mask;
  StatxTime atime, btime, ctime, mtime;
  uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  uint64_t spare2[14];
};
static_assert(sizeof(StatxIn) == 24 && sizeof(StatxTime) == 16 && sizeof(StatxOut) == 32 + 256);

StatxTime statx_time(const timespec& time) { return {time.tv_sec, static_cast<uint32_t>(time.tv_nsec), 0}; }

StatxOut statx_out(const struct stat& about, double timeout_seconds) {
  StatxOut out{};
  out.attr_valid = static_cast<uint64_t>(timeout_seconds);
  out.mask = STATX_BASIC_STATS;
  out.blksize = static_cast<uint32_t>(about.st_blksize);
  out.nlink = static_cast<uint32_t>(about.st_nlink);
  out.uid = about.st_uid;
  out.gid = about.st_gid;
  out.mode = static_cast<uint16_t>(about.st_mode);
  out.ino = about.st_ino;
  out.size = static_cast<uint64_t>(about.st_size);
  out.blocks = static_cast<uint64_t>(about.st_blocks);
  out.atime = statx_time(about.st_atim);
  out.mtime = statx_time(about.st_mtim);
  out.ctime = statx_time(about.st_ctim);
  out.rdev_major = major(about.st_rdev);
  out.rdev_minor = minor(about.st_rdev);
  return out;
}

}  // namespace

void raw_statx(fuse_req_t req, fuse_ino_t id, RawBody) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, const Answer answer, answer_of(daemon, id, false));
  StatxOut out = statx_out(answer.about, answer.seconds);
  if (Result<Node> node = daemon.node(id); node.ok()) {
    if (Result<Attr> attr = node->tree->get_attr(node->ino); attr.ok()) {
      out.mask |= STATX_BTIME;
      out.btime = {attr->btime.seconds, attr->btime.nanoseconds, 0};
    }
  }
  fuse_reply_buf(req, reinterpret_cast<const char*>(&out), sizeof out);
}

void add_attr_ops(fuse_lowlevel_ops& ops) {
  ops.lookup = op_lookup;
  ops.forget = op_forget;
  ops.forget_multi = op_forget_multi;
  ops.getattr = op_getattr;
  ops.setattr = op_setattr;
  ops.readlink = op_readlink;
  ops.statfs = op_statfs;
}

}  // namespace tidemark::fs
