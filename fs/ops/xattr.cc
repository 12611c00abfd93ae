// Extended attributes. Two kinds mean more than what is stored: ACLs, which are also mode bits, and user.tidemark.seq, the
// newest record that changed a file.
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "base/pinned.h"
#include "fs/daemon.h"
#include "fs/errno_map.h"
#include "fs/mountinfo.h"
#include "fs/raw_io.h"
#include "fs/rights/acl.h"

namespace tidemark::fs {
namespace {

constexpr std::string_view kOwnPrefix = "user.tidemark.";
constexpr std::string_view kSeqName = "user.tidemark.seq";

// As local filesystems have it: four kinds of names, none empty. kUnsupported, kInvalid.
Status check_xattr_name(std::string_view name) {
  if (name == kAccessAcl || name == kDefaultAcl) return {};
  for (std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (!name.starts_with(prefix)) continue;
    return name.size() > prefix.size() ? Status() : Status(Code::kInvalid, "an attribute's name is missing");
  }
  return {Code::kUnsupported, "this kind of extended attribute"};
}

// Of a point below /.tidemark/at.
bool is_past(const Node& node) { return node.slot != kMainSlot; }

Result<bool> shows_acl(Daemon& daemon, const Node& node) {
  TM_ASSIGN(const Attr then, node.tree->get_attr(node.ino));
  return daemon.past_rights_of(*node.tree, then).shows_acl;
}

Result<std::string> value_of(Daemon& daemon, const Node& node, std::string_view name) {
  TM_TRY(check_xattr_name(name));
  if (is_past(node) && is_dead_in_the_past(name)) return Status(Code::kNoData, "dead in the past");
  if (is_past(node) && name == kAccessAcl) {
    TM_ASSIGN(const bool shown, shows_acl(daemon, node));
    if (!shown) return Status(Code::kNoData, "the access ACL has changed since");
  }
  if (name != kSeqName) return node.tree->get_xattr(node.ino, name);
  TM_ASSIGN(Attr attr, node.tree->get_attr(node.ino));
  return std::to_string(attr.changed.value());
}

// Size 0 asks how long the value is.
void reply_value(fuse_req_t req, const std::string& value, size_t size) {
  if (size == 0) {
    fuse_reply_xattr(req, value.size());
  } else if (value.size() > size) {
    reply(req, ERANGE);
  } else {
    fuse_reply_buf(req, value.data(), value.size());
  }
}

// Where the volume's directory is now: for our own commands, which the same people may give as may ask the control socket there.
void reply_directory(fuse_req_t req, fuse_ino_t id, size_t size) {
  const Daemon& daemon = daemon_of(req);
  const uid_t caller = fuse_req_ctx(req)->uid;
  const bool may_know = caller == 0 || caller == geteuid();
  if (id != FUSE_ROOT_ID || daemon.group == nullptr || !may_know) return reply(req, ENODATA);
  reply_value(req, where_now(daemon.group->directory()), size);
}

void op_getxattr(fuse_req_t req, fuse_ino_t id, const char* name, size_t size) {
  if (slot_of(id) == kOwnSlot) return reply(req, ENODATA);
  if (std::string_view(name) == kDirectoryXattr) return reply_directory(req, id, size);
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, Node node, daemon.node(id));
  TM_REPLY_ASSIGN(req, std::string value, value_of(daemon, node, name));
  reply_value(req, value, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t id, size_t size) {
  if (slot_of(id) == kOwnSlot) return reply_value(req, "", size);
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, Node node, daemon.node(id));
  TM_REPLY_ASSIGN(req, std::vector<std::string> names, node.tree->list_xattr(node.ino));
  bool acl_shown = true;
  if (is_past(node)) {
    TM_REPLY_ASSIGN(req, acl_shown, shows_acl(daemon, node));
  }
  const bool root = fuse_req_ctx(req)->uid == 0;
  std::string list;
  for (const std::string& name : names) {
    if (!root && name.starts_with("trusted.")) continue;  // as local filesystems hide them
    if (is_past(node) && (is_dead_in_the_past(name) || (name == kAccessAcl && !acl_shown))) continue;
    list.append(name).push_back('\0');
  }
  reply_value(req, list, size);
}

// --- ACLs ---

// The permission bits an access ACL stands for become the mode; an ACL that says no more than they do is not kept.
Status set_access_acl(Volume& volume, Ino ino, std::string_view value, bool kill_setgid) {
  TM_ASSIGN(Acl acl, Acl::parse(value));
  TM_ASSIGN(Attr attr, volume.get_attr(ino));
  uint32_t mode = acl.apply_to(attr.mode);
  if (kill_setgid) mode &= ~uint32_t{S_ISGID};
  SetAttr change;
  if (mode != attr.mode) {
    change.mask = kSetMode;
    change.mode = mode & 07777;
  }
  if (acl.is_plain()) return volume.set_attr_with(ino, change, {kAccessAcl, std::nullopt}).status();
  const std::string kept = acl.format();
  return volume.set_attr_with(ino, change, {kAccessAcl, kept}).status();
}

Status set_default_acl(Daemon& daemon, Ino ino, std::string_view value) {
  TM_ASSIGN([[maybe_unused]] Acl checked, Acl::parse(value));
  Status status = daemon.volume->set_xattr(ino, kDefaultAcl, value, Volume::XattrMode::kEither);
  daemon.default_acls.forget(ino);
  return status;
}

// --- setxattr and removexattr ---

struct SetRequest {
  std::string_view name;
  std::string_view value;
  uint32_t flags = 0;      // XATTR_CREATE, XATTR_REPLACE
  uint32_t acl_flags = 0;  // FUSE_SETXATTR_…
};

// The name ends in NUL, the value is what follows.
bool decode(RawBody body, bool extended, SetRequest& set) {
  fuse_setxattr_in in{};
  const size_t fixed = extended ? sizeof in : FUSE_COMPAT_SETXATTR_IN_SIZE;
  if (body.size() < fixed) return false;
  body.copy(reinterpret_cast<char*>(&in), fixed);
  const std::string_view rest = body.substr(fixed);
  const size_t end = rest.find('\0');
  if (end == std::string_view::npos || rest.size() - end - 1 < in.size) return false;
  set = {rest.substr(0, end), rest.substr(end + 1, in.size), in.flags, in.setxattr_flags};
  return true;
}

Status set_xattr(Daemon& daemon, fuse_ino_t id, RawBody body) {
  SetRequest set;
  if (!decode(body, daemon.setxattr_ext, set)) return {Code::kInvalid, "malformed request"};
  TM_TRY(check_xattr_name(set.name));
  const Ino ino(id);
  if (set.name.starts_with(kOwnPrefix)) return {Code::kPermission, std::string(kOwnPrefix) + "* is Tidemark's own"};
  TM_ASSIGN(Volume * volume, daemon.writable(id));
  if (set.name == kAccessAcl) {
    TM_TRY(set_access_acl(*volume, ino, set.value, (set.acl_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0));
  } else if (set.name == kDefaultAcl) {
    TM_TRY(set_default_acl(daemon, ino, set.value));
  } else {
    const auto mode = (set.flags & XATTR_CREATE)    ? Volume::XattrMode::kCreate
                      : (set.flags & XATTR_REPLACE) ? Volume::XattrMode::kReplace
                                                    : Volume::XattrMode::kEither;
    TM_TRY(volume->set_xattr(ino, set.name, set.value, mode));
  }
  return {};
}

void settle_attribute(fuse_req_t req, Daemon& daemon, fuse_ino_t id) {
  daemon.answer_change(
      req,
      [&] {
        return Touched{{}, {Ino(id)}};
      },
      [req] { reply(req, 0); });
}

void op_removexattr(fuse_req_t req, fuse_ino_t id, const char* name_text) {
  Daemon& daemon = daemon_of(req);
  const std::string_view name(name_text);
  TM_REPLY(req, check_xattr_name(name));
  if (name.starts_with(kOwnPrefix)) return reply(req, EPERM);
  TM_REPLY_ASSIGN(req, Volume * volume, daemon.writable(id));
  Status removed = volume->remove_xattr(Ino(id), name);
  if (name == kDefaultAcl) daemon.default_acls.forget(Ino(id));
  // Taking away an ACL that is not there is no error.
  if (removed.code() == Code::kNoData && (name == kAccessAcl || name == kDefaultAcl)) removed = Status();
  TM_REPLY(req, removed);
  settle_attribute(req, daemon, id);
}

}  // namespace

void raw_setxattr(fuse_req_t req, fuse_ino_t id, RawBody body) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY(req, set_xattr(daemon, id, body));
  settle_attribute(req, daemon, id);
}

void add_xattr_ops(fuse_lowlevel_ops& ops) {
  ops.getxattr = op_getxattr;
  ops.listxattr = op_listxattr;
  ops.removexattr = op_removexattr;
}

}  // namespace tidemark::fs
