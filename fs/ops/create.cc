// New inodes: create, mknod, mkdir, symlink, and files without a name (O_TMPFILE).
#include <fcntl.h>

#include <cerrno>

#include "fs/daemon.h"
#include "fs/errno_map.h"
#include "fs/raw_io.h"
#include "fs/rights/acl.h"

namespace tidemark::fs {
namespace {

constexpr uint32_t kPermissionBits = 0777;

// What a node of `mode` is born with in `parent`: it belongs to the caller, or to the group of a setgid directory; a default
// ACL of the parent takes the umask's place.
Result<NewNode> newborn(Daemon& daemon, const Caller& caller, Ino parent, uint32_t mode) {
  Volume& volume = *daemon.volume;
  TM_ASSIGN(Attr directory, volume.get_attr(parent));
  NewNode node;
  node.mode = mode;
  node.uid = caller.uid;
  node.gid = caller.gid;
  if (directory.mode & S_ISGID) {
    node.gid = directory.gid;
    if (S_ISDIR(mode)) node.mode |= S_ISGID;
  }
  if (S_ISLNK(mode)) return node;
  TM_ASSIGN(std::shared_ptr<const std::string> inherited, daemon.default_acls.of(volume, parent));
  if (!inherited) {
    node.mode &= ~(caller.umask & kPermissionBits);
    return node;
  }
  TM_ASSIGN(Acl acl, Acl::parse(*inherited));
  const Acl access = acl.restricted_to(mode);
  node.mode = access.apply_to(node.mode);
  if (!access.is_plain()) node.xattrs.emplace_back(kAccessAcl, access.format());
  if (S_ISDIR(mode)) node.xattrs.emplace_back(kDefaultAcl, *inherited);
  return node;
}

Result<Attr> make(Daemon& daemon, fuse_ino_t parent, std::string_view name, const Caller& caller, uint32_t mode,
                  uint64_t device = 0, std::string_view target = {}) {
  TM_TRY(check_entry_name(name));
  TM_ASSIGN(Volume * volume, daemon.writable(parent));
  TM_ASSIGN(NewNode node, newborn(daemon, caller, Ino(parent), mode));
  node.device = device;
  node.symlink_target = target;
  return volume->make_node(Ino(parent), name, node);
}

// Answers for a new name, once it is as durable as the mount has it.
template <class Answer>
void settle_new(fuse_req_t req, Daemon& daemon, fuse_ino_t parent, const char* name, Answer&& answer) {
  daemon.answer_change(
      req,
      [&] {
        return Touched{{{Ino(parent), name}}, {}};
      },
      std::forward<Answer>(answer));
}

void reply_new(fuse_req_t req, Daemon& daemon, fuse_ino_t parent, const char* name, const Attr& attr) {
  settle_new(req, daemon, parent, name, [req, &daemon, attr] { reply_entry(req, daemon, kMainSlot, attr); });
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  Daemon& daemon = daemon_of(req);
  const uint32_t full = (mode & S_IFMT) == 0 ? mode | S_IFREG : mode;
  TM_REPLY_ASSIGN(req, Attr attr, make(daemon, parent, name, caller_of(req), full, device));
  reply_new(req, daemon, parent, name, attr);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, Attr attr, make(daemon, parent, name, caller_of(req), (mode & 07777) | S_IFDIR));
  reply_new(req, daemon, parent, name, attr);
}

void op_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, Attr attr, make(daemon, parent, name, caller_of(req), S_IFLNK | 0777, 0, target));
  reply_new(req, daemon, parent, name, attr);
}

void reply_created(fuse_req_t req, Daemon& daemon, const Attr& attr, fuse_file_info info) {
  const fuse_ino_t id = attr.ino.value();
  const bool writes = (info.flags & O_ACCMODE) != O_RDONLY;
  info.keep_cache = 1;
  info.noflush = 1;
  daemon.grab(id);
  if (writes) daemon.opened_for_write(attr.ino);
  const fuse_entry_param entry = daemon.entry(kMainSlot, attr, writes);
  if (fuse_reply_create(req, &entry, &info) == 0) return;
  if (writes) daemon.released_after_write(attr.ino);
  daemon.drop(id, 1);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* info) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, Attr attr, make(daemon, parent, name, caller_of(req), (mode & 07777) | S_IFREG));
  settle_new(req, daemon, parent, name, [req, &daemon, attr, info = *info] { reply_created(req, daemon, attr, info); });
}

fuse_entry_out wire_entry(const Attr& attr, const fuse_entry_param& entry) {
  const struct stat& about = entry.attr;
  fuse_entry_out out{};
  out.nodeid = attr.ino.value();
  out.entry_valid = static_cast<uint64_t>(entry.entry_timeout);
  out.attr_valid = static_cast<uint64_t>(entry.attr_timeout);
  out.attr.ino = about.st_ino;
  out.attr.size = static_cast<uint64_t>(about.st_size);
  out.attr.blocks = static_cast<uint64_t>(about.st_blocks);
  out.attr.atime = static_cast<uint64_t>(about.st_atim.tv_sec);
  out.attr.mtime = static_cast<uint64_t>(about.st_mtim.tv_sec);
  out.attr.ctime = static_cast<uint64_t>(about.st_ctim.tv_sec);
  out.attr.atimensec = attr.atime.nanoseconds;
  out.attr.mtimensec = attr.mtime.nanoseconds;
  out.attr.ctimensec = attr.ctime.nanoseconds;
  out.attr.mode = attr.mode;
  out.attr.nlink = attr.nlink;
  out.attr.uid = attr.uid;
  out.attr.gid = attr.gid;
  out.attr.blksize = kBlockSize;
  return out;
}

Result<Attr> make_unnamed(Daemon& daemon, fuse_ino_t parent, const Caller& caller, uint32_t mode) {
  TM_ASSIGN(Volume * volume, daemon.writable(parent));
  TM_ASSIGN(NewNode node, newborn(daemon, caller, Ino(parent), (mode & 07777) | S_IFREG));
  return volume->make_unnamed(node);
}

// It is opened for writing, or the kernel would have refused it.
void reply_unnamed(fuse_req_t req, Daemon& daemon, const Attr& attr) {
  daemon.grab(attr.ino.value());
  daemon.inodes.born_unnamed(attr.ino);
  daemon.opened_for_write(attr.ino);
  struct {
    fuse_entry_out entry;
    fuse_open_out open;
  } out{wire_entry(attr, daemon.entry(kMainSlot, attr, true)), {}};
  out.open.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH;
  if (fuse_reply_buf(req, reinterpret_cast<const char*>(&out), sizeof out) == 0) return;
  daemon.released_after_write(attr.ino);
  daemon.drop(attr.ino.value(), 1);
}

}  // namespace

void raw_tmpfile(fuse_req_t req, fuse_ino_t id, RawBody body) {
  Daemon& daemon = daemon_of(req);
  fuse_create_in in{};
  if (body.size() < sizeof in) return reply(req, EINVAL);
  body.copy(reinterpret_cast<char*>(&in), sizeof in);
  Caller caller = caller_of(req);
  caller.umask = in.umask;
  TM_REPLY_ASSIGN(req, Attr attr, make_unnamed(daemon, id, caller, in.mode));
  daemon.answer_change(
      req, [] { return Touched(); }, [req, &daemon, attr] { reply_unnamed(req, daemon, attr); });
}

void add_create_ops(fuse_lowlevel_ops& ops) {
  ops.mknod = op_mknod;
  ops.mkdir = op_mkdir;
  ops.symlink = op_symlink;
  ops.create = op_create;
}

}  // namespace tidemark::fs
