// What the kernel knows of the live tree: how often it looked each inode up, and which files it has open for writing.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include <tidemark/types.h>
#include "base/mutex.h"

namespace tidemark::fs {

// Thread-safe. Bounded by what the kernel itself keeps.
class InodeTable {
 public:
  // The kernel got `ino` in a reply: count it before replying, for its forget may overtake us.
  void add(Ino ino, uint64_t lookups = 1);
  // Takes lookups back. True: the kernel has forgotten an inode that has no name, so the caller frees it.
  [[nodiscard]] bool forget(Ino ino, uint64_t lookups);

  // The inode lost its last name. True: the kernel does not know it, so the caller frees it at once.
  [[nodiscard]] bool unlinked(Ino ino);
  // Born without a name (O_TMPFILE): may get one.
  void born_unnamed(Ino ino);
  void got_name(Ino ino);
  // Lost its last name and can never get one again: what happens to its times need not outlive it.
  [[nodiscard]] bool is_unlinked(Ino ino) const;

  // The page cache got some of its content; it may hold it from now on.
  void read_into_cache(Ino ino);
  [[nodiscard]] bool may_be_cached(Ino ino) const;

  void opened_for_write(Ino ino);
  void released_after_write(Ino ino);
  // Files that may have dirty pages: the kernel writes all of a file's pages back before it releases it.
  [[nodiscard]] std::vector<Ino> open_for_write() const;

 private:
  enum class Naming : uint8_t { kNamed, kBornUnnamed, kUnlinked };
  struct Entry {
    uint64_t lookups = 0;
    uint32_t writers = 0;
    bool cached = false;
    Naming naming = Naming::kNamed;
  };
  struct Shard {
    mutable Mutex mutex;
    std::unordered_map<Ino, Entry> entries TM_GUARDED_BY(mutex);
  };
  static constexpr size_t kShards = 64;
  Shard& shard(Ino ino) { return shards_[ino.value() % kShards]; }
  const Shard& shard(Ino ino) const { return shards_[ino.value() % kShards]; }

  std::array<Shard, kShards> shards_;
};

}  // namespace tidemark::fs
