// Gathers the entries of a tree with several threads, checking each. In no particular order: the plan brings the order.
#pragma once

#include <string>
#include <vector>

#include "restore/plan.h"

namespace tidemark {

struct WalkStart {
  std::string path;
  Attr attr;
  bool below = false;  // and everything below it
};

struct WalkedEntry {
  PlanEntry entry;  // link_to still empty
  uint64_t data_bytes = 0;
  bool detailed = false;  // xattrs, symlink_target and data_bytes are filled: true for exactly one name of each inode
};

// kCorrupt, naming the path: a name, type, size, time or directory that no tree can have.
Result<std::vector<WalkedEntry>> walk_tree(TreeView& view, const std::vector<WalkStart>& starts, const PlanOptions& options);

// Runs of data of a file from byte `from` on, at most kRangePage of them, none only at the end (a view may answer with fewer
// than there are). Checked: in order, not empty, within the file.
inline constexpr size_t kRangePage = 256;
Result<std::vector<DataRange>> checked_ranges(TreeView& view, const Attr& attr, uint64_t from);

}  // namespace tidemark
