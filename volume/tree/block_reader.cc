#include "volume/tree/block_reader.h"

#include "base/hash.h"

namespace tidemark {
namespace {

Status damaged(Log& log, const Extent& extent, std::string_view what) {
  return log.damaged_at(extent.location, extent.seq, what);
}

// Raw blocks are read where they lie, without the rest of their record: its header and sums first, then the blocks.
Status read_raw(Log& log, const Extent& extent, uint32_t count, MutableBytes out) {
  std::array<std::byte, kRecordHeaderSize + data_blocks_at(kDataBlocksMax)> front;
  RecordHeader header;
  // The sums of the blocks up to the last one wanted: no byte past the record is touched.
  const uint32_t front_size = kRecordHeaderSize + data_blocks_at(extent.index + count);
  if (extent.index + count > kDataBlocksMax) return damaged(log, extent, "the index points past a record's blocks");
  if (extent.index > 0) {  // not beside the header: have both fetched at once. Where exactly they lie, the header will say.
    const uint32_t at_least = front_size + uint32_t{extent.index} * kBlockSize;
    log.prefetch(extent.location, at_least, count * kBlockSize + data_blocks_at(kDataBlocksMax));
  }
  TM_TRY(log.read(extent.location, 0, MutableBytes(front).first(front_size)));
  if (decode_header(front, header) != RecordFault::kNone) return damaged(log, extent, "header damaged");
  if (header.seq != extent.seq || header.type != RecordType::kData || (header.flags & kFlagLz4)) {
    return damaged(log, extent, "the index points at another record");
  }
  const auto record_blocks = load_le<uint16_t>(front.data() + kRecordHeaderSize + 16);
  if (extent.index + count > record_blocks) return damaged(log, extent, "the record has fewer blocks than the index says");
  const uint32_t blocks_at = kRecordHeaderSize + data_blocks_at(record_blocks);
  TM_TRY(log.read(extent.location, blocks_at + uint32_t{extent.index} * kBlockSize, out));
  for (uint32_t block = 0; block < count; ++block) {
    const uint64_t wanted = load_le<uint64_t>(front.data() + kRecordHeaderSize + data_blocks_at(extent.index + block));
    if (hash64(out.subspan(size_t{block} * kBlockSize, kBlockSize)) != wanted)
      return damaged(log, extent, "payload damaged");
  }
  return Status();
}

Status read_compressed(Log& log, const Extent& extent, uint32_t count, MutableBytes out) {
  Buffer storage;
  TM_ASSIGN(RecordView record, log.read_record(extent.location, storage));
  if (record.header.seq != extent.seq) return damaged(log, extent, "the index points at another record");
  if (record.header.type == RecordType::kTruncate) {
    TM_ASSIGN(TruncateBody body, decode_truncate(record.payload));
    if (body.last_block.size() != kBlockSize || count != 1 || extent.index != 0) {
      return damaged(log, extent, "the record has fewer blocks than the index says");
    }
    std::memcpy(out.data(), body.last_block.data(), kBlockSize);
    return Status();
  }
  TM_ASSIGN(DataBody body, decode_data(record.header, record.payload));
  if (uint32_t{extent.index} + count > body.count) {
    return damaged(log, extent, "the record has fewer blocks than the index says");
  }
  if (extent.index == 0 && count == body.count) return extract_blocks(record.header, body, out);
  std::array<std::byte, size_t{kDataBlocksMax} * kBlockSize> whole;
  TM_TRY(extract_blocks(record.header, body, MutableBytes(whole).first(size_t{body.count} * kBlockSize)));
  std::memcpy(out.data(), whole.data() + size_t{extent.index} * kBlockSize, size_t{count} * kBlockSize);
  return Status();
}

Status read_once(Log& log, const Extent& extent, uint32_t count, MutableBytes out) {
  return extent.form == Extent::Form::kRaw ? read_raw(log, extent, count, out) : read_compressed(log, extent, count, out);
}

}  // namespace

Status read_run(Log& log, const Extent& extent, uint32_t count, MutableBytes out) {
  CHECK_INVARIANT(out.size() == size_t{count} * kBlockSize);
  Status got = read_once(log, extent, count, out);
  if (got.code() != Code::kCorrupt || !log.mend(extent.location).ok()) return got;
  return read_once(log, extent, count, out);
}

}  // namespace tidemark
