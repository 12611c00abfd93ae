// Names and attributes of the live tree.
#include <sys/stat.h>

#include <algorithm>

#include "volume/tree/live_volume.h"

namespace tidemark {
namespace {

constexpr uint32_t kLinksMax = 1u << 30;
constexpr int kDepthMax = 1 << 20;  // a walk towards the root that is longer has met a loop in a damaged index

Status check_file_name(std::string_view name) {
  if (name.empty()) return Status(Code::kNotFound, "a name is empty");
  if (name.size() > kNameMax) return Status(Code::kNameTooLong, "a name is at most 255 bytes long");
  if (name == "." || name == "..") return Status(Code::kExists, "'.' and '..' are always there");
  if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos) {
    return Status(Code::kInvalid, "a name has no '/' and no NUL");
  }
  return Status();
}

Status check_node(const NewNode& node) {
  switch (node.mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK: break;
    case S_IFLNK:
      if (node.symlink_target.empty()) return Status(Code::kNotFound, "the target of a symbolic link is empty");
      if (node.symlink_target.size() > kSymlinkMax) {
        return Status(Code::kNameTooLong, "the target of a symbolic link is at most 4,095 bytes long");
      }
      if (node.symlink_target.find('\0') != std::string::npos) {
        return Status(Code::kInvalid, "the target of a symbolic link has no NUL");
      }
      break;
    default: return Status(Code::kInvalid, "the type of the new file is unknown");
  }
  if ((node.mode & S_IFMT) != S_IFLNK && !node.symlink_target.empty()) {
    return Status(Code::kInvalid, "only a symbolic link has a target");
  }
  for (const auto& [name, value] : node.xattrs) {
    TM_TRY(check_xattr(name, value));
  }
  return Status();
}

}  // namespace

Status check_xattr(std::string_view name, std::string_view value) {
  if (name.empty() || name.size() > kNameMax || name.find('\0') != std::string_view::npos) {
    return Status(Code::kRange, "the name of an extended attribute has 1 to 255 bytes");
  }
  if (value.size() > kXattrValueMax) return Status(Code::kTooLarge, "an extended attribute has at most 64 KiB");
  return Status();
}

Result<Attr> LiveVolume::node(Ino ino) {
  TM_ASSIGN(auto found, state_.inode(ino, kLatest));
  if (!found) return Status(Code::kStale, "inode " + std::to_string(ino.value()) + " is gone");
  return *found;
}

Result<Attr> LiveVolume::parent_directory(Ino ino) {
  TM_ASSIGN(Attr attr, node(ino));
  if (!S_ISDIR(attr.mode)) return Status(Code::kNotDirectory, "the parent is not a directory");
  if (attr.nlink == 0) return Status(Code::kNotFound, "the directory was removed");
  return attr;
}

Result<std::optional<Attr>> LiveVolume::entry(Ino parent, std::string_view name) {
  TM_ASSIGN(auto found, state_.name(parent, name, kLatest));
  if (!found) return std::optional<Attr>();
  TM_ASSIGN(Attr attr, node(found->ino));
  return std::optional<Attr>(attr);
}

Result<Attr> LiveVolume::make(Ino parent, std::string_view name, const NewNode& node_wanted) {
  MakeNode body;
  body.parent = parent;
  body.name = name;
  body.mode = node_wanted.mode & (static_cast<uint32_t>(S_IFMT) | 07777);
  body.uid = node_wanted.uid;
  body.gid = node_wanted.gid;
  if (S_ISCHR(body.mode) || S_ISBLK(body.mode)) body.device = node_wanted.device;
  body.symlink_target = node_wanted.symlink_target;
  for (const auto& [key, value] : node_wanted.xattrs) body.xattrs.push_back({key, value});
  const std::string payload = encode_make_node(body);
  if (payload.size() > kPayloadMax) return Status(Code::kTooLarge, "the new file's extended attributes are over 256 KiB");
  const Ino ino = state_.meta().next_ino;
  const RecordDraft draft = make_draft(RecordType::kMakeNode, kFirstVolume, ino, payload);
  TM_TRY(committer_.commit({&draft, 1}));
  return node(ino);
}

Result<Attr> LiveVolume::make_node(Ino parent, std::string_view name, const NewNode& node_wanted) {
  TM_TRY(check_file_name(name));
  TM_TRY(check_node(node_wanted));
  MutexLock lock(committer_.mutex);
  TM_TRY(parent_directory(parent).status());
  TM_ASSIGN(auto there, state_.name(parent, name, kLatest));
  if (there) return Status(Code::kExists, "the name exists already");
  return make(parent, name, node_wanted);
}

Result<Attr> LiveVolume::make_unnamed(const NewNode& node_wanted) {
  TM_TRY(check_node(node_wanted));
  if (!S_ISREG(node_wanted.mode)) return Status(Code::kInvalid, "only a regular file can be without a name");
  MutexLock lock(committer_.mutex);
  return make(Ino(0), "", node_wanted);
}

Result<Attr> LiveVolume::link(Ino ino, Ino parent, std::string_view name) {
  TM_TRY(check_file_name(name));
  MutexLock lock(committer_.mutex);
  TM_ASSIGN(Attr attr, node(ino));
  if (S_ISDIR(attr.mode)) return Status(Code::kPermission, "a directory has one name");
  if (attr.nlink >= kLinksMax) return Status(Code::kTooManyLinks, "the file has too many names");
  TM_TRY(parent_directory(parent).status());
  TM_ASSIGN(auto there, state_.name(parent, name, kLatest));
  if (there) return Status(Code::kExists, "the name exists already");
  const RecordDraft draft = make_draft(RecordType::kLink, kFirstVolume, ino, encode_link({parent, name}));
  TM_TRY(committer_.commit({&draft, 1}));
  return node(ino);
}

Result<Attr> LiveVolume::unlink(Ino parent, std::string_view name) {
  MutexLock lock(committer_.mutex);
  TM_TRY(parent_directory(parent).status());
  TM_ASSIGN(auto there, entry(parent, name));
  if (!there) return Status(Code::kNotFound, "there is no such name");
  if (S_ISDIR(there->mode)) return Status(Code::kIsDirectory, "this is a directory");
  const RecordDraft draft = make_draft(RecordType::kUnlink, kFirstVolume, there->ino, encode_link({parent, name}));
  TM_TRY(committer_.commit({&draft, 1}));
  return node(there->ino);
}

Result<Attr> LiveVolume::remove_directory(Ino parent, std::string_view name) {
  MutexLock lock(committer_.mutex);
  TM_TRY(parent_directory(parent).status());
  TM_ASSIGN(auto there, entry(parent, name));
  if (!there) return Status(Code::kNotFound, "there is no such name");
  if (!S_ISDIR(there->mode)) return Status(Code::kNotDirectory, "this is not a directory");
  TM_ASSIGN(auto content, state_.list(there->ino, "", 1, kLatest));
  if (!content.empty()) return Status(Code::kNotEmpty, "the directory is not empty");
  const RecordDraft draft = make_draft(RecordType::kUnlink, kFirstVolume, there->ino, encode_link({parent, name}));
  TM_TRY(committer_.commit({&draft, 1}));
  return node(there->ino);
}

Result<bool> LiveVolume::is_below(Ino directory, Ino ancestor) {
  for (int depth = 0; depth < kDepthMax; ++depth) {
    if (directory == ancestor) return true;
    if (directory == kRootIno) return false;
    TM_ASSIGN(Attr attr, node(directory));
    directory = attr.parent;
  }
  return Status(Code::kCorrupt, "directories form a loop in the index; remove DIR/index to have it rebuilt");
}

Status LiveVolume::check_rename(const Attr& moved, const std::optional<Attr>& there, Ino to_parent, RenameMode mode) {
  if (mode == RenameMode::kNoReplace && there) return Status(Code::kExists, "the new name exists already");
  if (mode == RenameMode::kExchange && !there) return Status(Code::kNotFound, "there is nothing to exchange with");
  if (S_ISDIR(moved.mode)) {
    TM_ASSIGN(bool loop, is_below(to_parent, moved.ino));
    if (loop) return Status(Code::kInvalid, "a directory cannot move below itself");
  }
  if (!there || mode == RenameMode::kExchange) return Status();
  if (S_ISDIR(moved.mode) && !S_ISDIR(there->mode))
    return Status(Code::kNotDirectory, "the entry to replace is not a directory");
  if (!S_ISDIR(moved.mode) && S_ISDIR(there->mode)) return Status(Code::kIsDirectory, "the entry to replace is a directory");
  if (S_ISDIR(there->mode)) {
    TM_ASSIGN(auto content, state_.list(there->ino, "", 1, kLatest));
    if (!content.empty()) return Status(Code::kNotEmpty, "the directory that would be replaced is not empty");
  }
  return Status();
}

Result<std::optional<Attr>> LiveVolume::rename(Ino from_parent, std::string_view from_name, Ino to_parent,
                                               std::string_view to_name, RenameMode mode, uint32_t uid, uint32_t gid) {
  TM_TRY(check_file_name(to_name));
  MutexLock lock(committer_.mutex);
  TM_TRY(parent_directory(from_parent).status());
  TM_TRY(parent_directory(to_parent).status());
  TM_ASSIGN(auto moved, entry(from_parent, from_name));
  if (!moved) return Status(Code::kNotFound, "there is no such name");
  TM_ASSIGN(auto there, entry(to_parent, to_name));
  TM_TRY(check_rename(*moved, there, to_parent, mode));
  if (there && mode == RenameMode::kExchange && S_ISDIR(there->mode)) {
    TM_ASSIGN(bool loop, is_below(from_parent, there->ino));
    if (loop) return Status(Code::kInvalid, "a directory cannot move below itself");
  }
  // Two names of one inode (or a name and itself): nothing to do, says POSIX.
  if (there && there->ino == moved->ino) return std::optional<Attr>();
  RenameBody body;
  body.from_parent = from_parent;
  body.from_name = from_name;
  body.to_parent = to_parent;
  body.to_name = to_name;
  body.exchange = mode == RenameMode::kExchange;
  if (there) body.replaced = there->ino;
  std::vector<RecordDraft> drafts;
  if (mode == RenameMode::kWhiteout) {
    body.whiteout = state_.meta().next_ino;
    drafts.push_back(make_draft(RecordType::kRename, kFirstVolume, moved->ino, encode_rename(body)));
    SetAttr owner;  // the whiteout belongs to who made it
    owner.mask = kSetUid | kSetGid;
    owner.uid = uid;
    owner.gid = gid;
    drafts.push_back(make_draft(RecordType::kSetAttr, kFirstVolume, body.whiteout, encode_set_attr(owner)));
  } else {
    drafts.push_back(make_draft(RecordType::kRename, kFirstVolume, moved->ino, encode_rename(body)));
  }
  TM_TRY(committer_.commit(drafts));
  if (!there || body.exchange) return std::optional<Attr>();
  TM_ASSIGN(Attr replaced, node(there->ino));
  return std::optional<Attr>(replaced);
}

Status LiveVolume::free_inodes(const std::vector<Ino>& inodes) {
  for (size_t begin = 0; begin < inodes.size(); begin += kFreeMax) {
    MutexLock lock(committer_.mutex);
    std::vector<Ino> gone;
    for (size_t i = begin; i < std::min(inodes.size(), begin + kFreeMax); ++i) {
      TM_ASSIGN(auto attr, state_.inode(inodes[i], kLatest));
      if (attr && attr->nlink == 0) gone.push_back(inodes[i]);
    }
    std::sort(gone.begin(), gone.end());
    gone.erase(std::unique(gone.begin(), gone.end()), gone.end());
    if (gone.empty()) continue;
    const RecordDraft draft = make_draft(RecordType::kFree, kFirstVolume, Ino(0), encode_free(gone));
    TM_TRY(committer_.commit({&draft, 1}));
  }
  return Status();
}

Status LiveVolume::set_xattr(Ino ino, std::string_view name, std::string_view value, XattrMode mode) {
  TM_TRY(check_xattr(name, value));
  MutexLock lock(committer_.mutex);
  TM_TRY(node(ino).status());
  TM_ASSIGN(auto before, state_.xattr(ino, name, kLatest));
  if (before && mode == XattrMode::kCreate) return Status(Code::kExists, "the extended attribute exists already");
  if (!before && mode == XattrMode::kReplace) return Status(Code::kNoData, "there is no such extended attribute");
  const RecordDraft draft = make_draft(RecordType::kSetXattr, kFirstVolume, ino, encode_xattr({name, value}));
  return committer_.commit({&draft, 1});
}

Status LiveVolume::remove_xattr(Ino ino, std::string_view name) {
  TM_TRY(check_xattr(name, ""));
  MutexLock lock(committer_.mutex);
  TM_TRY(node(ino).status());
  TM_ASSIGN(auto before, state_.xattr(ino, name, kLatest));
  if (!before) return Status(Code::kNoData, "there is no such extended attribute");
  const RecordDraft draft = make_draft(RecordType::kRemoveXattr, kFirstVolume, ino, encode_xattr({name, {}}));
  return committer_.commit({&draft, 1});
}

}  // namespace tidemark
