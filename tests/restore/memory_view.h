// A tree in memory, as a view. It checks nothing: a test may make it say what no real view says.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <map>
#include <string>

#include "base/mutex.h"
#include "volume/tree/tree_view.h"

namespace tidemark::test {

struct MemoryNode {
  Attr attr;
  std::map<std::string, Ino> entries;
  std::string symlink_target;
  std::map<std::string, std::string> xattrs;
  std::map<uint64_t, std::string> data;  // runs that hold data, by their first byte; the rest is holes
};

class MemoryView : public TreeView {
 public:
  MemoryView() {
    MemoryNode& top = nodes_[kRootIno];
    top.attr = plain(kRootIno, S_IFDIR | 0755);
    top.attr.parent = kRootIno;
  }

  // Building. Times are fixed, owners are this process's.
  Ino add(Ino parent, const std::string& name, uint32_t mode) {
    Ino ino(++last_);
    nodes_[ino].attr = plain(ino, mode);
    nodes_[ino].attr.parent = parent;
    nodes_[parent].entries[name] = ino;
    return ino;
  }
  Ino add_directory(Ino parent, const std::string& name, uint32_t mode = 0755) { return add(parent, name, S_IFDIR | mode); }
  Ino add_file(Ino parent, const std::string& name, const std::string& content, uint32_t mode = 0644) {
    Ino ino = add(parent, name, S_IFREG | mode);
    if (!content.empty()) add_data(ino, 0, content);
    return ino;
  }
  void add_data(Ino ino, uint64_t at, const std::string& bytes) {
    MemoryNode& node = nodes_[ino];
    node.data[at] = bytes;
    node.attr.size = std::max(node.attr.size, at + bytes.size());
    node.attr.blocks += (bytes.size() + kBlockSize - 1) / kBlockSize;
  }
  Ino add_symlink(Ino parent, const std::string& name, const std::string& target) {
    Ino ino = add(parent, name, S_IFLNK | 0777);
    nodes_[ino].symlink_target = target;
    nodes_[ino].attr.size = target.size();
    return ino;
  }
  void add_link(Ino parent, const std::string& name, Ino ino) {
    nodes_[parent].entries[name] = ino;
    ++nodes_[ino].attr.nlink;
  }
  void add_xattr(Ino ino, const std::string& name, const std::string& value) {
    nodes_[ino].xattrs[name] = value;
    nodes_[ino].attr.xattr_count = static_cast<uint32_t>(nodes_[ino].xattrs.size());
  }
  MemoryNode& node(Ino ino) { return nodes_.at(ino); }
  // Reading this file from this byte on answers kCorrupt.
  void corrupt(Ino ino, uint64_t from) {
    corrupt_ = ino;
    corrupt_from_ = from;
  }

  [[nodiscard]] Seq point() const override { return Seq(42); }
  Result<Attr> get_attr(Ino ino) override {
    ++calls;
    auto found = nodes_.find(ino);
    if (found == nodes_.end()) return Status(Code::kStale, "no such inode");
    return found->second.attr;
  }
  Result<Attr> lookup(Ino directory, std::string_view name) override {
    const MemoryNode& here = nodes_.at(directory);
    if (!S_ISDIR(here.attr.mode)) return Status(Code::kNotDirectory, "not a directory");
    auto found = here.entries.find(std::string(name));
    if (found == here.entries.end()) return Status(Code::kNotFound, "no such entry");
    return get_attr(found->second);
  }
  Result<std::vector<DirEntry>> list(Ino directory, std::string_view after, size_t max) override {
    std::vector<DirEntry> page;
    const auto& entries = nodes_.at(directory).entries;
    for (auto at = entries.upper_bound(std::string(after)); at != entries.end() && page.size() < max; ++at) {
      page.push_back({at->first, at->second, nodes_.at(at->second).attr.mode & S_IFMT});
    }
    return page;
  }
  Result<std::string> read_link(Ino ino) override { return nodes_.at(ino).symlink_target; }
  Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) override {
    const MemoryNode& here = nodes_.at(ino);
    if (at >= here.attr.size) return size_t{0};
    size_t size = std::min<uint64_t>(out.size(), here.attr.size - at);
    if (ino == corrupt_ && at + size > corrupt_from_) return Status(Code::kCorrupt, "block 7: checksum is wrong");
    std::memset(out.data(), 0, size);
    for (const auto& [from, bytes] : here.data) {
      uint64_t begin = std::max(from, at), end = std::min(from + bytes.size(), at + size);
      if (begin < end) std::memcpy(out.data() + (begin - at), bytes.data() + (begin - from), end - begin);
    }
    bytes_read += size;
    return size;
  }
  Result<std::vector<DataRange>> data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) override {
    std::vector<DataRange> ranges;
    for (const auto& [at, bytes] : nodes_.at(ino).data) {
      uint64_t begin = std::max(at, from), end = std::min<uint64_t>(at + bytes.size(), to);
      if (begin < end && ranges.size() < max) ranges.push_back({begin, end - begin});
    }
    return ranges;
  }
  Result<std::string> get_xattr(Ino ino, std::string_view name) override {
    const auto& xattrs = nodes_.at(ino).xattrs;
    auto found = xattrs.find(std::string(name));
    if (found == xattrs.end()) return Status(Code::kNoData, "no such extended attribute");
    return found->second;
  }
  Result<std::vector<std::string>> list_xattr(Ino ino) override {
    std::vector<std::string> names;
    for (const auto& [name, value] : nodes_.at(ino).xattrs) names.push_back(name);
    return names;
  }

  std::atomic<uint64_t> calls{0};
  std::atomic<uint64_t> bytes_read{0};

 private:
  static Attr plain(Ino ino, uint32_t mode);

  std::map<Ino, MemoryNode> nodes_;
  uint64_t last_ = 1;
  Ino corrupt_;
  uint64_t corrupt_from_ = 0;
};

}  // namespace tidemark::test
