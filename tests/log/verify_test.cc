#include "log/repair/verify.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

LogVerdict verify(FaultFileSystem& files, Seq last = kLatest) {
  uint64_t seen = 0;
  const auto verdict = must(verify_log(files, kDirectory, last, [&](uint64_t done, uint64_t total) {
    CHECK(done >= seen);
    CHECK(done <= total);
    seen = done;
  }));
  return verdict;
}

std::string path_of(const Appended& record) { return segment_path(kDirectory, Seq(record.location.segment)); }

}  // namespace

TEST_CASE("a sound log has no damage") {
  TestLog t;
  CHECK(verify(t.files).damage.empty());
  t.add(200);
  must(t.log->sync(kLatest));
  const LogVerdict verdict = verify(t.files);
  CHECK(verdict.damage.empty());
  CHECK(verdict.records == 200);
  CHECK(verdict.end == t.log->tail_position());
  CHECK(verdict.bytes >= t.log->bytes());
  const LogVerdict part = verify(t.files, Seq(100));
  CHECK(part.records == 100);
  CHECK(part.end == must(t.log->position_at(Seq(100))));
  const LogVerdict more = verify(t.files, Seq(201));
  REQUIRE(more.damage.size() == 1);
  CHECK(more.damage[0].fault == RecordFault::kUnwritten);
  CHECK(more.damage[0].seq == Seq(201));
}

TEST_CASE("verification reports every damage and goes on") {
  TestLog t;
  const auto all = t.add(200);
  must(t.log->sync(kLatest));
  t.log.reset();
  const Appended& payload = all[20];
  const Appended& header = all[50];
  const Appended& last = all[199];
  t.files.flip_bit(path_of(payload), payload.location.offset + kRecordHeaderSize + 100, 3);
  t.files.flip_bit(path_of(header), header.location.offset + 17, 3);
  t.files.flip_bit(path_of(last), last.location.offset + 70, 0);
  const LogVerdict verdict = verify(t.files);
  CHECK(verdict.records == 199);
  CHECK(verdict.end.seq == Seq(20));
  REQUIRE(verdict.damage.size() == 3);
  CHECK(verdict.damage[0].fault == RecordFault::kPayloadDamaged);
  CHECK(verdict.damage[0].seq == Seq(21));
  CHECK(verdict.damage[0].ino == Ino(21));
  CHECK(verdict.damage[0].segment == segment_name(Seq(payload.location.segment)));
  CHECK(verdict.damage[0].offset == payload.location.offset);
  CHECK(verdict.damage[1].fault == RecordFault::kHeaderDamaged);
  CHECK(verdict.damage[1].seq == Seq(51));
  CHECK(verdict.damage[2].fault == RecordFault::kPayloadDamaged);
}

TEST_CASE("verification tells a wrong order from damage") {
  TestLog t(quiet_options(1u << 20));
  const auto all = t.add(10, 100);
  must(t.log->sync(kLatest));
  t.log.reset();
  const std::string path = segment_path(kDirectory, Seq(1));
  const uint32_t size = all[4].header.size_in_log();
  const std::string content = t.files.content(path);
  REQUIRE(all[5].header.size_in_log() == size);
  t.files.overwrite(path, all[4].location.offset, content.substr(all[5].location.offset, size));
  t.files.overwrite(path, all[5].location.offset, content.substr(all[4].location.offset, size));
  const LogVerdict verdict = verify(t.files);
  REQUIRE(verdict.damage.size() == 3);  // six, five, and seven after five
  for (const LogDamage& damage : verdict.damage) CHECK(damage.fault == RecordFault::kWrongOrder);
  CHECK(verdict.records == 10);
  CHECK(verdict.end.seq == Seq(4));
}

TEST_CASE("verification notices segments that are missing, cut or without a header") {
  TestLog t(quiet_options(4096));
  t.add(100);
  must(t.log->sync(kLatest));
  const auto segments = t.log->segments();
  t.log.reset();
  const std::string path = segment_path(kDirectory, segments[3].first_seq);
  SECTION("missing") {
    must(t.files.remove(path));
    const LogVerdict verdict = verify(t.files);
    REQUIRE(verdict.damage.size() == 1);
    CHECK(verdict.damage[0].fault == RecordFault::kWrongOrder);
    CHECK(verdict.damage[0].seq == segments[4].first_seq);
  }
  SECTION("cut at a record's end") {
    t.files.set_content(path, t.files.content(path).substr(0, kSegmentHeaderSize));
    CHECK(verify(t.files).damage.size() == 1);
  }
  SECTION("zeroed to the end") {
    t.files.overwrite(path, kSegmentHeaderSize, std::string(segments[3].bytes - kSegmentHeaderSize, '\0'));
    CHECK(verify(t.files).damage.size() == 1);
  }
  SECTION("damaged header") {
    t.files.flip_bit(path, 20, 0);
    const LogVerdict verdict = verify(t.files);
    REQUIRE(verdict.damage.size() == 1);
    CHECK(verdict.damage[0].offset == 0);
    CHECK(verdict.records == 100);
  }
}

}  // namespace tidemark::test
