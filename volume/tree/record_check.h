// Records of another site, held against the tree before they enter the log: what the Applier could not make sense of (or
// what would make a tree that no file system has) must not get there, since it could never be got rid of again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "volume/tree/state.h"

namespace tidemark {

// Inode and mark numbers of an honest primary count from 1; these bounds keep "the next one" from ever wrapping around.
inline constexpr uint64_t kInoMax = (uint64_t{1} << 48) - 1;
inline constexpr uint64_t kMarkIdMax = (uint64_t{1} << 48) - 1;

// For the records of one run, in order: it remembers what those before change. Reads the newest state; the commit lock is held.
class RecordCheck {
 public:
  RecordCheck(TreeState& state, const GroupId& group) : state_(state), group_(group), meta_(state.meta()) {}

  // kCorrupt: the record and what it contradicts.
  Status check(const RecordHeader& header, Bytes payload);

 private:
  struct Node {
    uint32_t mode = 0;
    uint32_t nlink = 0;
    Ino parent;                                       // of a directory
    std::map<std::string, bool, std::less<>> xattrs;  // set or removed by this run
  };
  using Name = std::pair<Ino, std::string>;

  Status check_body(Bytes payload);
  Status genesis(const Genesis& body);
  Status data(const DataBody& body);
  Status make_node(const MakeNode& body);
  Status link(const LinkBody& body);
  Status unlink(const LinkBody& body);
  Status rename(const RenameBody& body);
  Status replace(const RenameBody& body, Node& moved);
  Status clone(const CloneBody& body);
  Status remove_xattr(const XattrBody& body);
  Status free_inodes(const std::vector<Ino>& inodes);
  Status mark(const MarkBody& body);
  Status mark_change(const MarkChange& body);

  Result<Node*> node(Ino ino);  // kCorrupt where there is none
  Result<Node*> regular(Ino ino);
  Result<Node*> directory(Ino ino);                      // with a name, or the root
  Result<Ino> entry(Ino parent, std::string_view name);  // 0: no such name
  Status vacant(Ino parent, std::string_view name);
  Status new_inode(Ino ino);
  Status not_below(Ino directory, Ino ancestor);  // kCorrupt where it is: the tree would have a circle
  [[nodiscard]] Status contradiction(const std::string& what) const;

  TreeState& state_;
  const GroupId& group_;
  Meta meta_;
  const RecordHeader* header_ = nullptr;
  std::map<Ino, std::optional<Node>> nodes_;
  std::map<Name, Ino> names_;
  std::map<std::string, MarkId, std::less<>> marks_;
};

}  // namespace tidemark
