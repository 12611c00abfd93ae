#include "volume/tree/chunk_map.h"

#include <algorithm>

#include "base/bytes.h"

namespace tidemark {
namespace {

enum class RowKind : uint8_t { kDelta = 0, kHole = 1, kKeyframe = 2, kBase = 3 };

void put_run(Encoder& out, const ChunkRun& run, bool portable) {
  out.put(run.first).put(run.count);
  out.put(run.extent.seq.value());
  out.put(portable ? uint64_t{0} : run.extent.location.segment);
  out.put(portable ? uint32_t{0} : run.extent.location.offset);
  out.put(run.extent.index).put(static_cast<uint8_t>(run.extent.form));
}

bool get_run(Decoder& in, ChunkRun& run) {
  run.first = in.get<uint8_t>();
  run.count = in.get<uint8_t>();
  run.extent.seq = Seq(in.get<uint64_t>());
  run.extent.location.segment = in.get<uint64_t>();
  run.extent.location.offset = in.get<uint32_t>();
  run.extent.index = in.get<uint8_t>();
  const auto form = in.get<uint8_t>();
  run.extent.form = static_cast<Extent::Form>(form);
  return !in.failed() && form <= 2 && run.count > 0 && uint32_t{run.first} + run.count <= kChunkBlocks;
}

std::string encode_row(RowKind kind, const std::vector<ChunkRun>& runs, bool portable, uint32_t deltas = 0) {
  std::string value;
  Encoder out(value);
  out.put(static_cast<uint8_t>(kind));
  if (kind == RowKind::kBase) out.put(static_cast<uint8_t>(deltas));
  for (const ChunkRun& run : runs) put_run(out, run, portable);
  return value;
}

}  // namespace

void ChunkMap::erase(uint32_t first, uint32_t count) {
  const uint32_t end = first + count;
  std::vector<ChunkRun> kept;
  kept.reserve(runs_.size() + 2);
  for (const ChunkRun& run : runs_) {
    const uint32_t run_end = uint32_t{run.first} + run.count;
    if (run_end <= first || run.first >= end) {
      kept.push_back(run);
      continue;
    }
    if (run.first < first) {
      ChunkRun left = run;
      left.count = static_cast<uint8_t>(first - run.first);
      kept.push_back(left);
    }
    if (run_end > end) {
      ChunkRun right = run;
      right.first = static_cast<uint8_t>(end);
      right.count = static_cast<uint8_t>(run_end - end);
      right.extent.index = static_cast<uint8_t>(run.extent.index + (end - run.first));
      kept.push_back(right);
    }
  }
  runs_ = std::move(kept);
}

void ChunkMap::assign(uint32_t first, uint32_t count, const Extent& extent) {
  CHECK_INVARIANT(count > 0 && first + count <= kChunkBlocks);
  erase(first, count);
  ChunkRun run{static_cast<uint8_t>(first), static_cast<uint8_t>(count), extent};
  auto at = std::find_if(runs_.begin(), runs_.end(), [&](const ChunkRun& other) { return other.first > first; });
  runs_.insert(at, run);
}

uint32_t ChunkMap::mapped() const {
  uint32_t blocks = 0;
  for (const ChunkRun& run : runs_) blocks += run.count;
  return blocks;
}

uint32_t ChunkMap::mask() const {
  uint32_t bits = 0;
  for (const ChunkRun& run : runs_) bits |= block_bits(run.first, uint32_t{run.first} + run.count);
  return bits;
}

std::string encode_extent_delta(const ChunkRun& run, bool hole) {
  return encode_row(hole ? RowKind::kHole : RowKind::kDelta, {run}, false);
}

std::string encode_extent_keyframe(const ChunkMap& map) { return encode_row(RowKind::kKeyframe, map.runs(), false); }

std::string encode_extent_base(const ChunkMap& map) {
  if (map.deltas == 0) return encode_extent_keyframe(map);
  return encode_row(RowKind::kBase, map.runs(), false, map.deltas);
}

std::string portable_extent_row(const ExtentRow& row) {
  const RowKind kind = row.deltas > 0 ? RowKind::kBase
                       : row.keyframe ? RowKind::kKeyframe
                       : row.hole     ? RowKind::kHole
                                      : RowKind::kDelta;
  return encode_row(kind, row.runs, true, row.deltas);
}

ChunkMap fold_extent_rows(const std::vector<ExtentRow>& newest_first) {
  ChunkMap map;
  for (auto row = newest_first.rbegin(); row != newest_first.rend(); ++row) {
    for (const ChunkRun& run : row->runs) {
      if (row->hole) {
        map.erase(run.first, run.count);
      } else {
        map.assign(run.first, run.count, run.extent);
      }
    }
    map.deltas = row->keyframe ? row->deltas : map.deltas + 1;
  }
  return map;
}

Result<ExtentRow> decode_extent_row(std::string_view value) {
  Decoder in(value);
  const auto kind = in.get<uint8_t>();
  ExtentRow row;
  const bool base = kind == static_cast<uint8_t>(RowKind::kBase);
  row.keyframe = base || kind == static_cast<uint8_t>(RowKind::kKeyframe);
  row.hole = kind == static_cast<uint8_t>(RowKind::kHole);
  if (base) row.deltas = in.get<uint8_t>();
  bool good = !in.failed() && kind <= 3 && row.deltas <= kDeltasMax && base == (row.deltas > 0);
  while (good && !in.rest().empty()) {
    ChunkRun run;
    good = get_run(in, run) && row.runs.size() < kChunkBlocks;
    row.runs.push_back(run);
  }
  if (!good || (!row.keyframe && row.runs.size() != 1)) {
    return Status(Code::kCorrupt, "an extent row of the index is damaged; remove DIR/index to have it rebuilt");
  }
  return row;
}

}  // namespace tidemark
