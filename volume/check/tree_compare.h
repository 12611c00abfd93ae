// Two trees compared name by name, attribute by attribute, block by block. Of content only sums are exchanged.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "volume/tree/tree_view.h"

namespace tidemark {

struct TreeDifference {
  std::string path;  // "": the root
  Ino ino;           // ours; theirs where only they have it
  uint64_t at = 0;   // bytes [at, at + bytes) of the file's content; bytes 0: it is not about content
  uint64_t bytes = 0;
  std::string what;  // "content", "only there", "mode, mtime" …
};

struct TreeComparison {
  uint64_t entries = 0;
  uint64_t bytes = 0;  // of blocks whose sums were compared
  std::vector<TreeDifference> differences;
  uint64_t left_out = 0;  // differences beyond kTreeDifferencesMax
};
inline constexpr size_t kTreeDifferencesMax = 10'000;

// Every block is read and verified where it lies; one that cannot be read is a difference. Fails for other reasons alone:
// kInterrupted, kUnreachable, kNoSuchPoint (pruned meanwhile) …
Result<TreeComparison> compare_trees(TreeView& ours, TreeView& theirs, const std::atomic<bool>* interrupted,
                                     const std::function<void(const TreeComparison&)>& progress);

}  // namespace tidemark
