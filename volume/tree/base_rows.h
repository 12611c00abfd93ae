// What is left of an index at a base: the one rule that the base image, the sweep and the search for needed records share.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string_view>

#include "volume/index/index.h"

namespace tidemark {

// Of each as-of subject the newest row at or before `base` stays, older ones go. If that row says that there is no such thing any
// more (a tombstone, a chunk without blocks), it goes as well, unless it is younger than `tombstones_from`: then somebody whose copy
// ends there still has to hear of it. What belongs to an inode that is gone at the base goes with it.
struct BaseRule {
  Seq base;
  Seq tombstones_from;
  bool operator==(const BaseRule&) const = default;
};

struct BaseVisitor {
  // A row that stays. `changed`: its value in the index is another one (a chunk's map was made of several rows).
  std::function<Status(std::string_view key, std::string_view value, bool changed)> keep;
  // A row that goes; null: nobody asks. In such an order that a reader at or after the base sees the same after each step: a
  // subject's kept row before, a tombstone after everything it hides.
  std::function<Status(std::string_view key)> drop;
};

// As long as it runs, nobody else removes rows. Rows above the base may come in.
class BaseRows {
 public:
  BaseRows(Index& index, const BaseRule& rule) : index_(index), rule_(rule) {}
  // Rows of names, extents, extended attributes, symlink targets and inodes, in this order (the inodes last: they say what is gone).
  Status walk(const BaseVisitor& visitor);
  Status walk_extents(const BaseVisitor& visitor) { return walk_kind('E', visitor); }
  // Above every inode number that has a row at or before the base. After walk().
  [[nodiscard]] Ino next_ino() const { return next_ino_; }

 private:
  Status walk_kind(char kind, const BaseVisitor& visitor);
  Status walk_symlinks(const BaseVisitor& visitor);
  Status subject(IndexScan& rows, const BaseVisitor& visitor);
  Result<bool> alive(Ino ino);  // at the base

  Index& index_;
  const BaseRule rule_;
  Ino next_ino_{2};
  std::optional<std::pair<Ino, bool>> last_alive_;
};

}  // namespace tidemark
