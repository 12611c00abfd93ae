// Node ids: the 64 bits by which the kernel names an inode of ours, and what they stand for.
#pragma once

#include <sys/stat.h>

#include "fs/libfuse.h"
#include "volume/tree/tree_view.h"

namespace tidemark::fs {

// A node id is a slot and an inode number. Slot 0 is the mounted tree itself; slots 1 … are past trees under /.tidemark/at;
// the last slot holds the few directories that exist only here.
inline constexpr unsigned kInoBits = 48;
inline constexpr uint32_t kMainSlot = 0;
inline constexpr uint32_t kOwnSlot = 0xFFFF;

constexpr uint32_t slot_of(fuse_ino_t id) { return static_cast<uint32_t>(id >> kInoBits); }
constexpr Ino ino_of(fuse_ino_t id) { return Ino(id & ((uint64_t{1} << kInoBits) - 1)); }
inline fuse_ino_t node_id(uint32_t slot, Ino ino) {
  CHECK_INVARIANT(ino.value() >> kInoBits == 0);
  return (uint64_t{slot} << kInoBits) | ino.value();
}

inline constexpr fuse_ino_t own_node(uint64_t number) { return (uint64_t{kOwnSlot} << kInoBits) | number; }
inline constexpr fuse_ino_t kTidemarkDir = own_node(1);  // /.tidemark
inline constexpr fuse_ino_t kAtDir = own_node(2);        // /.tidemark/at
inline constexpr fuse_ino_t kInoDir = own_node(3);       // /.tidemark/ino: for our own flush only (marks.h)
static_assert(FUSE_ROOT_ID == kRootIno.value());

struct stat to_stat(const Attr& attr, fuse_ino_t id);

}  // namespace tidemark::fs
