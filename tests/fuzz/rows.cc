// Rows of the index: what decodes encodes again, and any rows of a chunk make a map that keeps its order.
#include "volume/index/rows.h"

#include "tests/fuzz/fuzz.h"
#include "volume/tree/chunk_map.h"

namespace tidemark::fuzz {
namespace {

void check(const ChunkMap& map) {
  uint32_t end = 0;
  for (const ChunkRun& run : map.runs()) {
    CHECK_INVARIANT(run.count > 0 && run.first >= end);
    end = uint32_t{run.first} + run.count;
  }
  CHECK_INVARIANT(end <= kChunkBlocks && map.mapped() <= kChunkBlocks);
}

void extents(Input input) {
  ChunkMap map;
  while (!input.empty()) {
    const std::string value(as_text(input.take(input.byte() + 1u)));
    const auto row = decode_extent_row(value);
    if (!row.ok()) continue;
    (void)portable_extent_row(*row);
    if (row->keyframe) map = ChunkMap();
    for (const ChunkRun& run : row->runs) {
      if (row->hole) {
        map.erase(run.first, run.count);
      } else {
        map.assign(run.first, run.count, run.extent);
      }
    }
    check(map);
    const auto again = decode_extent_row(encode_extent_keyframe(map));
    CHECK_INVARIANT(again.ok() && again->runs == map.runs());
  }
}

}  // namespace

void fuzz_one(Bytes bytes) {
  Input input(bytes);
  const uint8_t kind = input.byte() % 6;
  const std::string_view value = as_text(input.rest());
  switch (kind) {
    case 0: return extents(input);
    case 1:
      if (auto attr = decode_inode_row(Ino(3), Seq(4), value); attr.ok()) CHECK_INVARIANT(encode_inode_row(*attr) == value);
      return;
    case 2:
      if (auto row = decode_name_row(value); row.ok()) CHECK_INVARIANT(encode_name_row(*row) == value);
      return;
    case 3: (void)decode_xattr_row(value); return;
    case 4:
      if (auto mark = decode_mark_row(value); mark.ok()) CHECK_INVARIANT(*decode_mark_row(encode_mark_row(*mark)) == *mark);
      return;
    default:
      if (auto meta = decode_meta(value); meta.ok()) CHECK_INVARIANT(encode_meta(*meta) == value);
  }
}

std::vector<std::string> fuzz_seeds() {
  const auto row = [](char kind, const std::string& value) { return std::string(1, kind) + value; };
  const auto sized = [](const std::string& value) { return std::string(1, static_cast<char>(value.size() - 1)) + value; };
  ChunkMap map;
  Extent extent{Seq(9), {1, 64}, 2, Extent::Form::kLz4};
  map.assign(0, 8, extent);
  map.assign(20, 4, extent);
  std::string rows = sized(encode_extent_keyframe(map)) + sized(encode_extent_delta({3, 2, extent}, false)) +
                     sized(encode_extent_delta({1, 9, {}}, true));
  return {row(0, rows),
          row(1, encode_inode_row(Attr{})),
          row(2, encode_name_row({Ino(3), 0100000})),
          row(3, encode_xattr_row("value")),
          row(4, encode_mark_row({MarkId(1), "m", Seq(2), 3, "a", 4, 5, "n", false})),
          row(5, encode_meta({}))};
}

}  // namespace tidemark::fuzz
