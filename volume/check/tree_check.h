// Reading every file of a tree, so that every block of it is verified.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "volume/tree/tree_view.h"

namespace tidemark {

struct TreeDamage {
  std::string path;
  Ino ino;
  uint64_t at = 0;  // byte of the file; 0 for what is not its content
  std::string what;
};

struct TreeVerdict {
  uint64_t entries = 0;
  uint64_t bytes = 0;              // of data that was read
  std::vector<TreeDamage> damage;  // at most kTreeDamageMax
};
inline constexpr size_t kTreeDamageMax = 10'000;

// Goes on after damage. Fails only for other reasons: kInterrupted, kUnreachable …
Result<TreeVerdict> check_tree(TreeView& view, const std::atomic<bool>* interrupted,
                               const std::function<void(const TreeVerdict&)>& progress);

// A path for each of `inodes` that has one in the tree. Cost follows the size of the tree.
Result<std::vector<std::pair<Ino, std::string>>> find_paths(TreeView& view, std::vector<Ino> inodes);

}  // namespace tidemark
