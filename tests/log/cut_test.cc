// A copy gives up its newest records: it ends exactly there, also after a crash at any moment of it, and goes on from there.
#include "log/log.h"
#include "log/read/cursor.h"
#include "log/write/aside.h"
#include "log/write/writer.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

// The records of `source` from its beginning up to `end`, received by a log of their own.
struct Copy {
  FaultFileSystem files;
  TestClock clock;
  std::unique_ptr<LogWriter> log;

  Copy() {
    must(files.make_directory(kDirectory));
    must(LogWriter::create(files, kDirectory, test_group()));
    log = open(files);
  }
  std::unique_ptr<LogWriter> open(FileSystem& on, Seq indexed = Seq()) {
    return must(LogWriter::open(on, clock, kDirectory, quiet_options(), indexed, nullptr));
  }
};

void receive(Log& source, LogWriter& copy, Seq end) {
  LogCursor cursor(source, copy.appended().next());
  while (cursor.next() <= end) {
    const LogCursor::Run run = must(cursor.read(3000, end));
    must(append_run(copy, run.bytes));
  }
  must(copy.sync(kLatest));
}

}  // namespace

TEST_CASE("a copy is cut at any record, and goes on from there with others") {
  TestLog source;
  source.add(120);
  for (uint64_t to = 1; to < 120; to += 7) {
    Copy copy;
    receive(*source.log, *copy.log, Seq(120));
    const Position end = must(source.log->position_at(Seq(to)));
    must(copy.log->cut(end));
    CHECK(copy.log->tail_position() == end);
    CHECK(copy.log->durable() == Seq(to));
    CHECK(read_all(*copy.log, Seq(1)).size() == to);
    CHECK(copy.log->position_at(Seq(to + 1)).status().code() == Code::kNotFound);
    // The source has other records from there on.
    TestLog other;
    receive(*source.log, *other.log, Seq(to));
    other.count = 1000;
    other.add(60, 700);
    receive(*other.log, *copy.log, Seq(to + 60));
    CHECK(read_all(*copy.log, Seq(1)) == read_all(*other.log, Seq(1)));
    copy.log = nullptr;
    CHECK(read_all(*copy.open(copy.files), Seq(1)) == read_all(*other.log, Seq(1)));
    CHECK(must(read_cut_note(copy.files, kDirectory, test_group())) == CutNote{1, end});
  }
}

TEST_CASE("a cut that does not fit changes nothing") {
  TestLog source;
  source.add(30);
  Copy copy;
  receive(*source.log, *copy.log, Seq(30));
  const Position at20 = must(source.log->position_at(Seq(20)));
  Position wrong = at20;
  ++wrong.chain;
  CHECK(copy.log->cut(wrong).code() == Code::kDiverged);
  CHECK(copy.log->cut(must(source.log->position_at(Seq(30)))).code() == Code::kInvalid);
  CHECK(copy.log->cut(Position()).code() == Code::kInvalid);
  copy.log->settle(Seq(21));
  CHECK(copy.log->cut(at20).code() == Code::kInvalid);
  CHECK(read_all(*copy.log, Seq(1)).size() == 30);
  must(copy.log->cut(must(source.log->position_at(Seq(21)))));
  CHECK(copy.log->appended() == Seq(21));
}

TEST_CASE("what is settled is known again after an orderly end, and no more is than is held") {
  TestLog source;
  source.add(30);
  Copy copy;
  receive(*source.log, *copy.log, Seq(20));
  copy.log->settle(Seq(25));
  CHECK(copy.log->settled() == Seq(20));
  receive(*source.log, *copy.log, Seq(30));
  CHECK(copy.log->settled() == Seq(20));
  copy.log = nullptr;
  copy.log = copy.open(copy.files);
  CHECK(copy.log->settled() == Seq(20));
}

TEST_CASE("power that fails at any moment of a cut leaves a log that ends between there and its old end") {
  TestLog source;
  source.add(60);
  const Position end = must(source.log->position_at(Seq(17)));
  const auto expected = read_all(*source.log, Seq(1));
  for (uint64_t moment = 0;; ++moment) {
    Copy copy;
    receive(*source.log, *copy.log, Seq(60));
    const uint64_t begin = copy.files.operations();
    std::unique_ptr<FaultFileSystem> after;
    copy.files.on_operation([&](const FaultFileSystem::Step& step) {
      if (step.number == begin + moment) after = copy.files.after_crash(moment);
      return Status();
    });
    must(copy.log->cut(end));
    copy.files.on_operation(nullptr);
    if (after == nullptr) after = copy.files.after_crash(moment);
    const bool done = copy.files.operations() <= begin + moment;
    // The index was brought back to the cut before.
    auto log = copy.open(*after, Seq(17));
    const auto held = read_all(*log, Seq(1));
    CHECK(held.size() >= 17);
    CHECK(std::equal(held.begin(), held.end(), expected.begin()));
    if (done) CHECK(held.size() == 17);
    receive(*source.log, *log, Seq(60));
    CHECK(read_all(*log, Seq(1)) == expected);
    if (done) break;
  }
}

TEST_CASE("what is cut has no digest any more, and gets one again") {
  TestLog source;
  source.add(90);
  Copy copy;
  receive(*source.log, *copy.log, Seq(90));
  const auto check_all = [](Log& log) {
    size_t made = 0;
    while (const auto part = log.undigested([](const LogPart&) { return true; })) {
      CHECK(must(log.check(*part, log.durable(), false, [](uint64_t) { return Status(); })).empty());
      ++made;
    }
    return made;
  };
  CHECK(check_all(*copy.log) > 3);
  must(copy.log->cut(must(source.log->position_at(Seq(20)))));
  TestLog other;
  receive(*source.log, *other.log, Seq(20));
  other.count = 1000;
  other.add(70, 700);
  receive(*other.log, *copy.log, Seq(90));
  CHECK(check_all(*copy.log) > 3);
  for (const SegmentInfo& segment : copy.log->segments()) {
    CHECK(must(copy.log->check({segment.first_seq, {}}, Seq(90), false, [](uint64_t) { return Status(); })).empty());
  }
}

TEST_CASE("a reader from before a cut does not take later records for those that it knew") {
  TestLog source;
  source.add(40, 300);
  Copy copy;
  receive(*source.log, *copy.log, Seq(40));
  auto reader = must(Log::open_read_only(copy.files, kDirectory, Seq(40)));
  must(copy.log->cut(must(source.log->position_at(Seq(10)))));
  TestLog other;
  receive(*source.log, *other.log, Seq(10));
  other.count = 1000;
  other.add(30, 300);  // as long, at the same places
  receive(*other.log, *copy.log, Seq(40));
  LogCursor cursor(*reader, Seq(11));
  const auto run = cursor.read(1000, Seq(40));
  CHECK(run.status().code() == Code::kNoSuchPoint);
}

}  // namespace tidemark::test
