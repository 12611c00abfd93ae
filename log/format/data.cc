// Data records: blocks, their sums and their compression. The hot path of every write.
#include <lz4.h>

#include <algorithm>

#include "base/hash.h"
#include "log/format/body.h"

namespace tidemark {
namespace {

constexpr size_t kFirstBlockAt = 0;
constexpr size_t kSizeAfterAt = 8;
constexpr size_t kCountAt = 16;
constexpr size_t kKeepTimesAt = 18;
constexpr size_t kReservedAt = 19;
static_assert(kReservedAt < kDataFixedSize && kDataFixedSize % 8 == 0);
static_assert(data_blocks_at(kDataBlocksMax) + kDataBlocksMax * kBlockSize <= kPayloadMax);

// LZ4's own scale: 1 is its default, more is faster and denser in misses.
constexpr int kAcceleration = 2;

// Compression must save at least an eighth, or a reader pays for nothing.
constexpr size_t worthwhile(size_t raw) { return raw - raw / 8; }

// Compressed size of `raw` in `out`, or 0 where it is not worth it.
size_t compress(Bytes raw, std::byte* out) {
  int size = LZ4_compress_fast(reinterpret_cast<const char*>(raw.data()), reinterpret_cast<char*>(out),
                               static_cast<int>(raw.size()), static_cast<int>(worthwhile(raw.size())), kAcceleration);
  return static_cast<size_t>(std::max(size, 0));
}

// Tries one block from the middle: what does not shrink there (media, archives, ciphertext) rarely does elsewhere.
bool looks_compressible(Bytes blocks) {
  if (blocks.size() <= kBlockSize) return true;
  std::array<std::byte, worthwhile(kBlockSize)> scratch;
  const size_t middle = blocks.size() / kBlockSize / 2 * kBlockSize;
  return compress(blocks.subspan(middle, kBlockSize), scratch.data()) != 0;
}

Status corrupt_data(const char* what) { return Status(Code::kCorrupt, std::string("data record: ") + what); }

}  // namespace

RecordDraft make_data_draft(uint16_t volume, Ino ino, uint64_t first_block, uint64_t size_after, bool keep_times,
                            Bytes blocks) {
  const size_t count = blocks.size() / kBlockSize;
  CHECK_INVARIANT(blocks.size() % kBlockSize == 0 && count >= 1 && count <= kDataBlocksMax);
  CHECK_INVARIANT(first_block <= kFileBlocksMax - count && size_after <= kFileSizeMax);
  const size_t blocks_at = data_blocks_at(static_cast<uint32_t>(count));

  RecordDraft draft;
  draft.type = RecordType::kData;
  draft.volume = volume;
  draft.ino = ino;
  draft.raw_length = static_cast<uint32_t>(blocks_at + blocks.size());
  draft.payload = Buffer(draft.raw_length);
  std::byte* at = draft.payload.data();
  store_le(at + kFirstBlockAt, first_block);
  store_le(at + kSizeAfterAt, size_after);
  store_le(at + kCountAt, static_cast<uint16_t>(count));
  store_le(at + kKeepTimesAt, static_cast<uint8_t>(keep_times));
  std::memset(at + kReservedAt, 0, kDataFixedSize - kReservedAt);
  for (size_t i = 0; i < count; ++i) {
    store_le(at + kDataFixedSize + i * 8, hash64(blocks.subspan(i * kBlockSize, kBlockSize)));
  }
  const size_t compressed = looks_compressible(blocks) ? compress(blocks, at + blocks_at) : 0;
  if (compressed != 0) {
    draft.flags = kFlagLz4;
    draft.payload.shrink(blocks_at + compressed);
  } else {
    std::memcpy(at + blocks_at, blocks.data(), blocks.size());
  }
  draft.payload_check = hash64(draft.payload.bytes());
  return draft;
}

Result<DataBody> decode_data(const RecordHeader& header, Bytes payload) {
  if (payload.size() != header.stored_length) return corrupt_data("the payload is not as long as its header says");
  Decoder in(payload);
  DataBody body;
  body.first_block = in.get<uint64_t>();
  body.size_after = in.get<uint64_t>();
  body.count = in.get<uint16_t>();
  const auto keep_times = in.get<uint8_t>();
  const Bytes reserved = in.get_raw(kDataFixedSize - kReservedAt);
  if (in.failed()) return corrupt_data("too short");
  if (body.count == 0 || body.count > kDataBlocksMax) return corrupt_data("number of blocks out of bounds");
  if (keep_times > 1 || std::any_of(reserved.begin(), reserved.end(), [](std::byte b) { return b != std::byte{0}; })) {
    return corrupt_data("reserved bytes are not zero");
  }
  if (body.first_block > kFileBlocksMax - body.count || body.size_after > kFileSizeMax) {
    return corrupt_data("beyond the largest file");
  }
  body.keep_times = keep_times != 0;
  body.checks = in.get_raw(size_t{body.count} * 8);
  body.blocks = in.rest();
  if (in.failed() || body.blocks.empty()) return corrupt_data("too short");
  const size_t raw = size_t{body.count} * kBlockSize;
  const bool lz4 = (header.flags & kFlagLz4) != 0;
  if (header.raw_length != data_blocks_at(body.count) + raw) return corrupt_data("raw length and number of blocks differ");
  if (lz4 ? body.blocks.size() >= raw : body.blocks.size() != raw) return corrupt_data("stored length does not fit");
  return body;
}

Status extract_blocks(const RecordHeader& header, const DataBody& body, MutableBytes out) {
  CHECK_INVARIANT(out.size() == size_t{body.count} * kBlockSize);
  const auto at_block = [&](size_t index) {
    return "record " + std::to_string(header.seq.value()) + ", block " + std::to_string(body.first_block + index) +
           " of inode " + std::to_string(header.ino.value());
  };
  if ((header.flags & kFlagLz4) != 0) {
    int size = LZ4_decompress_safe(reinterpret_cast<const char*>(body.blocks.data()), reinterpret_cast<char*>(out.data()),
                                   static_cast<int>(body.blocks.size()), static_cast<int>(out.size()));
    if (size < 0 || static_cast<size_t>(size) != out.size())
      return Status(Code::kCorrupt, at_block(0) + ": does not decompress");
  } else {
    if (body.blocks.size() != out.size()) return Status(Code::kCorrupt, at_block(0) + ": stored length does not fit");
    std::memcpy(out.data(), body.blocks.data(), out.size());
  }
  for (uint32_t i = 0; i < body.count; ++i) {
    if (hash64(Bytes(out).subspan(size_t{i} * kBlockSize, kBlockSize)) != body.check(i)) {
      return Status(Code::kCorrupt, at_block(i) + ": checksum differs");
    }
  }
  return Status();
}

}  // namespace tidemark
