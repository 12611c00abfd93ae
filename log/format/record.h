// The record: header, its checks, and the limits of a payload. docs/LOG_FORMAT.md is the other half of this file.
//
//   byte  size  field
//      0     4  header_check   low 32 bits of XXH3-64 over bytes 4..63
//      4     1  type           RecordType
//      5     1  flags          RecordFlag bits
//      6     2  volume
//      8     8  epoch
//     16     8  seq
//     24     8  time_ns        wall time at the primary, never less than the record before
//     32     8  ino            the file the record is about; 0 where it is about none
//     40     4  raw_length     bytes of the payload before compression
//     44     4  stored_length  bytes of the payload as stored; then zeros to a multiple of 8
//     48     8  payload_check  XXH3-64 over the stored payload
//     56     8  chain          XXH3-64 over the previous record's chain (8 bytes) and bytes 4..55 of this header
#pragma once

#include <tidemark/record_types.h>
#include <tidemark/types.h>

#include <array>
#include <cstdint>
#include <string>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/status.h"

namespace tidemark {

inline constexpr uint32_t kRecordHeaderSize = 64;
inline constexpr uint32_t kRecordAlignment = 8;
// One data record holds at most this many blocks: a random 4 KiB read decompresses at most 64 KiB.
inline constexpr uint32_t kDataBlocksMax = 16;
// The largest payload any record may declare, raw or stored. Checked before memory is taken.
inline constexpr uint32_t kPayloadMax = 256 * 1024;

enum RecordFlag : uint8_t {
  kFlagLz4 = 1 << 0,        // data records: the blocks are one LZ4 block
  kFlagAfterSync = 1 << 1,  // every record before this one was durable when it was appended (recovery relies on it)
};
inline constexpr uint8_t kRecordFlagsKnown = kFlagLz4 | kFlagAfterSync;

struct RecordHeader {
  RecordType type = RecordType::kNone;
  uint8_t flags = 0;
  uint16_t volume = 0;
  Epoch epoch;
  Seq seq;
  int64_t time_ns = 0;
  Ino ino;
  uint32_t raw_length = 0;
  uint32_t stored_length = 0;
  uint64_t payload_check = 0;
  uint64_t chain = 0;

  // Bytes the record takes in a segment and on the wire: header, payload, zeros up to the alignment.
  [[nodiscard]] uint32_t size_in_log() const {
    return kRecordHeaderSize + (stored_length + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
  }
  [[nodiscard]] Position position() const { return {epoch, seq, chain}; }
  bool operator==(const RecordHeader&) const = default;
};

using HeaderBytes = std::array<std::byte, kRecordHeaderSize>;

// Sets header.chain from the chain before it, and encodes.
HeaderBytes seal_header(RecordHeader& header, uint64_t previous_chain);

// What can be wrong with a record, told apart.
enum class RecordFault {
  kNone,
  kUnwritten,  // 64 zero bytes
  kHeaderDamaged,
  kPayloadDamaged,
  kWrongOrder,
  kForged,  // of a whole segment or pack: every sum in it fits, and its digest does not
};
std::string_view record_fault_name(RecordFault fault);  // "header damaged" …

// Decodes and checks the header alone (check sum, known type and flags, lengths within limits).
// kNone, kUnwritten or kHeaderDamaged. `bytes` has at least kRecordHeaderSize bytes.
RecordFault decode_header(Bytes bytes, RecordHeader& header);
// kNone, or kWrongOrder: the header does not follow `before` (seq + 1, epoch not lower, chain).
RecordFault check_follows(const RecordHeader& header, Bytes header_bytes, const Position& before);
// kNone, or kPayloadDamaged.
RecordFault check_payload(const RecordHeader& header, Bytes stored_payload);

// A record that has no place in the order yet. Everything costly about it is done: the payload is compressed and summed.
struct RecordDraft {
  RecordType type = RecordType::kNone;
  uint8_t flags = 0;
  uint16_t volume = 0;
  Ino ino;
  uint32_t raw_length = 0;
  Buffer payload;  // as stored
  uint64_t payload_check = 0;
};
// A draft of an uncompressed payload.
RecordDraft make_draft(RecordType type, uint16_t volume, Ino ino, std::string_view payload);

// Where a record lies in this site's log: the first seq of its segment and the byte of its header there. Not portable
// between sites.
struct Location {
  uint64_t segment = 0;
  uint32_t offset = 0;
  bool operator==(const Location&) const = default;
};

// A record in memory. The payload lives as long as the bytes it was read from.
struct RecordView {
  RecordHeader header;
  Bytes payload;  // as stored
  Bytes whole;    // header, payload and padding: what travels to a site
  Location location;
};

}  // namespace tidemark
