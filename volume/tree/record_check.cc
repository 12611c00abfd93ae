#include "volume/tree/record_check.h"

#include <sys/stat.h>

namespace tidemark {
namespace {

// Deeper than any path the kernel resolves in one call can make; a bound for a tree that is damaged already.
constexpr int kDepthMax = 1'000'000;

}  // namespace

Status RecordCheck::contradiction(const std::string& what) const {
  return Status(Code::kCorrupt, "record " + std::to_string(header_->seq.value()) + " (" +
                                    std::string(record_type_name(header_->type)) + ") is refused: " + what);
}

Status RecordCheck::check(const RecordHeader& header, Bytes payload) {
  header_ = &header;
  if (header.seq != meta_.applied.seq.next()) return contradiction("it does not follow what is held");
  if ((header.seq == Seq(1)) != (header.type == RecordType::kGenesis)) {
    return contradiction("a genesis record is the first one, and only that");
  }
  Status sound = check_body(payload);
  if (!sound.ok() && sound.text().find("is refused") == std::string::npos) sound = contradiction(sound.text());
  meta_.applied = header.position();
  return sound;
}

Status RecordCheck::check_body(Bytes payload) {
  const auto run = [&](auto&& decoded, auto&& rule) { return decoded.ok() ? rule(*decoded) : decoded.status(); };
  const Ino ino = header_->ino;
  switch (header_->type) {
    case RecordType::kGenesis: return run(decode_genesis(payload), [&](const Genesis& body) { return genesis(body); });
    case RecordType::kEpoch: return decode_epoch(payload).status();
    case RecordType::kData: return run(decode_data(*header_, payload), [&](const DataBody& body) { return data(body); });
    case RecordType::kMakeNode: return run(decode_make_node(payload), [&](const MakeNode& body) { return make_node(body); });
    case RecordType::kLink: return run(decode_link(payload), [&](const LinkBody& body) { return link(body); });
    case RecordType::kUnlink: return run(decode_link(payload), [&](const LinkBody& body) { return unlink(body); });
    case RecordType::kRename: return run(decode_rename(payload), [&](const RenameBody& body) { return rename(body); });
    case RecordType::kSetAttr:
      return run(decode_set_attr(payload),
                 [&](const SetAttr& body) { return (body.mask & kSetSize ? regular(ino) : node(ino)).status(); });
    case RecordType::kTruncate:
      return run(decode_truncate(payload), [&](const TruncateBody&) { return regular(ino).status(); });
    case RecordType::kPunch: return run(decode_punch(payload), [&](const PunchBody&) { return regular(ino).status(); });
    case RecordType::kAllocate:
      return run(decode_allocate(payload), [&](const AllocateBody&) { return regular(ino).status(); });
    case RecordType::kClone: return run(decode_clone(payload), [&](const CloneBody& body) { return clone(body); });
    case RecordType::kSetXattr:
      return run(decode_xattr(payload), [&](const XattrBody& body) -> Status {
        TM_ASSIGN(Node * there, node(ino));
        there->xattrs[std::string(body.name)] = true;
        return Status();
      });
    case RecordType::kRemoveXattr:
      return run(decode_xattr(payload), [&](const XattrBody& body) { return remove_xattr(body); });
    case RecordType::kFree:
      return run(decode_free(payload), [&](const std::vector<Ino>& body) { return free_inodes(body); });
    case RecordType::kMark: return run(decode_mark(payload), [&](const MarkBody& body) { return mark(body); });
    case RecordType::kMarkChange:
      return run(decode_mark_change(payload), [&](const MarkChange& body) { return mark_change(body); });
    case RecordType::kNone: break;
  }
  return contradiction("its type is unknown");
}

Result<RecordCheck::Node*> RecordCheck::node(Ino ino) {
  auto found = nodes_.find(ino);
  if (found == nodes_.end()) {
    TM_ASSIGN(const auto attr, state_.inode(ino, kLatest));
    std::optional<Node> there;
    if (attr) there = Node{attr->mode, attr->nlink, attr->parent, {}};
    found = nodes_.emplace(ino, std::move(there)).first;
  }
  if (!found->second) return contradiction("there is no inode " + std::to_string(ino.value()));
  return &*found->second;
}

Result<RecordCheck::Node*> RecordCheck::regular(Ino ino) {
  TM_ASSIGN(Node * there, node(ino));
  if (!S_ISREG(there->mode)) return contradiction("inode " + std::to_string(ino.value()) + " is not a regular file");
  return there;
}

Result<RecordCheck::Node*> RecordCheck::directory(Ino ino) {
  TM_ASSIGN(Node * there, node(ino));
  if (!S_ISDIR(there->mode) || there->nlink == 0) {
    return contradiction("inode " + std::to_string(ino.value()) + " is not a directory in the tree");
  }
  return there;
}

Result<Ino> RecordCheck::entry(Ino parent, std::string_view name) {
  const Name key(parent, std::string(name));
  auto found = names_.find(key);
  if (found == names_.end()) {
    TM_ASSIGN(const auto row, state_.name(parent, name, kLatest));
    found = names_.emplace(key, row ? row->ino : Ino()).first;
  }
  return found->second;
}

Status RecordCheck::vacant(Ino parent, std::string_view name) {
  TM_TRY(directory(parent).status());
  TM_ASSIGN(const Ino there, entry(parent, name));
  return there == Ino() ? Status() : contradiction("the name exists");
}

Status RecordCheck::new_inode(Ino ino) {
  if (ino < meta_.next_ino || ino.value() > kInoMax)
    return contradiction("its inode number was used before, or never will be");
  meta_.next_ino = ino.next();
  return Status();
}

Status RecordCheck::not_below(Ino directory, Ino ancestor) {
  for (int depth = 0; directory != kRootIno && depth < kDepthMax; ++depth) {
    if (directory == ancestor) return contradiction("a directory would come below itself");
    TM_ASSIGN(const Node* there, node(directory));
    directory = there->parent;
  }
  return directory == kRootIno && ancestor != kRootIno ? Status() : contradiction("a directory would come below itself");
}

Status RecordCheck::genesis(const Genesis& body) {
  if (body.group != group_) return contradiction("it begins another group");
  nodes_[kRootIno] = Node{S_IFDIR | body.root_mode, 2, kRootIno, {}};
  return Status();
}

Status RecordCheck::data(const DataBody& body) {
  TM_TRY(regular(header_->ino).status());
  if (body.first_block % kChunkBlocks + body.count > kChunkBlocks) return contradiction("its blocks cross a chunk");
  return Status();
}

Status RecordCheck::make_node(const MakeNode& body) {
  TM_TRY(new_inode(header_->ino));
  Node made{body.mode, 0, Ino(), {}};
  if (!body.name.empty()) {
    TM_TRY(vacant(body.parent, body.name));
    made.nlink = S_ISDIR(body.mode) ? 2 : 1;
    if (S_ISDIR(body.mode)) made.parent = body.parent;
    names_[{body.parent, std::string(body.name)}] = header_->ino;
  } else if (S_ISDIR(body.mode)) {
    return contradiction("a directory without a name");
  }
  for (const XattrPair& pair : body.xattrs) {
    if (!made.xattrs.emplace(pair.name, true).second) return contradiction("one extended attribute twice");
  }
  nodes_[header_->ino] = std::move(made);
  return Status();
}

Status RecordCheck::link(const LinkBody& body) {
  TM_ASSIGN(Node * there, node(header_->ino));
  if (S_ISDIR(there->mode)) return contradiction("a second name for a directory");
  TM_TRY(vacant(body.parent, body.name));
  ++there->nlink;
  names_[{body.parent, std::string(body.name)}] = header_->ino;
  return Status();
}

Status RecordCheck::unlink(const LinkBody& body) {
  TM_TRY(directory(body.parent).status());
  TM_ASSIGN(const Ino there, entry(body.parent, body.name));
  if (there != header_->ino || there == Ino()) return contradiction("the name is not that inode's");
  TM_ASSIGN(Node * gone, node(there));
  gone->nlink = S_ISDIR(gone->mode) ? 0 : gone->nlink - std::min(gone->nlink, 1u);
  names_[{body.parent, std::string(body.name)}] = Ino();
  return Status();
}

Status RecordCheck::rename(const RenameBody& body) {
  TM_TRY(directory(body.from_parent).status());
  TM_TRY(directory(body.to_parent).status());
  if (body.from_parent == body.to_parent && body.from_name == body.to_name) return contradiction("a name becomes itself");
  TM_ASSIGN(const Ino from, entry(body.from_parent, body.from_name));
  TM_ASSIGN(const Ino to, entry(body.to_parent, body.to_name));
  if (from == Ino() || from != header_->ino) return contradiction("the name is not that inode's");
  if (to != body.replaced || to == from) return contradiction("the new name is not what it says it is");
  TM_ASSIGN(Node * moved, node(from));
  if (S_ISDIR(moved->mode)) TM_TRY(not_below(body.to_parent, from));
  names_[{body.from_parent, std::string(body.from_name)}] = Ino();
  if (to != Ino()) TM_TRY(replace(body, *moved));
  names_[{body.to_parent, std::string(body.to_name)}] = from;
  if (S_ISDIR(moved->mode)) moved->parent = body.to_parent;
  if (body.whiteout == Ino()) return Status();
  TM_TRY(new_inode(body.whiteout));
  nodes_[body.whiteout] = Node{S_IFCHR, 1, Ino(), {}};
  names_[{body.from_parent, std::string(body.from_name)}] = body.whiteout;
  return Status();
}

Status RecordCheck::replace(const RenameBody& body, Node& moved) {
  TM_ASSIGN(Node * replaced, node(body.replaced));
  const bool directory = S_ISDIR(replaced->mode);
  if (body.exchange) {
    if (directory) {
      TM_TRY(not_below(body.from_parent, body.replaced));
      replaced->parent = body.from_parent;
    }
    names_[{body.from_parent, std::string(body.from_name)}] = body.replaced;
    return Status();
  }
  if (directory != S_ISDIR(moved.mode)) return contradiction("a directory in the place of a file, or the other way round");
  replaced->nlink = directory ? 0 : replaced->nlink - std::min(replaced->nlink, 1u);
  return Status();
}

Status RecordCheck::clone(const CloneBody& body) {
  TM_TRY(regular(body.source).status());
  return regular(header_->ino).status();
}

Status RecordCheck::remove_xattr(const XattrBody& body) {
  TM_ASSIGN(Node * there, node(header_->ino));
  const auto known = there->xattrs.find(body.name);
  bool set = known != there->xattrs.end() && known->second;
  if (known == there->xattrs.end()) {
    TM_ASSIGN(const auto value, state_.xattr(header_->ino, body.name, kLatest));
    set = value.has_value();
  }
  if (!set) return contradiction("there is no such extended attribute");
  there->xattrs[std::string(body.name)] = false;
  return Status();
}

Status RecordCheck::free_inodes(const std::vector<Ino>& inodes) {
  for (const Ino ino : inodes) {
    TM_ASSIGN(const Node* there, node(ino));
    if (there->nlink != 0) return contradiction("inode " + std::to_string(ino.value()) + " still has a name");
    nodes_[ino] = std::nullopt;
  }
  return Status();
}

Status RecordCheck::mark(const MarkBody& body) {
  if (body.id < meta_.next_mark || body.id.value() > kMarkIdMax)
    return contradiction("its number was used before, or never will be");
  TM_ASSIGN(const auto there, state_.mark(body.name));
  if (there || marks_.contains(body.name)) return contradiction("there is such a mark already");
  marks_.emplace(body.name, body.id);
  meta_.next_mark = body.id.next();
  return Status();
}

Status RecordCheck::mark_change(const MarkChange& body) {
  for (const auto& [name, id] : marks_) {
    if (id == body.id) return Status();
  }
  TM_ASSIGN(const auto found, state_.marks(body.id.prev(), 1));
  if (found.empty() || found.front().id != body.id) return contradiction("there is no such mark");
  return Status();
}

}  // namespace tidemark
