// Where a tree is written to: a directory of this machine, or a volume. The executor decides what is written when; a sink
// knows how. Entries are named by their index in the plan.
#pragma once

#include <memory>
#include <unordered_map>

#include "base/bytes.h"
#include "base/status.h"
#include "restore/plan.h"

namespace tidemark {

// A plan, and how its entries belong together.
struct Tree {
  const RestorePlan& plan;
  std::vector<size_t> parents;                   // the directory an entry is in; 0 for the root
  std::unordered_map<size_t, size_t> originals;  // of each further hard link: the entry it is a link to

  [[nodiscard]] const PlanEntry& entry(size_t index) const { return plan.entries[index]; }
  [[nodiscard]] std::string name(size_t index) const { return std::string(entry_name(entry(index).path)); }
  // The entry that carries the extended attributes and the symbolic link's target of this inode.
  [[nodiscard]] const PlanEntry& details(size_t index) const {
    auto original = originals.find(index);
    return entry(original == originals.end() ? index : original->second);
  }
};
// kCorrupt: the plan does not begin with its root, or an entry's directory or original is not in it.
Result<Tree> tree_of(const RestorePlan& plan);

// A regular file being written. Destroyed without finish() it takes its name away again: what has a name is whole.
class SinkFile {
 public:
  virtual ~SinkFile() = default;
  // Thread-safe. What is never written is a hole.
  virtual Status write(uint64_t at, Bytes data) = 0;
  // Once, after the last write: gives it its size and attributes.
  virtual Status finish() = 0;
};

class Sink {
 public:
  virtual ~Sink() = default;
  // In the plan's order from one thread, before everything else: the root (index 0) and all directories, still without
  // their attributes where those could get in the way.
  virtual Status make_directory(size_t index) = 0;
  // Thread-safe, in any order, after all directories.
  virtual Result<std::unique_ptr<SinkFile>> make_file(size_t index) = 0;
  // Likewise, for symbolic links, devices, pipes and sockets, with their attributes.
  virtual Status make_other(size_t index) = 0;
  // From one thread, after all files. kTooManyLinks: this target cannot have one more; the executor calls make_file() or
  // make_other() for it instead. kNotFound: the original was left out.
  virtual Status make_link(size_t index, size_t first) = 0;
  // From one thread, bottom up, at last: attributes and times.
  virtual Status finish_directory(size_t index) = 0;
};

}  // namespace tidemark
