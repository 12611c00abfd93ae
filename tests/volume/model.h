// A file system in a few lines, in memory: the oracle the engine is compared with.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "volume/tree/volume.h"

namespace tidemark::test {

class Model {
 public:
  Model();

  Code make_node(Ino parent, const std::string& name, uint32_t mode, const std::string& target, Ino made);
  Code link(Ino ino, Ino parent, const std::string& name);
  Code unlink(Ino parent, const std::string& name);
  Code remove_directory(Ino parent, const std::string& name);
  Code rename(Ino from_parent, const std::string& from, Ino to_parent, const std::string& to, RenameMode mode);
  Code write(Ino ino, uint64_t at, const std::string& data);
  Code resize(Ino ino, uint64_t size);
  Code punch(Ino ino, uint64_t at, uint64_t size);
  Code allocate(Ino ino, uint64_t at, uint64_t size, bool keep_size);
  Code copy_range(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size);
  Code set_mode(Ino ino, uint32_t mode);
  Code set_xattr(Ino ino, const std::string& name, const std::string& value);
  Code remove_xattr(Ino ino, const std::string& name);
  void free(Ino ino);

  [[nodiscard]] std::vector<Ino> all() const;  // every inode, named or not
  [[nodiscard]] std::vector<std::string> names(Ino directory) const;
  [[nodiscard]] uint64_t size(Ino ino) const;
  [[nodiscard]] bool unnamed(Ino ino) const;
  // The whole named tree as text: paths, attributes, sums of contents.
  [[nodiscard]] std::string dump() const;

 private:
  struct Node {
    uint32_t mode = 0;
    uint32_t nlink = 0;
    std::string content;  // of a file; the target of a symlink
    std::map<std::string, std::string> xattrs;
    std::map<std::string, Ino> names;
    Ino parent;
  };
  Node* directory(Ino ino);
  Node* file(Ino ino, Code& code);
  bool below(Ino ino, Ino ancestor);
  void drop(Ino ino);
  void dump(Ino ino, const std::string& path, std::string& out) const;

  std::map<Ino, Node> nodes_;
};

// The same text of a view. Fails the test on any error.
std::string dump_view(TreeView& view);

}  // namespace tidemark::test
