// Record headers and bodies: whatever decodes encodes again to the same bytes.
#include "log/format/record.h"

#include "log/format/body.h"
#include "log/format/record_walker.h"
#include "tests/fuzz/fuzz.h"

namespace tidemark::fuzz {
namespace {

void same(Bytes payload, const std::string& again) { CHECK_INVARIANT(as_text(payload) == again); }

void body(RecordType type, Bytes payload) {
  switch (type) {
    case RecordType::kGenesis:
      if (auto it = decode_genesis(payload); it.ok()) same(payload, encode_genesis(*it));
      break;
    case RecordType::kEpoch:
      if (auto it = decode_epoch(payload); it.ok()) same(payload, encode_epoch(*it));
      break;
    case RecordType::kMakeNode:
      if (auto it = decode_make_node(payload); it.ok()) same(payload, encode_make_node(*it));
      break;
    case RecordType::kLink:
    case RecordType::kUnlink:
      if (auto it = decode_link(payload); it.ok()) same(payload, encode_link(*it));
      break;
    case RecordType::kRename:
      if (auto it = decode_rename(payload); it.ok()) same(payload, encode_rename(*it));
      break;
    case RecordType::kSetAttr:
      if (auto it = decode_set_attr(payload); it.ok()) same(payload, encode_set_attr(*it));
      break;
    case RecordType::kTruncate:
      if (auto it = decode_truncate(payload); it.ok()) same(payload, encode_truncate(*it));
      break;
    case RecordType::kPunch:
      if (auto it = decode_punch(payload); it.ok()) same(payload, encode_punch(*it));
      break;
    case RecordType::kAllocate:
      if (auto it = decode_allocate(payload); it.ok()) same(payload, encode_allocate(*it));
      break;
    case RecordType::kClone:
      if (auto it = decode_clone(payload); it.ok()) same(payload, encode_clone(*it));
      break;
    case RecordType::kSetXattr:
    case RecordType::kRemoveXattr:
      if (auto it = decode_xattr(payload); it.ok()) same(payload, encode_xattr(*it));
      break;
    case RecordType::kFree:
      if (auto it = decode_free(payload); it.ok()) same(payload, encode_free(*it));
      break;
    case RecordType::kMark:
      if (auto it = decode_mark(payload); it.ok()) same(payload, encode_mark(*it));
      break;
    case RecordType::kMarkChange:
      if (auto it = decode_mark_change(payload); it.ok()) same(payload, encode_mark_change(*it));
      break;
    case RecordType::kData:
    case RecordType::kNone: break;
  }
}

// Sums that would be wrong are put right, so that what is behind them is reached.
void data(Bytes payload, bool lz4, uint32_t raw_length) {
  RecordHeader header;
  header.type = RecordType::kData;
  header.flags = lz4 ? kFlagLz4 : 0;
  header.stored_length = static_cast<uint32_t>(payload.size());
  header.raw_length = raw_length;
  const auto decoded = decode_data(header, payload);
  if (!decoded.ok()) return;
  std::vector<std::byte> out(size_t{decoded->count} * kBlockSize);
  (void)extract_blocks(header, *decoded, out);
}

}  // namespace

void fuzz_one(Bytes bytes) {
  RecordHeader header;
  if (bytes.size() >= kRecordHeaderSize && decode_header(bytes, header) == RecordFault::kNone) {
    CHECK_INVARIANT(header.stored_length <= kPayloadMax && header.raw_length <= kPayloadMax);
  }
  Position position;
  (void)walk_records(bytes, position, [](const RecordView&) { return Status(); });
  Input input(bytes);
  const auto type = static_cast<RecordType>(input.byte() % 17);
  if (type == RecordType::kData || type == RecordType::kNone) {
    const uint8_t blocks = input.byte();
    data(input.rest(), (blocks & 0x80) != 0, data_blocks_at(blocks & 31) + (blocks & 31) * kBlockSize);
  } else {
    body(type, input.rest());
  }
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  const auto add = [&](RecordType type, const std::string& payload) {
    seeds.push_back(std::string(1, static_cast<char>(type)) + payload);
    RecordHeader header;
    RecordDraft draft = make_draft(type, 1, Ino(7), payload);
    header.type = type;
    header.ino = Ino(7);
    header.epoch = Epoch(1);
    header.seq = Seq(1);
    header.raw_length = header.stored_length = static_cast<uint32_t>(payload.size());
    header.payload_check = draft.payload_check;
    const HeaderBytes head = seal_header(header, 0);
    std::string whole(as_text(head));
    whole += payload;
    whole.resize(header.size_in_log());
    seeds.push_back(std::move(whole));
  };
  add(RecordType::kGenesis, encode_genesis({GroupId{}, "shop", 0755, 0, 0}));
  add(RecordType::kEpoch, encode_epoch({Epoch(1), "site", "take-over"}));
  MakeNode node;
  node.parent = kRootIno;
  node.name = "name";
  node.mode = 0120777;
  node.symlink_target = "../target";
  node.xattrs = {{"user.a", "1"}, {"user.b", ""}};
  add(RecordType::kMakeNode, encode_make_node(node));
  add(RecordType::kLink, encode_link({kRootIno, "other"}));
  add(RecordType::kRename, encode_rename({kRootIno, "a", kRootIno, "b", false, Ino(9), Ino(0)}));
  SetAttr attr;
  attr.mask = kSetMode | kSetMtime | kSetSize;
  attr.size = 4097;
  add(RecordType::kSetAttr, encode_set_attr(attr));
  add(RecordType::kTruncate, encode_truncate({8192, {}, 0}));
  add(RecordType::kPunch, encode_punch({1, 7}));
  add(RecordType::kAllocate, encode_allocate({1, 7, 4097}));
  add(RecordType::kClone, encode_clone({Ino(3), 0, 8, 16, 100'000}));
  add(RecordType::kSetXattr, encode_xattr({"user.x", "value"}));
  add(RecordType::kFree, encode_free({Ino(3), Ino(4)}));
  add(RecordType::kMark, encode_mark({MarkId(1), "before-upgrade", "psql", 1, 2, "note"}));
  add(RecordType::kMarkChange, encode_mark_change({MarkId(1), true}));
  const std::string blocks(2 * kBlockSize, 'x');
  const RecordDraft packed = make_data_draft(1, Ino(7), 3, 20'000, false, as_bytes(blocks));
  seeds.push_back(std::string("\x03\x82", 2) + std::string(as_text(packed.payload.bytes())));
  return seeds;
}

}  // namespace tidemark::fuzz
