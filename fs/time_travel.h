// /.tidemark/at/POINT: past trees inside a live mount, each under a slot of its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "fs/node.h"
#include "volume/group/group.h"

namespace tidemark::fs {

inline constexpr std::string_view kTidemarkName = ".tidemark";
inline constexpr std::string_view kAtName = "at";
inline constexpr std::string_view kInoName = "ino";

// Attributes of one of the directories that exist only here (node.h); kNotFound for any other id. `closed`: only root, and whoever
// mounted, enter /.tidemark/at.
Result<struct stat> own_stat(fuse_ino_t id, bool closed);

// Thread-safe.
class TimeTravel {
 public:
  explicit TimeTravel(Group& group) : group_(group), slots_(kSlots + 1) {}

  struct Entered {
    uint32_t slot = 0;
    Attr root;
  };
  // The tree at `point`, with one lookup of its root counted. kNotFound: no such point. kLimit: all slots are in use.
  Result<Entered> enter(std::string_view point);
  // When many slots are in use, the points entered longest ago: the kernel remembers names below them, and with them the slot,
  // until it is told to forget the point's own name. Each call names others; empty while there is room.
  std::vector<std::string> crowded_out();
  // The tree of a slot the kernel holds; null for one it does not.
  std::shared_ptr<TreeView> view(uint32_t slot);
  // Tells the trees apart that a slot has held: a file handle (NFS) must not lead from one into another.
  uint64_t generation(uint32_t slot);
  void add(uint32_t slot, uint64_t lookups);
  void forget(uint32_t slot, uint64_t lookups);

 private:
  // Slots 1 … kSlots. One tree reached by two names gets two slots: a directory can have one place only.
  static constexpr uint32_t kSlots = 1024;
  static constexpr uint32_t kCrowded = 512;   // in use: from here on the oldest are sent away
  static constexpr uint32_t kSentAway = 256;  // at a time
  static constexpr uint32_t kIdleViews = 16;  // trees kept open though the kernel has forgotten them
  struct Slot {
    std::string point;
    Seq seq;
    std::shared_ptr<TreeView> view;  // null: free
    uint64_t lookups = 0;
    uint64_t generation = 0;
    uint64_t used = 0;  // when: for "longest ago"
    bool sent_away = false;
  };
  // A slot for (point, seq), counted once: the one that has it already, or else a free or the longest idle one; 0: none.
  uint32_t claim(const std::string& point, Seq seq, const std::shared_ptr<TreeView>& view);
  uint32_t find_locked(std::string_view point, Seq seq) const TM_REQUIRES_SHARED(mutex_);
  void drop_idle_locked() TM_REQUIRES(mutex_);

  Group& group_;
  SharedMutex mutex_;
  std::vector<Slot> slots_ TM_GUARDED_BY(mutex_);
  uint64_t clock_ TM_GUARDED_BY(mutex_) = 0;
  uint32_t idle_ TM_GUARDED_BY(mutex_) = 0;    // trees nobody looks at
  uint32_t in_use_ TM_GUARDED_BY(mutex_) = 0;  // trees the kernel knows, without those sent away
};

}  // namespace tidemark::fs
