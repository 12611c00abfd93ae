// Names of inodes that exist: link, unlink, rmdir, rename.
#include <cerrno>
#include <cstdio>
#include <optional>

#include "fs/daemon.h"

namespace tidemark::fs {
namespace {

void op_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char* name) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY(req, check_entry_name(name));
  if (slot_of(id) != slot_of(parent)) return reply(req, EXDEV);
  TM_REPLY_ASSIGN(req, Volume * volume, daemon.writable(parent));
  TM_REPLY_ASSIGN(req, Attr attr, volume->link(Ino(id), Ino(parent), name));
  daemon.inodes.got_name(Ino(id));
  daemon.answer_change(
      req,
      [&] {
        return Touched{{{Ino(parent), name}}, {attr.ino}};
      },
      [req, &daemon, attr] { reply_entry(req, daemon, kMainSlot, attr); });
}

using Remove = Result<Attr> (Volume::*)(Ino parent, std::string_view name);

void remove_name(fuse_req_t req, fuse_ino_t parent, std::string_view name, Remove remove) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY(req, check_entry_name(name));
  TM_REPLY_ASSIGN(req, Volume * volume, daemon.writable(parent));
  TM_REPLY_ASSIGN(req, Attr attr, (volume->*remove)(Ino(parent), name));
  daemon.unlinked(attr);
  daemon.answer_change(
      req,
      [&] {
        return Touched{{{Ino(parent), std::string(name)}}, {attr.ino}};
      },
      [req] { reply(req, 0); });
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) { remove_name(req, parent, name, &Volume::unlink); }

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  remove_name(req, parent, name, &Volume::remove_directory);
}

// What the flags of renameat2(2) ask for; nullopt for a combination that means nothing.
std::optional<RenameMode> rename_mode(unsigned flags) {
  switch (flags) {
    case 0: return RenameMode::kReplace;
    case RENAME_NOREPLACE: return RenameMode::kNoReplace;
    case RENAME_EXCHANGE: return RenameMode::kExchange;
    case RENAME_WHITEOUT: return RenameMode::kWhiteout;
    case RENAME_WHITEOUT | RENAME_NOREPLACE: return RenameMode::kWhiteout;  // the target is looked for first
    default: return std::nullopt;
  }
}

void op_rename(fuse_req_t req, fuse_ino_t from_parent, const char* from, fuse_ino_t to_parent, const char* to,
               unsigned flags) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY(req, check_entry_name(from));
  TM_REPLY(req, check_entry_name(to));
  const std::optional<RenameMode> mode = rename_mode(flags);
  if (!mode) return reply(req, EINVAL);
  if (slot_of(from_parent) != slot_of(to_parent)) return reply(req, EXDEV);
  TM_REPLY_ASSIGN(req, Volume * volume, daemon.writable(from_parent));
  if (flags == (RENAME_WHITEOUT | RENAME_NOREPLACE) && volume->lookup(Ino(to_parent), to).ok()) return reply(req, EEXIST);
  const Caller caller = caller_of(req);
  TM_REPLY_ASSIGN(req, std::optional<Attr> replaced,
                  volume->rename(Ino(from_parent), from, Ino(to_parent), to, *mode, caller.uid, caller.gid));
  if (replaced && *mode != RenameMode::kExchange) daemon.unlinked(*replaced);
  const auto touched = [&] {
    Touched both{{{Ino(from_parent), from}, {Ino(to_parent), to}}, {}};
    if (replaced) both.inodes.push_back(replaced->ino);
    return both;
  };
  daemon.answer_change(req, touched, [req] { reply(req, 0); });
}

}  // namespace

void add_name_ops(fuse_lowlevel_ops& ops) {
  ops.link = op_link;
  ops.unlink = op_unlink;
  ops.rmdir = op_rmdir;
  ops.rename = op_rename;
}

}  // namespace tidemark::fs
