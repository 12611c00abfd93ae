#include "volume/tree/apply.h"

#include <sys/stat.h>

#include <algorithm>

namespace tidemark {

Status TreeState::apply(const RecordHeader& header, Bytes payload, const Location& location) {
  TM_TRY(Applier(*this, header, payload, location).apply());
  next_meta_.applied = header.position();
  return Status();
}

Status Applier::apply() {
  switch (header_.type) {
    case RecordType::kGenesis: return genesis();
    case RecordType::kEpoch: return decode_epoch(payload_).status();
    case RecordType::kData: return data();
    case RecordType::kMakeNode: return make_node();
    case RecordType::kLink: return link();
    case RecordType::kUnlink: return unlink();
    case RecordType::kRename: return rename();
    case RecordType::kSetAttr: return set_attr();
    case RecordType::kTruncate: return truncate();
    case RecordType::kPunch: return punch();
    case RecordType::kClone: return clone();
    case RecordType::kAllocate: return allocate();
    case RecordType::kSetXattr: return set_xattr();
    case RecordType::kRemoveXattr: return remove_xattr();
    case RecordType::kFree: return free_inodes();
    case RecordType::kMark: return mark();
    case RecordType::kMarkChange: return mark_change();
    case RecordType::kNone: break;
  }
  return contradiction("its type is unknown");
}

Status Applier::contradiction(std::string_view what) const {
  return Status(Code::kCorrupt, "record " + std::to_string(header_.seq.value()) + " (" +
                                    std::string(record_type_name(header_.type)) +
                                    ") contradicts the tree: " + std::string(what));
}

Result<Attr> Applier::inode(Ino ino) {
  TM_ASSIGN(auto found, state_.inode(ino, kLatest));
  if (!found) return contradiction("there is no inode " + std::to_string(ino.value()));
  return *found;
}

void Applier::put_inode(const Attr& attr) {
  Attr stamped = attr;
  stamped.changed = header_.seq;
  stamped.preallocation.forget_full();
  state_.batch_.put(as_of_key(inode_subject(attr.ino), header_.seq), encode_inode_row(stamped));
  state_.inodes_.put(attr.ino, stamped);
}

void Applier::put_name(Ino parent, std::string_view name, const NameRow& row) {
  state_.batch_.put(as_of_key(name_subject(parent, name), header_.seq), encode_name_row(row));
}

void Applier::remove_name(Ino parent, std::string_view name) {
  state_.batch_.put(as_of_key(name_subject(parent, name), header_.seq), "");
}

void Applier::put_xattr(Ino ino, std::string_view name, std::string_view value) {
  state_.batch_.put(as_of_key(xattr_subject(ino, name), header_.seq), encode_xattr_row(value));
}

void Applier::drop_name(Attr& attr) {
  attr.nlink = S_ISDIR(attr.mode) ? 0 : attr.nlink - std::min(attr.nlink, 1u);
  attr.ctime = now_;
  if (attr.nlink == 0) state_.batch_.put(unnamed_key(attr.ino), "");
}

Status Applier::write_batch() {
  // The record at hand is not part of what is written: next_meta_ still names the one before it.
  return state_.write();
}

Status Applier::genesis() {
  TM_ASSIGN(auto body, decode_genesis(payload_));
  if (header_.seq != Seq(1)) return contradiction("a genesis record that is not the first");
  Attr root;
  root.ino = kRootIno;
  root.mode = S_IFDIR | (body.root_mode & 07777);
  root.uid = body.uid;
  root.gid = body.gid;
  root.nlink = 2;
  root.parent = kRootIno;
  root.atime = root.mtime = root.ctime = root.btime = now_;
  put_inode(root);
  state_.next_meta_.group = body.group;
  state_.next_meta_.inodes = 1;
  return Status();
}

Status Applier::make_node() {
  TM_ASSIGN(auto body, decode_make_node(payload_));
  Attr made;
  made.ino = header_.ino;
  made.mode = body.mode;
  made.uid = body.uid;
  made.gid = body.gid;
  made.device = body.device;
  made.size = body.symlink_target.size();
  made.xattr_count = static_cast<uint32_t>(body.xattrs.size());
  made.atime = made.mtime = made.ctime = made.btime = now_;
  const bool directory = S_ISDIR(body.mode);
  made.nlink = body.name.empty() ? 0 : directory ? 2 : 1;
  if (directory) made.parent = body.parent;
  if (made.ino < state_.next_meta_.next_ino) return contradiction("its inode number was used before");
  if (body.name.empty()) {
    state_.batch_.put(unnamed_key(made.ino), "");
  } else {
    TM_ASSIGN(Attr parent, inode(body.parent));
    parent.mtime = parent.ctime = now_;
    if (directory) ++parent.nlink;
    put_inode(parent);
    put_name(body.parent, body.name, {made.ino, body.mode & S_IFMT});
  }
  if (S_ISLNK(body.mode)) state_.batch_.put(symlink_key(made.ino), body.symlink_target);
  for (const XattrPair& pair : body.xattrs) put_xattr(made.ino, pair.name, pair.value);
  put_inode(made);
  state_.next_meta_.next_ino = made.ino.next();
  ++state_.next_meta_.inodes;
  return Status();
}

Status Applier::link() {
  TM_ASSIGN(auto body, decode_link(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  TM_ASSIGN(Attr parent, inode(body.parent));
  if (attr.nlink == 0) state_.batch_.remove(unnamed_key(attr.ino));
  ++attr.nlink;
  attr.ctime = now_;
  put_inode(attr);
  parent.mtime = parent.ctime = now_;
  put_inode(parent);
  put_name(body.parent, body.name, {attr.ino, attr.mode & S_IFMT});
  return Status();
}

Status Applier::unlink() {
  TM_ASSIGN(auto body, decode_link(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  TM_ASSIGN(Attr parent, inode(body.parent));
  parent.mtime = parent.ctime = now_;
  if (S_ISDIR(attr.mode)) --parent.nlink;
  put_inode(parent);
  remove_name(body.parent, body.name);
  drop_name(attr);
  put_inode(attr);
  return Status();
}

Status Applier::rename() {
  TM_ASSIGN(auto body, decode_rename(payload_));
  TM_ASSIGN(Attr moved, inode(header_.ino));
  const bool moved_directory = S_ISDIR(moved.mode);
  int from_links = moved_directory ? -1 : 0;  // how the two parents' nlink change
  int to_links = moved_directory ? 1 : 0;
  remove_name(body.from_parent, body.from_name);
  if (body.replaced != Ino(0)) {
    TM_ASSIGN(Attr replaced, inode(body.replaced));
    const bool replaced_directory = S_ISDIR(replaced.mode);
    if (replaced_directory) --to_links;
    if (body.exchange) {
      if (replaced_directory) {
        ++from_links;
        replaced.parent = body.from_parent;
      }
      replaced.ctime = now_;
      put_name(body.from_parent, body.from_name, {replaced.ino, replaced.mode & S_IFMT});
    } else {
      drop_name(replaced);
    }
    put_inode(replaced);
  }
  put_name(body.to_parent, body.to_name, {moved.ino, moved.mode & S_IFMT});
  if (body.whiteout != Ino(0)) {
    Attr whiteout;
    whiteout.ino = body.whiteout;
    whiteout.mode = S_IFCHR;
    whiteout.uid = moved.uid;
    whiteout.gid = moved.gid;
    whiteout.nlink = 1;
    whiteout.atime = whiteout.mtime = whiteout.ctime = whiteout.btime = now_;
    put_inode(whiteout);
    put_name(body.from_parent, body.from_name, {whiteout.ino, S_IFCHR});
    state_.next_meta_.next_ino = std::max(state_.next_meta_.next_ino, whiteout.ino.next());
    ++state_.next_meta_.inodes;
  }
  moved.ctime = now_;
  if (moved_directory) moved.parent = body.to_parent;
  put_inode(moved);
  for (const auto& [parent_ino, links] : {std::pair(body.from_parent, from_links), std::pair(body.to_parent, to_links)}) {
    TM_ASSIGN(Attr parent, inode(parent_ino));
    parent.nlink = static_cast<uint32_t>(static_cast<int64_t>(parent.nlink) + links);
    parent.mtime = parent.ctime = now_;
    put_inode(parent);
  }
  return Status();
}

Status Applier::set_attr() {
  TM_ASSIGN(auto body, decode_set_attr(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  if (body.mask & kSetMode) attr.mode = (attr.mode & S_IFMT) | (body.mode & 07777);
  if (body.mask & kSetUid) attr.uid = body.uid;
  if (body.mask & kSetGid) attr.gid = body.gid;
  if (body.mask & kSetSize) {
    attr.size = std::max(attr.size, body.size);
    attr.mtime = now_;
  }
  if (body.mask & kSetAtime) attr.atime = body.atime;
  if (body.mask & kSetMtime) attr.mtime = body.mtime;
  attr.ctime = body.mask & kSetCtime ? body.ctime : now_;
  put_inode(attr);
  return Status();
}

Status Applier::set_xattr() {
  TM_ASSIGN(auto body, decode_xattr(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  TM_TRY(write_batch());  // an earlier record of the batch may have set the same attribute
  TM_ASSIGN(auto before, state_.xattr(header_.ino, body.name, kLatest));
  if (!before) ++attr.xattr_count;
  put_xattr(header_.ino, body.name, body.value);
  attr.ctime = now_;
  put_inode(attr);
  return Status();
}

Status Applier::remove_xattr() {
  TM_ASSIGN(auto body, decode_xattr(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  if (attr.xattr_count == 0) return contradiction("there is no such extended attribute");
  state_.batch_.put(as_of_key(xattr_subject(header_.ino, body.name), header_.seq), "");
  --attr.xattr_count;
  attr.ctime = now_;
  put_inode(attr);
  return Status();
}

Status Applier::free_inodes() {
  TM_ASSIGN(auto inodes, decode_free(payload_));
  for (Ino ino : inodes) {
    TM_ASSIGN(Attr attr, inode(ino));
    if (attr.nlink != 0) return contradiction("inode " + std::to_string(ino.value()) + " still has a name");
    state_.batch_.put(as_of_key(inode_subject(ino), header_.seq), "");
    state_.batch_.remove(unnamed_key(ino));
    state_.inodes_.put(ino, std::nullopt);
    --state_.next_meta_.inodes;
  }
  return Status();
}

Status Applier::mark() {
  TM_ASSIGN(auto body, decode_mark(payload_));
  Mark mark;
  mark.id = body.id;
  mark.name = body.name;
  mark.seq = header_.seq;
  mark.time_ns = header_.time_ns;
  mark.application = body.application;
  mark.pid = body.pid;
  mark.uid = body.uid;
  mark.note = body.note;
  state_.batch_.put(mark_key(mark.id), encode_mark_row(mark));
  std::string id;
  append_be64(id, mark.id.value());
  state_.batch_.put(mark_name_key(mark.name), id);
  state_.next_meta_.next_mark = mark.id.next();
  return Status();
}

Status Applier::mark_change() {
  TM_ASSIGN(auto body, decode_mark_change(payload_));
  TM_TRY(write_batch());
  TM_ASSIGN(auto row, state_.index_->get(mark_key(body.id)));
  if (!row) return contradiction("there is no mark " + std::to_string(body.id.value()));
  TM_ASSIGN(Mark mark, decode_mark_row(*row));
  mark.held = body.held;
  state_.batch_.put(mark_key(mark.id), encode_mark_row(mark));
  return Status();
}

}  // namespace tidemark
