// What the kernel knows of the live tree: how often it looked each inode up, and which files it has open for writing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>
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

  // True: the kernel must be told to ask for the file's attributes again (fs/cache/telling.cc says why).
  [[nodiscard]] bool opened_for_write(Ino ino);
  [[nodiscard]] bool released_after_write(Ino ino);
  // Files that may have dirty pages: the kernel writes all of a file's pages back before it releases it.
  [[nodiscard]] std::vector<Ino> open_for_write() const;
  // A page that the kernel wrote back could not be taken; and how many that were so far.
  void page_lost() { pages_lost_.fetch_add(1, std::memory_order_acq_rel); }
  [[nodiscard]] uint64_t pages_lost() const { return pages_lost_.load(std::memory_order_acquire); }

  // --- how many blocks of a file the kernel believes in (fs/cache/telling.cc) ---
  struct Telling {
    bool sure = true;      // what the caller read cannot be older than what was told before
    uint32_t version = 0;  // for told()
  };
  // The kernel is about to be told that `ino` has `blocks`. Where the caller cannot be sure of that number it reads it again,
  // after this call.
  [[nodiscard]] Telling telling(Ino ino, uint64_t blocks);
  // What to tell. `size`, `blocks`: of the file as it is in the volume. `write_follows`: the kernel asks because a write begins.
  struct Told {
    uint64_t blocks = 0;
    bool keep = true;  // false: the kernel must ask again each time
  };
  [[nodiscard]] Told told(Ino ino, uint32_t version, uint64_t size, uint64_t blocks, bool write_follows);
  // Pages of the cache were written: the file has `blocks` now. True: the kernel believes in another number and must be told to
  // ask again.
  [[nodiscard]] bool blocks_changed(Ino ino, uint64_t blocks);
  // The file was cut to nothing, and so were its pages: none is dirty. True: as above.
  [[nodiscard]] bool emptied(Ino ino);

 private:
  static constexpr uint64_t kUnknown = UINT64_MAX;
  enum class Naming : uint8_t { kNamed, kBornUnnamed, kUnlinked };
  struct Entry {
    uint64_t lookups = 0;
    uint64_t told_blocks = kUnknown;  // what the kernel believes, where it believes anything
    uint32_t writers = 0;
    uint32_t version = 0;  // rises when the kernel is told to ask again
    bool told = true;      // false: the kernel will ask before it believes anything
    bool guessed = false;  // told_blocks was made up
    bool emptied = false;  // no write has begun since the file was opened, or cut to nothing
    bool cached = false;
    Naming naming = Naming::kNamed;
    bool ask_again();
  };
  struct Shard {
    mutable Mutex mutex;
    std::unordered_map<Ino, Entry> entries TM_GUARDED_BY(mutex);
    std::unordered_set<Ino> writing TM_GUARDED_BY(mutex);  // those with writers: a mark must not look at all others
  };
  static constexpr size_t kShards = 64;
  Shard& shard(Ino ino) { return shards_[ino.value() % kShards]; }
  const Shard& shard(Ino ino) const { return shards_[ino.value() % kShards]; }

  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> pages_lost_{0};
};

}  // namespace tidemark::fs
