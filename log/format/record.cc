#include "log/format/record.h"

#include <algorithm>

#include "base/hash.h"

namespace tidemark {
namespace {

// The header on disk, for its offsets alone: the codec goes field by field, so that it owes nothing to alignment.
struct HeaderLayout {
  uint32_t header_check;
  uint8_t type;
  uint8_t flags;
  uint16_t volume;
  uint64_t epoch;
  uint64_t seq;
  int64_t time_ns;
  uint64_t ino;
  uint32_t raw_length;
  uint32_t stored_length;
  uint64_t payload_check;
  uint64_t chain;
};
static_assert(sizeof(HeaderLayout) == kRecordHeaderSize);
static_assert(offsetof(HeaderLayout, type) == 4);
static_assert(offsetof(HeaderLayout, flags) == 5);
static_assert(offsetof(HeaderLayout, volume) == 6);
static_assert(offsetof(HeaderLayout, epoch) == 8);
static_assert(offsetof(HeaderLayout, seq) == 16);
static_assert(offsetof(HeaderLayout, time_ns) == 24);
static_assert(offsetof(HeaderLayout, ino) == 32);
static_assert(offsetof(HeaderLayout, raw_length) == 40);
static_assert(offsetof(HeaderLayout, stored_length) == 44);
static_assert(offsetof(HeaderLayout, payload_check) == 48);
static_assert(offsetof(HeaderLayout, chain) == 56);
static_assert(kRecordHeaderSize % kRecordAlignment == 0);

constexpr size_t kCheckedFrom = offsetof(HeaderLayout, type);
constexpr size_t kChainAt = offsetof(HeaderLayout, chain);

uint32_t header_check_of(const std::byte* header) {
  return static_cast<uint32_t>(hash64({header + kCheckedFrom, kRecordHeaderSize - kCheckedFrom}));
}

uint64_t chain_of(uint64_t previous_chain, const std::byte* header) {
  std::array<std::byte, sizeof previous_chain + kChainAt - kCheckedFrom> linked;
  store_le(linked.data(), previous_chain);
  std::memcpy(linked.data() + sizeof previous_chain, header + kCheckedFrom, kChainAt - kCheckedFrom);
  return hash64(linked);
}

// What a writer of this version can have written. A sum that is right over anything else is no accident worth trusting.
bool plausible(const RecordHeader& header) {
  if (header.type == RecordType::kNone || static_cast<uint8_t>(header.type) > kRecordTypeMax) return false;
  if ((header.flags & ~kRecordFlagsKnown) != 0 || header.seq.value() == 0) return false;
  if (header.raw_length > kPayloadMax || header.stored_length > kPayloadMax) return false;
  if ((header.flags & kFlagLz4) != 0) return header.type == RecordType::kData && header.stored_length < header.raw_length;
  return header.stored_length == header.raw_length;
}

}  // namespace

std::string_view record_type_name(RecordType type) {
  switch (type) {
    case RecordType::kNone: return "none";
    case RecordType::kGenesis: return "genesis";
    case RecordType::kEpoch: return "epoch";
    case RecordType::kData: return "data";
    case RecordType::kMakeNode: return "make-node";
    case RecordType::kLink: return "link";
    case RecordType::kUnlink: return "unlink";
    case RecordType::kRename: return "rename";
    case RecordType::kSetAttr: return "set-attr";
    case RecordType::kTruncate: return "truncate";
    case RecordType::kPunch: return "punch";
    case RecordType::kClone: return "clone";
    case RecordType::kSetXattr: return "set-xattr";
    case RecordType::kRemoveXattr: return "remove-xattr";
    case RecordType::kFree: return "free";
    case RecordType::kMark: return "mark";
    case RecordType::kMarkChange: return "mark-change";
    case RecordType::kAllocate: return "allocate";
  }
  return "unknown";
}

std::string_view record_fault_name(RecordFault fault) {
  switch (fault) {
    case RecordFault::kNone: return "no fault";
    case RecordFault::kUnwritten: return "unwritten";
    case RecordFault::kHeaderDamaged: return "header damaged";
    case RecordFault::kPayloadDamaged: return "payload damaged";
    case RecordFault::kWrongOrder: return "wrong order";
    case RecordFault::kForged: return "its sums fit, its digest does not: somebody has put something else there";
  }
  return "unknown fault";
}

HeaderBytes seal_header(RecordHeader& header, uint64_t previous_chain) {
  HeaderBytes bytes;
  std::byte* at = bytes.data();
  store_le(at + offsetof(HeaderLayout, type), static_cast<uint8_t>(header.type));
  store_le(at + offsetof(HeaderLayout, flags), header.flags);
  store_le(at + offsetof(HeaderLayout, volume), header.volume);
  store_le(at + offsetof(HeaderLayout, epoch), header.epoch.value());
  store_le(at + offsetof(HeaderLayout, seq), header.seq.value());
  store_le(at + offsetof(HeaderLayout, time_ns), header.time_ns);
  store_le(at + offsetof(HeaderLayout, ino), header.ino.value());
  store_le(at + offsetof(HeaderLayout, raw_length), header.raw_length);
  store_le(at + offsetof(HeaderLayout, stored_length), header.stored_length);
  store_le(at + offsetof(HeaderLayout, payload_check), header.payload_check);
  header.chain = chain_of(previous_chain, at);
  store_le(at + offsetof(HeaderLayout, chain), header.chain);
  store_le(at + offsetof(HeaderLayout, header_check), header_check_of(at));
  return bytes;
}

RecordFault decode_header(Bytes bytes, RecordHeader& header) {
  CHECK_INVARIANT(bytes.size() >= kRecordHeaderSize);
  const std::byte* at = bytes.data();
  if (load_le<uint32_t>(at) != header_check_of(at)) {
    return all_zero(bytes.first(kRecordHeaderSize)) ? RecordFault::kUnwritten : RecordFault::kHeaderDamaged;
  }
  header.type = static_cast<RecordType>(load_le<uint8_t>(at + offsetof(HeaderLayout, type)));
  header.flags = load_le<uint8_t>(at + offsetof(HeaderLayout, flags));
  header.volume = load_le<uint16_t>(at + offsetof(HeaderLayout, volume));
  header.epoch = Epoch(load_le<uint64_t>(at + offsetof(HeaderLayout, epoch)));
  header.seq = Seq(load_le<uint64_t>(at + offsetof(HeaderLayout, seq)));
  header.time_ns = load_le<int64_t>(at + offsetof(HeaderLayout, time_ns));
  header.ino = Ino(load_le<uint64_t>(at + offsetof(HeaderLayout, ino)));
  header.raw_length = load_le<uint32_t>(at + offsetof(HeaderLayout, raw_length));
  header.stored_length = load_le<uint32_t>(at + offsetof(HeaderLayout, stored_length));
  header.payload_check = load_le<uint64_t>(at + offsetof(HeaderLayout, payload_check));
  header.chain = load_le<uint64_t>(at + offsetof(HeaderLayout, chain));
  return plausible(header) ? RecordFault::kNone : RecordFault::kHeaderDamaged;
}

RecordFault check_follows(const RecordHeader& header, Bytes header_bytes, const Position& before) {
  CHECK_INVARIANT(header_bytes.size() >= kRecordHeaderSize);
  if (header.seq != before.seq.next() || header.epoch < before.epoch) return RecordFault::kWrongOrder;
  return header.chain == chain_of(before.chain, header_bytes.data()) ? RecordFault::kNone : RecordFault::kWrongOrder;
}

RecordFault check_payload(const RecordHeader& header, Bytes stored_payload) {
  bool good = stored_payload.size() == header.stored_length && hash64(stored_payload) == header.payload_check;
  return good ? RecordFault::kNone : RecordFault::kPayloadDamaged;
}

RecordDraft make_draft(RecordType type, uint16_t volume, Ino ino, std::string_view payload) {
  CHECK_INVARIANT(payload.size() <= kPayloadMax);
  RecordDraft draft;
  draft.type = type;
  draft.volume = volume;
  draft.ino = ino;
  draft.raw_length = static_cast<uint32_t>(payload.size());
  draft.payload = Buffer::copy_of(as_bytes(payload));
  draft.payload_check = hash64(draft.payload.bytes());
  return draft;
}

}  // namespace tidemark
