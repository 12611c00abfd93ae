// Clocks that jump: what times records get, and which record a time leads to.
#include <catch2/catch.hpp>

#include "log/read/cursor.h"
#include "log/repair/verify.h"
#include "log/write/writer.h"
#include "tests/log/log_fixture.h"
#include "tests/support/clocks.h"

namespace tidemark::test {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kYear = 365 * 86'400 * kSecond;

struct SteppedLog {
  FaultFileSystem files;
  SteppedClock clock;
  std::unique_ptr<LogWriter> log;
  uint64_t count = 0;

  SteppedLog() {
    must(files.make_directory(kDirectory));
    must(LogWriter::create(files, kDirectory, test_group()));
    reopen();
  }
  void reopen() {
    log.reset();
    log = must(LogWriter::open(files, clock, kDirectory, quiet_options(), Seq(), nullptr));
  }
  // Records a second apart. Returns the wall time after the last.
  int64_t add(size_t records) {
    for (size_t i = 0; i < records; ++i) {
      clock.now += kSecond;
      const RecordDraft draft = numbered_draft(++count, 500);
      must(log->append({&draft, 1}, Epoch(1)));
    }
    must(log->sync(kLatest));
    return clock.wall_ns();
  }
  int64_t time_of(uint64_t seq) { return must(log->time_of(Seq(seq))); }
};

}  // namespace

TEST_CASE("time: a clock that jumps ahead and is put right again is followed back") {
  SteppedLog t;
  const int64_t before = t.add(20);
  t.clock.ahead = kYear;
  t.add(20);
  t.clock.ahead = 0;
  const int64_t right_again = t.add(20);
  t.clock.now += 600 * kSecond;
  t.add(20);
  CHECK(t.time_of(40) > t.clock.now + kYear / 2);
  CHECK(t.time_of(41) < t.clock.now);
  CHECK(t.time_of(80) - t.time_of(61) == Approx(19e9).epsilon(0.01));
  for (int round = 0; round < 2; ++round) {
    INFO("round " << round);
    CHECK(must(t.log->seq_at_time(before)) == Seq(20));
    CHECK(must(t.log->seq_at_time(right_again)) == Seq(60));  // the newest record that is not younger
    CHECK(must(t.log->seq_at_time(right_again - 10 * kSecond)) == Seq(50));
    CHECK(must(t.log->seq_at_time(t.clock.wall_ns())) == Seq(80));
    CHECK(must(t.log->seq_at_time(t.clock.wall_ns() + 2 * kYear)) == Seq(80));
    CHECK(must(t.log->seq_at_time(0)) == Seq());
    CHECK(read_all(*t.log, Seq(1)).size() == 80);
    t.reopen();
  }
  CHECK(must(verify_log(t.files, kDirectory, Seq(80), nullptr)).damage.empty());
  // After a restart as well: the last record's time is of no weight.
  t.clock.ahead = kYear;
  t.add(5);
  t.reopen();
  t.clock.ahead = 0;
  t.add(5);
  CHECK(t.time_of(85) > t.clock.now + kYear / 2);
  CHECK(t.time_of(90) < t.clock.now);
}

TEST_CASE("time: a clock that wobbles costs no segments") {
  SteppedLog t;
  t.add(10);
  const size_t segments = t.log->segments().size();
  t.clock.ahead = -kSecond / 2;
  t.clock.now -= kSecond;
  t.add(1);
  CHECK(t.log->segments().size() <= segments + 1);
  const size_t before = t.log->segments().size();
  for (int i = 0; i < 8; ++i) {  // within ten seconds it is followed back once
    t.clock.ahead = i % 2 == 0 ? kYear : 0;
    t.add(1);
  }
  CHECK(t.log->segments().size() <= before + 3);
  for (uint64_t seq = 2; seq <= t.count; ++seq) {
    INFO(seq);
    CHECK((t.time_of(seq) >= t.time_of(seq - 1) || t.time_of(seq) <= t.clock.now));
  }
}

TEST_CASE("time: a copy has the times of its primary, and finds what it finds") {
  SteppedLog t;
  const int64_t before = t.add(300);
  t.clock.ahead = kYear;
  t.add(300);
  t.clock.ahead = 0;
  const int64_t right_again = t.add(300);
  t.add(100);
  FaultFileSystem files;
  must(files.make_directory(kDirectory));
  must(LogWriter::create(files, kDirectory, test_group()));
  auto copy = must(LogWriter::open(files, t.clock, kDirectory, quiet_options(), Seq(), nullptr));
  LogCursor cursor(*t.log, Seq(1));
  for (;;) {
    const LogCursor::Run run = must(cursor.read(3000, kLatest));
    if (run.bytes.empty()) break;
    must(append_run(*copy, run.bytes));
  }
  for (const int64_t time : {before, before - 40 * kSecond, right_again, right_again - 40 * kSecond}) {
    CHECK(must(copy->seq_at_time(time)) == must(t.log->seq_at_time(time)));
  }
}

TEST_CASE("time: who throws away by age does not believe a jump ahead at once") {
  SteppedClock clock;
  DoubtingClock doubting(clock);
  const auto ahead = [&] {  // of the true time, in seconds
    const int64_t wall = doubting.wall_ns();
    return (wall - clock.now) / kSecond;
  };
  CHECK(ahead() == 0);
  clock.now += 86'400 * kSecond;
  CHECK(ahead() == 0);
  clock.ahead = kYear;
  for (int minute = 0; minute < 59; ++minute) {
    CHECK(ahead() == 0);
    clock.now += 60 * kSecond;
  }
  SECTION("it is put right") {
    clock.ahead = 0;
    CHECK(ahead() == 0);
    clock.now += 7200 * kSecond;
    CHECK(ahead() == 0);
  }
  SECTION("it stands: it was wrong before") {
    clock.now += 61 * kSecond;
    CHECK(ahead() == kYear / kSecond);
    clock.now += kSecond;
    CHECK(ahead() == kYear / kSecond);
  }
  SECTION("a step back is taken at once") {
    clock.ahead = -kYear;
    CHECK(ahead() == -kYear / kSecond);
  }
}

}  // namespace tidemark::test
