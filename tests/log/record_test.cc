#include "base/hash.h"
#include "log/format/record_walker.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

std::string sealed(RecordHeader& header, uint64_t chain, std::string_view payload) {
  header.raw_length = header.stored_length = static_cast<uint32_t>(payload.size());
  header.payload_check = hash64(as_bytes(payload));
  const HeaderBytes head = seal_header(header, chain);
  std::string whole(as_text(head));
  whole += payload;
  whole.resize(header.size_in_log(), '\0');
  return whole;
}

RecordHeader sample_header(uint64_t seq = 7) {
  RecordHeader header;
  header.type = RecordType::kMark;
  header.flags = kFlagAfterSync;
  header.volume = 3;
  header.epoch = Epoch(2);
  header.seq = Seq(seq);
  header.time_ns = 1'234'567'890'123'456'789;
  header.ino = Ino(42);
  return header;
}

const Position kBefore{Epoch(2), Seq(6), 99};

std::string hexdump(std::string_view bytes) {
  std::string text;
  char line[16];
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::snprintf(line, sizeof line, "%02x", static_cast<unsigned char>(bytes[i]));
    text += line;
    text += i % 16 == 15 ? "\n" : " ";
  }
  return text;
}

}  // namespace

TEST_CASE("a record's header comes back as it was sealed") {
  RecordHeader header = sample_header();
  const std::string whole = sealed(header, kBefore.chain, "hello");
  RecordHeader decoded;
  REQUIRE(decode_header(as_bytes(whole), decoded) == RecordFault::kNone);
  CHECK(decoded == header);
  CHECK(check_follows(decoded, as_bytes(whole), kBefore) == RecordFault::kNone);
  Bytes run = as_bytes(whole);
  Position position = kBefore;
  const RecordView record = must(take_record(run, position));
  CHECK(as_text(record.payload) == "hello");
  CHECK(run.empty());
  CHECK(position == header.position());
}

TEST_CASE("every damaged bit is noticed, and told apart") {
  RecordHeader header = sample_header();
  const std::string whole = sealed(header, kBefore.chain, "hello");
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    RecordHeader decoded;
    const RecordFault fault = decode_header(as_bytes(damaged), decoded);
    REQUIRE(fault == (bit / 8 < kRecordHeaderSize ? RecordFault::kHeaderDamaged : RecordFault::kNone));
    if (bit / 8 >= kRecordHeaderSize && bit / 8 < kRecordHeaderSize + 5) {
      REQUIRE(check_payload(header, as_bytes(damaged).subspan(kRecordHeaderSize, 5)) == RecordFault::kPayloadDamaged);
    }
    Bytes run = as_bytes(damaged);
    Position position = kBefore;
    const auto record = take_record(run, position);
    REQUIRE(record.status().code() == Code::kCorrupt);
    REQUIRE(position == kBefore);
  }
}

TEST_CASE("what no writer writes is refused although its sum is right") {
  RecordHeader decoded;
  const auto refused = [&](auto&& change) {
    RecordHeader header = sample_header();
    change(header);
    return decode_header(seal_header(header, 0), decoded) == RecordFault::kHeaderDamaged;
  };
  CHECK(refused([](RecordHeader& h) { h.type = RecordType::kNone; }));
  CHECK(refused([](RecordHeader& h) { h.type = static_cast<RecordType>(kRecordTypeMax + 1); }));
  CHECK(refused([](RecordHeader& h) { h.flags = 4; }));
  CHECK(refused([](RecordHeader& h) { h.flags = kFlagLz4; }));
  CHECK(refused([](RecordHeader& h) { h.seq = Seq(); }));
  CHECK(refused([](RecordHeader& h) { h.raw_length = h.stored_length = kPayloadMax + 1; }));
  CHECK(refused([](RecordHeader& h) { h.raw_length = 1; }));
  CHECK_FALSE(refused([](RecordHeader&) {}));
  const HeaderBytes nothing{};
  CHECK(decode_header(nothing, decoded) == RecordFault::kUnwritten);
}

TEST_CASE("records in a wrong order are told from damaged ones") {
  RecordHeader first = sample_header(7);
  const std::string one = sealed(first, kBefore.chain, "one");
  RecordHeader second = sample_header(8);
  const std::string two = sealed(second, first.chain, "two");
  RecordHeader other = sample_header(8);
  const std::string forged = sealed(other, first.chain + 1, "two");
  RecordHeader late = sample_header(8);
  late.epoch = Epoch(1);
  const std::string stale = sealed(late, first.chain, "two");

  const auto walk = [](const std::string& run) {
    Position position = kBefore;
    return walk_records(as_bytes(run), position, [](const RecordView&) { return Status(); });
  };
  must(walk(one + two));
  for (const std::string& wrong : {two + one, one + one, one + forged, one + stale}) {
    const Status status = walk(wrong);
    CHECK(status.code() == Code::kCorrupt);
    CHECK(status.text().find("wrong order") != std::string::npos);
  }
  const std::string both = one + two;
  for (size_t cut = 1; cut < both.size(); ++cut) {
    if (cut != one.size()) REQUIRE(walk(both.substr(0, cut)).code() == Code::kCorrupt);
  }
}

TEST_CASE("the worked example of docs/LOG_FORMAT.md") {
  MarkBody mark;
  mark.id = MarkId(1);
  mark.name = "before-upgrade";
  mark.application = "psql";
  mark.pid = 4711;
  mark.uid = 1000;
  RecordHeader header;
  header.type = RecordType::kMark;
  header.flags = kFlagAfterSync;
  header.epoch = Epoch(1);
  header.seq = Seq(2);
  header.time_ns = 1'700'000'000'000'000'000;
  const std::string whole = sealed(header, 0x0123456789abcdef, encode_mark(mark));
  CHECK(hexdump(whole) ==
        "32 b5 8b 53 0f 02 00 00 01 00 00 00 00 00 00 00\n"
        "02 00 00 00 00 00 00 00 00 00 2a 36 fe 9c 97 17\n"
        "00 00 00 00 00 00 00 00 28 00 00 00 28 00 00 00\n"
        "50 46 dd 9f 46 13 3b 5d 2b ed 2b f9 81 f9 45 c9\n"
        "01 00 00 00 00 00 00 00 67 12 00 00 e8 03 00 00\n"
        "0e 00 62 65 66 6f 72 65 2d 75 70 67 72 61 64 65\n"
        "04 00 70 73 71 6c 00 00 ");
  SegmentHeader segment;
  segment.group = test_group();
  CHECK(hexdump(as_text(encode_segment_header(segment))) ==
        "54 49 44 45 4d 53 45 47 01 00 00 00 00 00 00 00\n"
        "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10\n"
        "01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n"
        "00 00 00 00 00 00 00 00 00 00 00 00 39 83 0f 54\n");
}

TEST_CASE("data drafts: compressed where it pays, and whole again") {
  std::mt19937_64 random(1);
  for (size_t count : {size_t{1}, size_t{2}, size_t{16}}) {
    for (int kind = 0; kind < 3; ++kind) {
      std::string blocks(count * kBlockSize, 'a');
      if (kind == 1)
        for (char& c : blocks) c = static_cast<char>(random());
      if (kind == 2)
        for (size_t i = 0; i < blocks.size(); ++i)
          if (i % 20 != 0) blocks[i] = static_cast<char>(random());
      const RecordDraft draft = make_data_draft(1, Ino(5), 1000, 5'000'000, true, as_bytes(blocks));
      CHECK(((draft.flags & kFlagLz4) != 0) == (kind == 0));
      RecordHeader header;
      header.type = RecordType::kData;
      header.flags = draft.flags;
      header.seq = Seq(1);
      header.raw_length = draft.raw_length;
      header.stored_length = static_cast<uint32_t>(draft.payload.size());
      CHECK(hash64(draft.payload.bytes()) == draft.payload_check);
      const DataBody body = must(decode_data(header, draft.payload.bytes()));
      CHECK(body.first_block == 1000);
      CHECK(body.size_after == 5'000'000);
      CHECK(body.count == count);
      CHECK(body.keep_times);
      std::string out(blocks.size(), '?');
      const MutableBytes target{reinterpret_cast<std::byte*>(out.data()), out.size()};
      must(extract_blocks(header, body, target));
      CHECK(out == blocks);
      // Damage in a stored block is found by that block's own sum.
      std::string damaged(as_text(draft.payload.bytes()));
      damaged.back() = static_cast<char>(damaged.back() ^ 1);
      const DataBody bad = must(decode_data(header, as_bytes(damaged)));
      CHECK(extract_blocks(header, bad, target).code() == Code::kCorrupt);
      for (size_t size = 0; size < draft.payload.size(); size += 1 + size / 7) {
        RecordHeader shorter = header;
        shorter.stored_length = static_cast<uint32_t>(size);
        if (kind == 0 && size > data_blocks_at(body.count)) continue;  // LZ4's own business
        REQUIRE(decode_data(shorter, draft.payload.bytes().first(size)).status().code() == Code::kCorrupt);
      }
    }
  }
}

}  // namespace tidemark::test
