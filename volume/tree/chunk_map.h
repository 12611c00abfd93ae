// Where the 32 blocks of one chunk of a file are: runs of blocks that lie together in one record.
#pragma once

#include <tidemark/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "log/format/record.h"
#include "volume/index/keys.h"

namespace tidemark {

// Blocks [from, to) of a chunk as bits.
constexpr uint32_t block_bits(uint32_t from, uint32_t to) {
  static_assert(kChunkBlocks == 32);
  return static_cast<uint32_t>((uint64_t{1} << to) - (uint64_t{1} << from));
}

// A place in the log where blocks of a file lie: block `index` of record `seq`, and the ones that follow it.
struct Extent {
  Seq seq;
  Location location;
  uint8_t index = 0;
  enum class Form : uint8_t { kRaw = 0, kLz4 = 1, kTruncate = 2 /* the one block in a truncate record */ };
  Form form = Form::kRaw;
  bool operator==(const Extent&) const = default;
};

struct ChunkRun {
  uint8_t first = 0;  // block in the chunk
  uint8_t count = 0;
  Extent extent;
  bool operator==(const ChunkRun&) const = default;
};

class ChunkMap {
 public:
  // Blocks [first, first + count) now lie at `extent`.
  void assign(uint32_t first, uint32_t count, const Extent& extent);
  // Blocks [first, first + count) are a hole now.
  void erase(uint32_t first, uint32_t count);
  [[nodiscard]] const std::vector<ChunkRun>& runs() const { return runs_; }
  [[nodiscard]] uint32_t mapped() const;  // blocks that have data
  [[nodiscard]] uint32_t mask() const;    // the same as bits, the first block lowest

  // Delta rows since the newest keyframe: bounds a look-up.
  uint32_t deltas = 0;

 private:
  std::vector<ChunkRun> runs_;  // sorted by first, not overlapping
};

// After this many deltas a row holds the full map.
inline constexpr uint32_t kDeltasMax = 24;

// A row's value: a delta (one run, or a hole) or a keyframe (all runs).
struct ExtentRow {
  bool keyframe = false;
  uint32_t deltas = 0;         // keyframe only: as many deltas count as standing before it (encode_extent_base)
  bool hole = false;           // delta only: `runs` has the range, its extent means nothing
  std::vector<ChunkRun> runs;  // exactly one in a delta
};
std::string encode_extent_delta(const ChunkRun& run, bool hole);
std::string encode_extent_keyframe(const ChunkMap& map);
// The map at a base, whole. It remembers how many deltas it was made of, so that the rows written after it are the same as in an
// index that still has them.
std::string encode_extent_base(const ChunkMap& map);
// The map that a row and those before it make, from the newest back to a keyframe or the oldest.
ChunkMap fold_extent_rows(const std::vector<ExtentRow>& newest_first);
Result<ExtentRow> decode_extent_row(std::string_view value);
// The value without what differs between sites (locations): for fingerprints.
std::string portable_extent_row(const ExtentRow& row);

}  // namespace tidemark
