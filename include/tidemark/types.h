// The words of Tidemark as types, so that none converts into another by accident.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace tidemark {

template <class Tag>
class StrongId {
 public:
  constexpr StrongId() = default;
  explicit constexpr StrongId(uint64_t value) : value_(value) {}
  [[nodiscard]] constexpr uint64_t value() const { return value_; }
  [[nodiscard]] constexpr StrongId next() const { return StrongId(value_ + 1); }
  [[nodiscard]] constexpr StrongId prev() const { return StrongId(value_ - 1); }
  constexpr auto operator<=>(const StrongId&) const = default;

 private:
  uint64_t value_ = 0;
};

// Position in the order of a group's records: 1, 2, 3 …; 0 is "before the first record".
using Seq = StrongId<struct SeqTag>;
// One tenure of one primary; the first is 1; 0 is "none yet".
using Epoch = StrongId<struct EpochTag>;
// Inode number, unique within a group and never used twice.
using Ino = StrongId<struct InoTag>;
// Mark number, rising within a group from 1.
using MarkId = StrongId<struct MarkIdTag>;

// The newest state: an upper bound that no real sequence number reaches.
inline constexpr Seq kLatest{UINT64_MAX};
// The root directory of a group's first volume.
inline constexpr Ino kRootIno{1};

// The log divides, compresses and checksums file data in blocks of this many bytes.
inline constexpr uint32_t kBlockSize = 4096;

// A place in a history. Two sites with equal positions have equal histories.
struct Position {
  Epoch epoch;
  Seq seq;
  uint64_t chain = 0;
  auto operator<=>(const Position&) const = default;
};
static_assert(sizeof(Position) == 24);

}  // namespace tidemark

template <class Tag>
struct std::hash<tidemark::StrongId<Tag>> {
  size_t operator()(const tidemark::StrongId<Tag>& id) const noexcept { return std::hash<uint64_t>{}(id.value()); }
};
