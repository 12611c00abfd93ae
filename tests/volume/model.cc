#include "tests/volume/model.h"

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/hash.h"

namespace tidemark::test {
namespace {

std::string describe(uint32_t mode, uint32_t nlink, uint64_t size, const std::string& content,
                     const std::map<std::string, std::string>& xattrs) {
  std::string text = " mode=" + std::to_string(mode) + " nlink=" + std::to_string(nlink) + " size=" + std::to_string(size) +
                     " sum=" + std::to_string(hash64(as_bytes(content)));
  for (const auto& [name, value] : xattrs) text += " " + name + "=" + std::to_string(hash64(as_bytes(value)));
  return text + "\n";
}

// What the attributes say of a file's blocks is what its map says.
void check_blocks(TreeView& view, const Attr& attr) {
  const auto data_blocks = [&](uint64_t first, uint64_t end) {
    uint64_t blocks = 0;
    for (const DataRange& run : view.data_ranges(attr.ino, first * kBlockSize, end * kBlockSize, SIZE_MAX).value()) {
      blocks += (run.size + kBlockSize - 1) / kBlockSize;
    }
    return blocks;
  };
  REQUIRE(data_blocks(0, attr.size / kBlockSize + 1) == attr.blocks);
  uint64_t unwritten = 0;
  for (const BlockRange& range : attr.preallocation.ranges()) {
    unwritten += range.count - data_blocks(range.first, range.end());
  }
  REQUIRE(unwritten == attr.preallocation.unwritten());
  REQUIRE(attr.preallocation.ranges().size() <= Preallocation::kRangesMax);
}

void dump_node(TreeView& view, const Attr& attr, const std::string& path, std::string& out) {
  std::string content;
  if (S_ISREG(attr.mode)) {
    content.resize(attr.size);
    auto got = view.read(attr.ino, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()});
    INFO(path << " " << got.status().text());
    REQUIRE(got.ok());
    REQUIRE(*got == attr.size);
    check_blocks(view, attr);
  }
  if (S_ISLNK(attr.mode)) content = view.read_link(attr.ino).value();
  std::map<std::string, std::string> xattrs;
  for (const std::string& name : view.list_xattr(attr.ino).value()) xattrs[name] = view.get_xattr(attr.ino, name).value();
  REQUIRE(xattrs.size() == attr.xattr_count);
  out += path + describe(attr.mode, attr.nlink, S_ISDIR(attr.mode) ? 0 : attr.size, content, xattrs);
  if (!S_ISDIR(attr.mode)) return;
  std::string after;
  for (;;) {
    auto entries = view.list(attr.ino, after, 7).value();
    for (const DirEntry& entry : entries) {
      auto child = view.lookup(attr.ino, entry.name);
      INFO(path << "/" << entry.name << ": " << child.status().text());
      REQUIRE(child.ok());
      REQUIRE(child->ino == entry.ino);
      REQUIRE((child->mode & S_IFMT) == entry.mode);
      dump_node(view, *child, path + "/" + entry.name, out);
    }
    if (entries.size() < 7) return;
    after = entries.back().name;
  }
}

}  // namespace

std::string dump_view(TreeView& view) {
  std::string out;
  dump_node(view, view.get_attr(view.root()).value(), "", out);
  return out;
}

Model::Model() {
  Node& root = nodes_[kRootIno];
  root.mode = S_IFDIR | 0755;
  root.nlink = 2;
  root.parent = kRootIno;
}

Model::Node* Model::directory(Ino ino) {
  auto found = nodes_.find(ino);
  return found != nodes_.end() && S_ISDIR(found->second.mode) && found->second.nlink > 0 ? &found->second : nullptr;
}

Model::Node* Model::file(Ino ino, Code& code) {
  auto found = nodes_.find(ino);
  code = found == nodes_.end()         ? Code::kStale
         : S_ISDIR(found->second.mode) ? Code::kIsDirectory
         : S_ISREG(found->second.mode) ? Code::kOk
                                       : Code::kInvalid;
  return code == Code::kOk ? &found->second : nullptr;
}

Code Model::make_node(Ino parent, const std::string& name, uint32_t mode, const std::string& target, Ino made) {
  Node* in = directory(parent);
  if (in == nullptr) return Code::kNotFound;
  if (in->names.contains(name)) return Code::kExists;
  in->names[name] = made;
  if (S_ISDIR(mode)) ++in->nlink;
  Node& node = nodes_[made];
  node.mode = mode;
  node.nlink = S_ISDIR(mode) ? 2 : 1;
  node.content = target;
  node.parent = parent;
  return Code::kOk;
}

Code Model::link(Ino ino, Ino parent, const std::string& name) {
  auto found = nodes_.find(ino);
  if (found == nodes_.end()) return Code::kStale;
  if (S_ISDIR(found->second.mode)) return Code::kPermission;
  Node* in = directory(parent);
  if (in == nullptr) return Code::kNotFound;
  if (in->names.contains(name)) return Code::kExists;
  in->names[name] = ino;
  ++found->second.nlink;
  return Code::kOk;
}

void Model::drop(Ino ino) {
  Node& node = nodes_[ino];
  node.nlink = S_ISDIR(node.mode) ? 0 : node.nlink - 1;
}

Code Model::unlink(Ino parent, const std::string& name) {
  Node* in = directory(parent);
  if (in == nullptr || !in->names.contains(name)) return Code::kNotFound;
  const Ino ino = in->names[name];
  if (S_ISDIR(nodes_[ino].mode)) return Code::kIsDirectory;
  in->names.erase(name);
  drop(ino);
  return Code::kOk;
}

Code Model::remove_directory(Ino parent, const std::string& name) {
  Node* in = directory(parent);
  if (in == nullptr || !in->names.contains(name)) return Code::kNotFound;
  const Ino ino = in->names[name];
  if (!S_ISDIR(nodes_[ino].mode)) return Code::kNotDirectory;
  if (!nodes_[ino].names.empty()) return Code::kNotEmpty;
  in->names.erase(name);
  --in->nlink;
  drop(ino);
  return Code::kOk;
}

bool Model::below(Ino ino, Ino ancestor) {
  while (ino != kRootIno && ino != ancestor) ino = nodes_[ino].parent;
  return ino == ancestor;
}

Code Model::rename(Ino from_parent, const std::string& from, Ino to_parent, const std::string& to, RenameMode mode) {
  Node* source = directory(from_parent);
  Node* target = directory(to_parent);
  if (source == nullptr || target == nullptr || !source->names.contains(from)) return Code::kNotFound;
  const Ino moved = source->names[from];
  const bool moved_directory = S_ISDIR(nodes_[moved].mode);
  const bool there = target->names.contains(to);
  const Ino other = there ? target->names[to] : Ino(0);
  const bool other_directory = there && S_ISDIR(nodes_[other].mode);
  if (mode == RenameMode::kNoReplace && there) return Code::kExists;
  if (mode == RenameMode::kExchange && !there) return Code::kNotFound;
  if (moved_directory && below(to_parent, moved)) return Code::kInvalid;
  if (mode == RenameMode::kExchange) {
    if (other_directory && below(from_parent, other)) return Code::kInvalid;
    if (moved == other) return Code::kOk;
    std::swap(source->names[from], target->names[to]);
    source->nlink += (other_directory ? 1u : 0u) - (moved_directory ? 1u : 0u);
    target->nlink += (moved_directory ? 1u : 0u) - (other_directory ? 1u : 0u);
    nodes_[moved].parent = to_parent;
    nodes_[other].parent = from_parent;
    return Code::kOk;
  }
  if (there) {
    if (moved_directory && !other_directory) return Code::kNotDirectory;
    if (!moved_directory && other_directory) return Code::kIsDirectory;
    if (other_directory && !nodes_[other].names.empty()) return Code::kNotEmpty;
    if (moved == other) return Code::kOk;
    if (other_directory) --target->nlink;
    drop(other);
  }
  source->names.erase(from);
  target->names[to] = moved;
  if (moved_directory) {
    --source->nlink;
    ++target->nlink;
    nodes_[moved].parent = to_parent;
  }
  return Code::kOk;
}

Code Model::write(Ino ino, uint64_t at, const std::string& data) {
  Code code;
  Node* node = file(ino, code);
  if (node == nullptr) return code;
  if (node->content.size() < at + data.size()) node->content.resize(at + data.size());
  node->content.replace(at, data.size(), data);
  return Code::kOk;
}

Code Model::resize(Ino ino, uint64_t size) {
  Code code;
  Node* node = file(ino, code);
  if (node == nullptr) return code;
  node->content.resize(size);
  return Code::kOk;
}

Code Model::punch(Ino ino, uint64_t at, uint64_t size) {
  Code code;
  Node* node = file(ino, code);
  if (node == nullptr) return code;
  const uint64_t end = std::min<uint64_t>(at + size, node->content.size());
  if (at < end)
    std::fill(node->content.begin() + static_cast<int64_t>(at), node->content.begin() + static_cast<int64_t>(end), '\0');
  return Code::kOk;
}

Code Model::allocate(Ino ino, uint64_t at, uint64_t size, bool keep_size) {
  Code code;
  Node* node = file(ino, code);
  if (node != nullptr && !keep_size && node->content.size() < at + size) node->content.resize(at + size);
  return code;
}

Code Model::copy_range(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size) {
  Code code;
  Node* from = file(source, code);
  if (from == nullptr) return code;
  Node* to = file(target, code);
  if (to == nullptr) return code;
  if (source_at >= from->content.size()) return Code::kOk;
  size = std::min(size, from->content.size() - source_at);
  if (source == target && source_at < target_at + size && target_at < source_at + size) return Code::kInvalid;
  return size == 0 ? Code::kOk : write(target, target_at, from->content.substr(source_at, size));
}

Code Model::set_mode(Ino ino, uint32_t mode) {
  auto found = nodes_.find(ino);
  if (found == nodes_.end()) return Code::kStale;
  found->second.mode = (found->second.mode & S_IFMT) | mode;
  return Code::kOk;
}

Code Model::set_xattr(Ino ino, const std::string& name, const std::string& value) {
  auto found = nodes_.find(ino);
  if (found == nodes_.end()) return Code::kStale;
  found->second.xattrs[name] = value;
  return Code::kOk;
}

Code Model::remove_xattr(Ino ino, const std::string& name) {
  auto found = nodes_.find(ino);
  if (found == nodes_.end()) return Code::kStale;
  return found->second.xattrs.erase(name) == 1 ? Code::kOk : Code::kNoData;
}

void Model::free(Ino ino) {
  if (unnamed(ino)) nodes_.erase(ino);
}

std::vector<Ino> Model::all() const {
  std::vector<Ino> found;
  for (const auto& [ino, node] : nodes_) found.push_back(ino);
  return found;
}

std::vector<std::string> Model::names(Ino directory) const {
  std::vector<std::string> found;
  auto node = nodes_.find(directory);
  if (node == nodes_.end()) return found;
  for (const auto& [name, ino] : node->second.names) found.push_back(name);
  return found;
}

uint64_t Model::size(Ino ino) const { return nodes_.at(ino).content.size(); }
bool Model::unnamed(Ino ino) const { return nodes_.contains(ino) && nodes_.at(ino).nlink == 0; }

void Model::dump(Ino ino, const std::string& path, std::string& out) const {
  const Node& node = nodes_.at(ino);
  out += path + describe(node.mode, node.nlink, node.content.size(), node.content, node.xattrs);
  for (const auto& [name, child] : node.names) dump(child, path + "/" + name, out);
}

std::string Model::dump() const {
  std::string out;
  dump(kRootIno, "", out);
  return out;
}

}  // namespace tidemark::test
