// Space that was asked for in advance (fallocate). A log reserves nothing, but who asked sees it in st_blocks, as elsewhere: blocks
// of such ranges that hold no data yet count as taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"

namespace tidemark {

struct BlockRange {
  uint64_t first = 0;  // in blocks of the file
  uint64_t count = 0;
  [[nodiscard]] uint64_t end() const { return first + count; }
  bool operator==(const BlockRange&) const = default;
};

// A file's preallocated ranges. A value.
class Preallocation {
 public:
  // More than these are not remembered: they are part of every row of the inode.
  static constexpr size_t kRangesMax = 16;

  Preallocation() = default;
  // Of a tree that is only looked at: how many blocks, not where.
  explicit Preallocation(uint64_t unwritten) : unwritten_(unwritten) {}
  // For a row. decode() reads to the end; nothing where ranges do not rise, touch, or cannot have so many blocks without data.
  void encode(Encoder& out) const;
  static std::optional<Preallocation> decode(Decoder& in);

  [[nodiscard]] uint64_t unwritten() const { return unwritten_; }                  // blocks of the ranges that hold no data
  [[nodiscard]] const std::vector<BlockRange>& ranges() const { return ranges_; }  // rising, none touches the next
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] uint64_t end() const { return ranges_.empty() ? 0 : ranges_.back().end(); }
  // The parts of `range` that are in none of the ranges.
  [[nodiscard]] std::vector<BlockRange> missing(const BlockRange& range) const;
  // Which blocks of [first, first + 32) are in a range, as bits.
  [[nodiscard]] uint32_t mask(uint64_t first) const;
  // The smallest range, where there are more than kRangesMax: to be forgotten.
  [[nodiscard]] std::optional<BlockRange> surplus() const;

  // `unwritten`: blocks of missing(range) that hold no data.
  void add(const BlockRange& range, uint64_t unwritten);
  // [first, end) is in no range any more; `unwritten` blocks of what was hold no data.
  void remove(uint64_t first, uint64_t end, uint64_t unwritten);
  // The same where no block of [first, end) holds data.
  void remove_hole(uint64_t first, uint64_t end);
  // Blocks of [first, first + 32) hold data or not, as bits, before and after a change.
  void written(uint64_t first, uint32_t before, uint32_t after);
  // Forgets the ranges where every block of them holds data: they say nothing any more.
  void forget_full();

  bool operator==(const Preallocation&) const = default;

 private:
  [[nodiscard]] uint64_t blocks_within(uint64_t first, uint64_t end) const;

  uint64_t unwritten_ = 0;
  std::vector<BlockRange> ranges_;
};

}  // namespace tidemark
