// Walking over records: what is told of damage, and where the walk goes on behind it.
#include "log/format/record_walker.h"

#include "base/hash.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

using Step = RecordWalker::Step;

const Position kBefore{Epoch(2), Seq(6), 99};

// Records 7 to 6 + `count`, one after the other, with payloads of 1, 2, … bytes.
struct Records {
  explicit Records(size_t count) {
    Position before = kBefore;
    for (size_t i = 0; i < count; ++i) {
      const std::string payload(i + 1, 'p');
      RecordHeader header;
      header.type = RecordType::kMark;
      header.epoch = Epoch(2);
      header.seq = before.seq.next();
      header.raw_length = header.stored_length = static_cast<uint32_t>(payload.size());
      header.payload_check = hash64(as_bytes(payload));
      std::string whole(as_text(seal_header(header, before.chain)));
      whole += payload;
      whole.resize(header.size_in_log(), '\0');
      at.push_back(bytes.size());
      bytes += whole;
      headers.push_back(header);
      before = header.position();
    }
  }
  [[nodiscard]] std::string one(size_t i) const { return bytes.substr(at[i], headers[i].size_in_log()); }

  std::string bytes;
  std::vector<size_t> at;
  std::vector<RecordHeader> headers;
};

// The walk as a line: "7 8! 10 end": records by seq, damage by what the record would be and its fault's first letter.
std::string story(RecordWalker& walker) {
  std::string text;
  for (int steps = 0; steps < 20; ++steps) {
    const Step step = must(walker.next());
    if (step == Step::kEnd) return text + "end";
    if (step == Step::kRecord) text += std::to_string(walker.record().header.seq.value()) + " ";
    if (step == Step::kDamage)
      text += std::string(record_fault_name(walker.fault())) + (walker.is_cut_off() ? " (cut off) " : ", ");
  }
  return text + "…";
}

std::string story(const std::string& bytes, RecordChecks checks = {}) {
  RecordWalker walker(as_bytes(bytes), kBefore, checks);
  return story(walker);
}

}  // namespace

TEST_CASE("a walk takes every sound record, with its place") {
  const Records made(3);
  CHECK(story(made.bytes) == "7 8 9 end");
  CHECK(story("") == "end");
  RecordWalker walker(as_bytes(made.bytes), kBefore);
  for (size_t i = 0; i < 3; ++i) {
    REQUIRE(must(walker.next()) == Step::kRecord);
    CHECK(walker.record().header == made.headers[i]);
    CHECK(as_text(walker.record().whole) == made.one(i));
    CHECK(walker.record().payload.size() == i + 1);
    CHECK(walker.at() == made.at[i]);
    CHECK(walker.next_at() == made.at[i] + made.headers[i].size_in_log());
    CHECK(walker.position() == made.headers[i].position());
  }
  CHECK(must(walker.next()) == Step::kEnd);
  CHECK(must(walker.next()) == Step::kEnd);
  CHECK(walker.next_at() == made.bytes.size());
}

TEST_CASE("damage is told, and the walk goes on behind it") {
  const Records made(4);
  const auto with = [&](size_t record, size_t byte) {
    std::string damaged = made.bytes;
    damaged[made.at[record] + byte] = static_cast<char>(damaged[made.at[record] + byte] ^ 1);
    return damaged;
  };
  CHECK(story(with(1, kRecordHeaderSize)) == "7 payload damaged, 9 10 end");
  CHECK(story(with(1, kRecordHeaderSize + 4)) == "7 payload damaged, 9 10 end");  // the zeros behind it
  CHECK(story(with(1, kRecordHeaderSize), {.payload = false}) == "7 8 9 10 end");
  CHECK(story(with(1, 20)) == "7 header damaged, 9 10 end");
  CHECK(story(with(3, 20)) == "7 8 9 header damaged, end");
  CHECK(story(made.one(0) + made.one(2) + made.one(3)) == "7 wrong order, 10 end");
  CHECK(story(made.one(0) + made.one(2) + made.one(3), {.order = false}) == "7 9 10 end");
  CHECK(story(made.one(0) + made.one(0) + made.one(1)) == "7 wrong order, 8 end");
}

TEST_CASE("zeros are the end, unless something stands behind them") {
  const Records made(3);
  const std::string zeros(4096, '\0');
  CHECK(story(made.bytes + zeros) == "7 8 9 unwritten, end");
  CHECK(story(made.bytes + std::string(8, '\0')) == "7 8 9 unwritten (cut off) end");
  CHECK(story(made.one(0) + zeros + made.one(1)) == "7 unwritten, header damaged, 8 end");
}

TEST_CASE("a run that ends inside a record is cut off, wherever that is") {
  const Records made(2);
  for (size_t size = made.at[1] + 1; size < made.bytes.size(); ++size) {
    RecordWalker walker(as_bytes(made.bytes).first(size), kBefore);
    REQUIRE(must(walker.next()) == Step::kRecord);
    REQUIRE(must(walker.next()) == Step::kDamage);
    REQUIRE(walker.is_cut_off());
    REQUIRE(walker.next_at() == made.at[1]);
    REQUIRE(walker.position() == made.headers[0].position());
  }
}

TEST_CASE("what is damaged may be taken all the same, or put right and walked over") {
  const Records made(3);
  std::string damaged = made.bytes;
  damaged[made.at[1] + kRecordHeaderSize] ^= 1;
  RecordWalker walker(as_bytes(damaged), kBefore);
  must(walker.next());
  REQUIRE(must(walker.next()) == Step::kDamage);
  SECTION("taken") {
    walker.accept(walker.record().header);
    CHECK(walker.position() == made.headers[1].position());
    CHECK(story(walker) == "9 end");
  }
  SECTION("walked over") {
    walker.seek(made.at[2], made.headers[1].position());
    CHECK(story(walker) == "9 end");
  }
  SECTION("as another record") {
    walker.seek(made.at[2], made.headers[0].position());
    CHECK(story(walker) == "wrong order, end");
  }
}

TEST_CASE("a walk over a file reads what a walk over memory does") {
  const Records made(50);
  std::string bytes = made.bytes;
  bytes[made.at[10] + 20] ^= 1;
  bytes[made.at[30] + kRecordHeaderSize] ^= 1;
  bytes += std::string(1000, '\0');
  FaultFileSystem files;
  must(files.make_directory("/d"));
  must(write_file_atomically(files, "/d/file", bytes));
  const auto file = must(files.open("/d/file", FileSystem::Open::kRead));
  for (const size_t step : {size_t{64}, size_t{100}, size_t{4096}}) {
    SegmentWindow window(*file, bytes.size(), step);
    RecordWalker over_file(window, 0, kBefore);
    RecordWalker over_memory(as_bytes(bytes), kBefore);
    for (int i = 0; i < 100; ++i) {
      const Step there = must(over_file.next());
      REQUIRE(there == must(over_memory.next()));
      REQUIRE(over_file.fault() == over_memory.fault());
      REQUIRE(over_file.at() == over_memory.at());
      REQUIRE(over_file.position() == over_memory.position());
      if (there == Step::kRecord) REQUIRE(as_text(over_file.record().whole) == as_text(over_memory.record().whole));
    }
  }
}

TEST_CASE("a verified run is whole, in order, and can be split between any two records") {
  const Records made(5);
  const VerifiedRun run = must(VerifiedRun::verify(as_bytes(made.bytes), kBefore));
  CHECK(run.records().size() == 5);
  CHECK(run.end() == made.headers[4].position());
  for (uint64_t seq = 5; seq <= 12; ++seq) {
    const VerifiedRun first = run.up_to(Seq(seq));
    const VerifiedRun rest = run.behind(Seq(seq));
    REQUIRE(std::string(as_text(first.bytes())) + std::string(as_text(rest.bytes())) == made.bytes);
    REQUIRE(first.records().size() + rest.records().size() == 5);
    REQUIRE(first.before() == kBefore);
    REQUIRE(first.end() == rest.before());
    REQUIRE(rest.end() == run.end());
    // A part can be split again.
    REQUIRE(std::string(as_text(rest.up_to(Seq(10)).bytes())) + std::string(as_text(rest.behind(Seq(10)).bytes())) ==
            as_text(rest.bytes()));
  }
  for (size_t cut = 1; cut < made.headers[4].size_in_log(); ++cut)
    REQUIRE(VerifiedRun::verify(as_bytes(made.bytes).first(made.bytes.size() - cut), kBefore).status().code() ==
            Code::kCorrupt);
  CHECK(VerifiedRun::verify(as_bytes(made.bytes), Position()).status().code() == Code::kCorrupt);
  CHECK(must(VerifiedRun::verify({}, kBefore)).end() == kBefore);
}

}  // namespace tidemark::test
