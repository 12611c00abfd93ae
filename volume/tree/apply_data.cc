// What the records about content mean: which blocks of a file lie where.
#include <algorithm>
#include <bit>

#include "volume/tree/apply.h"

namespace tidemark {
namespace {

constexpr uint64_t chunk_of(uint64_t block) { return block / kChunkBlocks; }
constexpr uint32_t in_chunk(uint64_t block) { return static_cast<uint32_t>(block % kChunkBlocks); }
// Chunks that one look-up of a long range takes at a time: bounds memory.
constexpr size_t kChunksAtOnce = 4096;

}  // namespace

// One chunk's map with `change` applied. The row is a delta where one run says it all and few deltas stand before it, else the
// whole map. A chunk that has no blocks any more gets the whole map as well: an empty one needs no rows before it, so that a base
// may leave it out.
Status Applier::change_chunk(Attr& attr, uint64_t chunk, const std::function<void(ChunkMap&)>& change, const ChunkRun& delta,
                             bool hole) {
  TM_ASSIGN(ChunkMapPtr before, state_.chunk(attr.ino, chunk, kLatest));
  auto after = std::make_shared<ChunkMap>(*before);
  change(*after);
  attr.blocks = attr.blocks + after->mapped() - before->mapped();
  if (!attr.preallocation.empty()) attr.preallocation.written(chunk * kChunkBlocks, before->mask(), after->mask());
  std::string value;
  if (delta.count != 0 && before->deltas < kDeltasMax && after->mapped() > 0) {
    value = encode_extent_delta(delta, hole);
    after->deltas = before->deltas + 1;
  } else {
    value = encode_extent_keyframe(*after);
    after->deltas = 0;
  }
  state_.batch_.put(as_of_key(extent_subject(attr.ino, chunk), header_.seq), value);
  state_.chunks_.put({attr.ino, chunk}, after);
  return Status();
}

Status Applier::map_blocks(Attr& attr, uint64_t first, uint32_t count, const Extent& extent) {
  const uint32_t at = in_chunk(first);
  if (at + count > kChunkBlocks) return contradiction("its blocks cross a chunk");
  const ChunkRun run{static_cast<uint8_t>(at), static_cast<uint8_t>(count), extent};
  return change_chunk(
      attr, chunk_of(first), [&](ChunkMap& map) { map.assign(at, count, extent); }, run, false);
}

Status Applier::each_chunk(Ino ino, uint64_t first, uint64_t end, const ChunkVisitor& visit) {
  uint64_t chunk = chunk_of(first);
  while (first < end) {
    TM_ASSIGN(auto chunks, state_.chunks(ino, chunk, kLatest, kChunksAtOnce));
    for (uint64_t found : chunks) {
      const uint64_t chunk_begin = found * kChunkBlocks;
      if (chunk_begin >= end) return Status();
      const uint32_t from = first > chunk_begin ? static_cast<uint32_t>(first - chunk_begin) : 0;
      const uint32_t to = static_cast<uint32_t>(std::min<uint64_t>(end - chunk_begin, kChunkBlocks));
      TM_ASSIGN(ChunkMapPtr map, state_.chunk(ino, found, kLatest));
      TM_TRY(visit(found, from, to, *map));
    }
    if (chunks.size() < kChunksAtOnce) return Status();
    chunk = chunks.back() + 1;
  }
  return Status();
}

Status Applier::unmap_blocks(Attr& attr, uint64_t first, uint64_t end) {
  TM_TRY(write_batch());
  TM_TRY(each_chunk(attr.ino, first, end, [&](uint64_t chunk, uint32_t from, uint32_t to, const ChunkMap& map) {
    if (map.mapped() == 0) return Status();
    const ChunkRun run{static_cast<uint8_t>(from), static_cast<uint8_t>(to - from), {}};
    return change_chunk(
        attr, chunk, [&](ChunkMap& changed) { changed.erase(from, to - from); }, run, true);
  }));
  attr.preallocation.remove_hole(first, end);
  return limit_preallocation(attr);
}

Status Applier::data() {
  TM_ASSIGN(auto body, decode_data(header_, payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  const Attr before = attr;
  Extent extent;
  extent.seq = header_.seq;
  extent.location = location_;
  extent.form = header_.flags & kFlagLz4 ? Extent::Form::kLz4 : Extent::Form::kRaw;
  TM_TRY(map_blocks(attr, body.first_block, body.count, extent));
  attr.size = std::max(attr.size, body.size_after);
  if (!body.keep_times) attr.mtime = attr.ctime = now_;
  if (!(attr == before)) put_inode(attr);  // an overwrite by the writeback cache changes no attribute
  return Status();
}

Status Applier::truncate() {
  TM_ASSIGN(auto body, decode_truncate(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  const uint64_t blocks_kept = (body.size + kBlockSize - 1) / kBlockSize;
  TM_TRY(unmap_blocks(attr, blocks_kept, UINT64_MAX));
  if (!body.last_block.empty()) {
    if (blocks_kept == 0) return contradiction("a last block in an empty file");
    Extent extent;
    extent.seq = header_.seq;
    extent.location = location_;
    extent.form = Extent::Form::kTruncate;
    // The chunk may have got a row of this seq above: the whole map replaces it.
    const uint64_t last = blocks_kept - 1;
    TM_TRY(change_chunk(
        attr, chunk_of(last), [&](ChunkMap& map) { map.assign(in_chunk(last), 1, extent); }, {}, false));
  }
  attr.size = body.size;
  attr.mtime = attr.ctime = now_;
  put_inode(attr);
  return Status();
}

Status Applier::punch() {
  TM_ASSIGN(auto body, decode_punch(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  TM_TRY(unmap_blocks(attr, body.first_block, body.first_block + body.count));
  attr.mtime = attr.ctime = now_;
  put_inode(attr);
  return Status();
}

Result<uint64_t> Applier::unwritten_blocks(Ino ino, const BlockRange& range) {
  uint64_t blocks = range.count;
  TM_TRY(each_chunk(ino, range.first, range.end(), [&](uint64_t, uint32_t from, uint32_t to, const ChunkMap& map) {
    blocks -= static_cast<uint64_t>(std::popcount(map.mask() & block_bits(from, to)));
    return Status();
  }));
  return blocks;
}

Status Applier::limit_preallocation(Attr& attr) {
  while (const auto surplus = attr.preallocation.surplus()) {
    TM_ASSIGN(const uint64_t unwritten, unwritten_blocks(attr.ino, *surplus));
    attr.preallocation.remove(surplus->first, surplus->end(), unwritten);
  }
  return Status();
}

// Changes no content; where its blocks hold data already, nothing but times.
Status Applier::allocate() {
  TM_ASSIGN(auto body, decode_allocate(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  TM_TRY(write_batch());
  const BlockRange range{body.first_block, body.count};
  uint64_t unwritten = 0;
  for (const BlockRange& part : attr.preallocation.missing(range)) {
    TM_ASSIGN(const uint64_t here, unwritten_blocks(attr.ino, part));
    unwritten += here;
  }
  attr.preallocation.add(range, unwritten);
  TM_TRY(limit_preallocation(attr));
  if (body.size_after > attr.size) {
    attr.size = body.size_after;
    attr.mtime = now_;
  }
  attr.ctime = now_;
  put_inode(attr);
  return Status();
}

// The target's chunks, each rebuilt whole from the source's maps as they are now.
Status Applier::clone() {
  TM_ASSIGN(auto body, decode_clone(payload_));
  TM_ASSIGN(Attr attr, inode(header_.ino));
  const uint64_t end = body.target_block + body.count;
  for (uint64_t block = body.target_block; block < end;) {
    const uint32_t at = in_chunk(block);
    const uint32_t here = static_cast<uint32_t>(std::min<uint64_t>(end - block, kChunkBlocks - at));
    std::vector<ChunkRun> shared;  // in the target chunk's numbers
    const uint64_t source_begin = body.source_block + (block - body.target_block);
    for (uint64_t chunk = chunk_of(source_begin); chunk <= chunk_of(source_begin + here - 1); ++chunk) {
      TM_ASSIGN(ChunkMapPtr source, state_.chunk(body.source, chunk, kLatest));
      for (ChunkRun run : source->runs()) {
        const uint64_t run_begin = chunk * kChunkBlocks + run.first;
        const uint64_t from = std::max(run_begin, source_begin);
        const uint64_t to = std::min(run_begin + run.count, source_begin + here);
        if (from >= to) continue;
        run.extent.index = static_cast<uint8_t>(run.extent.index + (from - run_begin));
        run.first = static_cast<uint8_t>(at + (from - source_begin));
        run.count = static_cast<uint8_t>(to - from);
        shared.push_back(run);
      }
    }
    const auto change = [&](ChunkMap& map) {
      map.erase(at, here);
      for (const ChunkRun& run : shared) map.assign(run.first, run.count, run.extent);
    };
    TM_TRY(change_chunk(attr, chunk_of(block), change, {}, false));
    block += here;
  }
  attr.size = std::max(attr.size, body.size_after);
  attr.mtime = attr.ctime = now_;
  put_inode(attr);
  return Status();
}

}  // namespace tidemark
