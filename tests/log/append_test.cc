#include <cerrno>
#include <thread>

#include "log/format/record_walker.h"
#include "log/read/cursor.h"
#include "log/write/writer.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

using Operation = FaultFileSystem::Operation;

Status fail_on(Operation wanted, const FaultFileSystem::Step& step, int error = EIO) {
  return step.operation == wanted ? errno_status(error, "injected") : Status();
}

std::string as_string(const RecordView& record) { return std::string(as_text(record.payload)); }

}  // namespace

TEST_CASE("an empty log") {
  TestLog t;
  CHECK(t.log->appended() == Seq());
  CHECK(t.log->durable() == Seq());
  CHECK(t.log->first() == Seq(1));
  CHECK(t.log->tail_position() == Position());
  CHECK(t.log->group() == test_group());
  CHECK(t.log->segments().size() == 1);
  CHECK(must(t.log->position_at(Seq())) == Position());
  CHECK(t.log->position_at(Seq(1)).status().code() == Code::kNotFound);
  CHECK(must(t.log->seq_at_time(INT64_MAX)) == Seq());
  CHECK(read_all(*t.log, Seq(1)).empty());
  must(t.log->sync(kLatest));
  CHECK(LogWriter::create(t.files, kDirectory, test_group()).code() == Code::kNotEmpty);
  CHECK(t.log->append({}, Epoch(1)).status().code() == Code::kInvalid);
  auto reader = must(Log::open_read_only(t.files, kDirectory, Seq()));
  CHECK(reader->first() == Seq(1));
  CHECK(read_all(*reader, Seq(1)).empty());
}

TEST_CASE("what is appended over many segments can be read in every way") {
  TestLog t;
  std::vector<Appended> all;
  std::vector<std::string> payloads;
  std::mt19937_64 random(3);
  while (all.size() < 300) {
    std::vector<RecordDraft> drafts;
    for (size_t i = random() % 9 + 1; i > 0; --i) {
      payloads.push_back(numbered(++t.count, random() % 1500));
      drafts.push_back(make_draft(RecordType::kSetXattr, 1, Ino(t.count), payloads.back()));
    }
    for (Appended& each : must(t.log->append(drafts, Epoch(1 + all.size() / 100)))) all.push_back(each);
    if (random() % 4 == 0) must(t.log->sync(kLatest));
  }
  CHECK(t.log->segments().size() > 20);
  const auto check = [&](Log& log) {
    REQUIRE(log.appended() == Seq(all.size()));
    int64_t time = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      Buffer storage;
      const RecordView record = must(log.read_record(all[i].location, storage));
      REQUIRE(record.header == all[i].header);
      REQUIRE(as_string(record) == payloads[i]);
      REQUIRE(record.header.seq == Seq(i + 1));
      REQUIRE(record.header.time_ns >= time);
      time = record.header.time_ns;
      REQUIRE(must(log.position_at(Seq(i + 1))) == record.header.position());
      const Seq found = must(log.seq_at_time(time));
      REQUIRE(found >= Seq(i + 1));
      REQUIRE(all[found.value() - 1].header.time_ns == time);
    }
    REQUIRE(must(log.seq_at_time(all.front().header.time_ns - 1)) == Seq());
    for (size_t from : {size_t{1}, size_t{77}, all.size()}) {
      for (size_t bytes_max : {size_t{1}, size_t{1000}, size_t{1} << 20}) {
        const auto records = read_all(log, Seq(from), bytes_max);
        REQUIRE(records.size() == all.size() - from + 1);
        for (size_t i = 0; i < records.size(); ++i) {
          REQUIRE(records[i].substr(kRecordHeaderSize, payloads[from - 1 + i].size()) == payloads[from - 1 + i]);
        }
      }
    }
    std::byte beyond[64];
    Location end = all.back().location;
    CHECK(log.read(end, all.back().header.size_in_log() - 8, beyond).code() == Code::kCorrupt);
    end.segment = 999'999;
    CHECK(log.read(end, 0, beyond).code() == Code::kNotFound);
  };
  check(*t.log);
  t.log.reset();
  t.log = must(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), Seq(all.size()), nullptr));
  check(*t.log);
  auto reader = must(Log::open_read_only(t.files, kDirectory, Seq(all.size())));
  check(*reader);
  auto part = must(Log::open_read_only(t.files, kDirectory, Seq(50)));
  CHECK(part->appended() == Seq(50));
  CHECK(read_all(*part, Seq(1)).size() == 50);
  CHECK(part->position_at(Seq(51)).status().code() == Code::kNotFound);
  CHECK(Log::open_read_only(t.files, kDirectory, Seq(all.size() + 1)).status().code() == Code::kCorrupt);
}

TEST_CASE("a batch that is larger than segments stays one unit") {
  TestLog t(quiet_options(4096));
  std::vector<RecordDraft> drafts;
  for (int i = 0; i < 60; ++i) drafts.push_back(numbered_draft(++t.count, 1000));
  drafts.push_back(numbered_draft(++t.count, kPayloadMax));
  const auto appended = must(t.log->append(drafts, Epoch(1)));
  CHECK(appended.back().header.seq == Seq(61));
  CHECK(t.log->segments().size() > 15);
  must(t.log->sync(kLatest));
  CHECK(t.log->durable() == Seq(61));
  CHECK(read_all(*t.log, Seq(1), 100).size() == 61);
}

TEST_CASE("the flag that proves durability is set exactly when it is true") {
  TestLog t;
  CHECK((t.add(1)[0].header.flags & kFlagAfterSync) != 0);
  CHECK((t.add(1)[0].header.flags & kFlagAfterSync) == 0);
  must(t.log->sync(Seq(1)));
  CHECK((t.add(1)[0].header.flags & kFlagAfterSync) != 0);
}

TEST_CASE("time and epoch never fall") {
  TestLog t;
  const int64_t first = t.add(1)[0].header.time_ns;
  t.clock.now -= 1'000'000'000;
  CHECK(t.add(1)[0].header.time_ns == first);
  const RecordDraft draft = numbered_draft(9, 10);
  (void)must(t.log->append({&draft, 1}, Epoch(5)));
  CHECK(t.log->append({&draft, 1}, Epoch(4)).status().code() == Code::kStaleEpoch);
  CHECK(t.log->append({&draft, 1}, Epoch(0)).status().code() == Code::kStaleEpoch);
  CHECK(t.log->health().ok());
  t.log.reset();
  t.log = must(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), Seq(3), nullptr));
  CHECK(t.log->append({&draft, 1}, Epoch(4)).status().code() == Code::kStaleEpoch);
  CHECK(must(t.log->append({&draft, 1}, Epoch(5)))[0].header.time_ns >= first);
}

TEST_CASE("a follower holds the same bytes, and may take over") {
  TestLog source;
  source.add(100, 300);
  TestLog target(quiet_options(5000));
  LogCursor cursor(*source.log, Seq(1));
  while (cursor.next() <= source.log->appended()) {
    const LogCursor::Run run = must(cursor.read(4000, kLatest));
    const auto locations = must(append_run(*target.log, run.bytes));
    CHECK(locations.size() == run.last.value() - run.first.value() + 1);
    if (cursor.next().value() % 3 == 0) must(target.log->sync(kLatest));
  }
  CHECK(target.log->tail_position() == source.log->tail_position());
  CHECK(read_all(*target.log, Seq(1)) == read_all(*source.log, Seq(1)));

  LogCursor again(*source.log, Seq(50));
  const LogCursor::Run old = must(again.read(4000, kLatest));
  CHECK(append_run(*target.log, old.bytes).status().code() == Code::kCorrupt);
  const VerifiedRun elsewhere = must(VerifiedRun::verify(old.bytes, must(source.log->position_at(old.first.prev()))));
  CHECK(target.log->append_verified(elsewhere).status().code() == Code::kInvalid);
  std::string damaged(as_text(old.bytes));
  CHECK(append_run(*target.log, as_bytes(damaged).first(30)).status().code() == Code::kCorrupt);
  CHECK(target.log->health().ok());

  // Takeover: records of its own, in a segment of their own; then a follower again.
  const RecordDraft draft = numbered_draft(1, 100);
  const auto own = must(target.log->append({&draft, 1}, Epoch(2)));
  CHECK(own[0].location == Location{101, kSegmentHeaderSize});
  CHECK((own[0].header.flags & kFlagAfterSync) != 0);
  must(source.log->sync(kLatest));
  LogCursor back(*target.log, Seq(101));
  must(append_run(*source.log, must(back.read(4000, kLatest)).bytes));
  CHECK(source.log->tail_position() == target.log->tail_position());
  target.log.reset();
  target.log = must(LogWriter::open(target.files, target.clock, kDirectory, quiet_options(), Seq(101), nullptr));
  CHECK(read_all(*target.log, Seq(1)) == read_all(*source.log, Seq(1)));
}

TEST_CASE("a cursor follows a log that grows") {
  TestLog t(quiet_options(4096));
  LogCursor cursor(*t.log, Seq(1));
  CHECK(must(cursor.position()) == Position());
  for (int round = 0; round < 50; ++round) {
    CHECK(must(cursor.read(1000, kLatest)).bytes.empty());
    t.add(static_cast<size_t>(round) % 5 + 1, 700);
    while (cursor.next() <= t.log->appended()) {
      const LogCursor::Run run = must(cursor.read(2000, kLatest));
      REQUIRE(run.last >= run.first);
      REQUIRE(must(cursor.position()) == must(t.log->position_at(run.last)));
    }
  }
  LogCursor ahead(*t.log, t.log->appended().next());
  CHECK(must(ahead.position()) == t.log->tail_position());
  t.add(1);
  CHECK(must(ahead.read(100, kLatest)).first == t.log->appended());
}

TEST_CASE("a failed sync poisons for good, and what it left in memory is not believed") {
  TestLog t;
  t.add(5);
  must(t.log->sync(kLatest));
  t.add(5, 2000);
  t.files.on_operation([](const auto& step) { return fail_on(Operation::kSync, step); });
  CHECK(t.log->sync(kLatest).code() == Code::kPoisoned);
  t.files.on_operation(nullptr);
  CHECK(t.log->sync(kLatest).code() == Code::kPoisoned);
  CHECK(t.log->durable() == Seq(5));
  const RecordDraft draft = numbered_draft(99, 10);
  CHECK(t.log->append({&draft, 1}, Epoch(1)).status().code() == Code::kPoisoned);
  CHECK(t.log->health().code() == Code::kPoisoned);
  CHECK_FALSE(t.log->wait_durable(Seq(5), std::chrono::milliseconds(10'000)));
  t.log.reset();

  // Opened anew in the same kernel: pages that the failed sync dropped look clean, and must be written once more.
  t.log = must(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), Seq(5), nullptr));
  const Seq seen = t.log->appended();
  CHECK(t.log->durable() == seen);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    auto after = t.files.after_crash(seed);
    auto log = must(LogWriter::open(*after, t.clock, kDirectory, quiet_options(), seen, nullptr));
    CHECK(log->appended() == seen);
    CHECK(read_all(*log, Seq(1)).size() == seen.value());
  }
}

TEST_CASE("a sync vouches for what was appended before it, and for nothing else") {
  TestLog t;
  t.add(3);
  bool late = false;
  t.files.on_operation([&](const auto& step) {
    if (step.operation == Operation::kSync && !late) {
      late = true;
      t.add(2);
    }
    return Status();
  });
  must(t.log->sync(kLatest));
  t.files.on_operation(nullptr);
  CHECK(t.log->appended() == Seq(5));
  CHECK(t.log->durable() == Seq(3));
  must(t.log->sync(kLatest));
  CHECK(t.log->durable() == Seq(5));
}

TEST_CASE("a failed write poisons, a full disk does not") {
  SECTION("write error") {
    TestLog t;
    t.add(3);
    t.files.on_operation([](const auto& step) { return fail_on(Operation::kWrite, step); });
    const RecordDraft draft = numbered_draft(99, 10);
    CHECK(t.log->append({&draft, 1}, Epoch(1)).status().code() == Code::kPoisoned);
    t.files.on_operation(nullptr);
    CHECK(t.log->append({&draft, 1}, Epoch(1)).status().code() == Code::kPoisoned);
    CHECK(t.log->appended() == Seq(3));
  }
  SECTION("no space from any write on of a batch over many segments") {
    for (uint64_t failing = 0; failing < 12; ++failing) {
      TestLog t(quiet_options(4096));
      t.add(3);
      must(t.log->sync(kLatest));
      const std::string before = t.files.content(segment_path(kDirectory, Seq(1)));
      std::vector<RecordDraft> drafts;
      for (uint64_t i = 0; i < 40; ++i) drafts.push_back(numbered_draft(100 + i, 1000));
      uint64_t writes = 0;
      t.files.on_operation([&](const auto& step) {
        const bool now =
            (step.operation == Operation::kWrite || step.operation == Operation::kCreate) && writes++ >= failing;
        return now ? errno_status(ENOSPC, "injected") : Status();
      });
      const auto appended = t.log->append(drafts, Epoch(1));
      REQUIRE(appended.status().code() == Code::kNoSpace);
      t.files.on_operation(nullptr);
      REQUIRE(t.log->health().ok());
      REQUIRE(t.log->appended() == Seq(3));
      REQUIRE(must(t.files.list(kDirectory)).size() == 1);
      REQUIRE(t.files.content(segment_path(kDirectory, Seq(1))) == before);
      // Not even a crash brings back what was refused.
      for (uint64_t seed = 0; seed < 40; ++seed) {
        auto crashed = t.files.after_crash(seed);
        REQUIRE(must(LogWriter::open(*crashed, t.clock, kDirectory, quiet_options(), Seq(), nullptr))->appended() == Seq(3));
      }
      (void)must(t.log->append(drafts, Epoch(1)));
      must(t.log->sync(kLatest));
      REQUIRE(read_all(*t.log, Seq(1)).size() == 43);
    }
  }
  SECTION("capacity and reserve") {
    LogOptions options = quiet_options(1 << 20);
    options.reserve_bytes = 50'000;
    TestLog t(options);
    t.files.set_capacity(200'000);
    uint64_t taken = 0;
    for (;; ++taken) {
      const RecordDraft draft = numbered_draft(++t.count, 1000);
      const auto appended = t.log->append({&draft, 1}, Epoch(1));
      if (appended.ok()) continue;
      CHECK(appended.status().code() == Code::kNoSpace);
      break;
    }
    CHECK(taken > 120);
    CHECK(taken < 145);
    must(t.log->sync(kLatest));
    t.files.set_capacity(UINT64_MAX);
    t.add(10);
    must(t.log->sync(kLatest));
    CHECK(t.log->appended() == Seq(taken + 10));
  }
}

TEST_CASE("small syncs write zeros ahead, and a clean close takes them away") {
  TestLog t(quiet_options(4u << 20));
  const std::string path = segment_path(kDirectory, Seq(1));
  for (int i = 0; i < 10; ++i) {
    t.add(1, 4000);
    must(t.log->sync(kLatest));
  }
  CHECK(t.files.content(path).size() > 900'000);
  auto killed = t.files.after_exit();
  RecoveryReport report;
  CHECK(must(LogWriter::open(*killed, t.clock, kDirectory, quiet_options(), Seq(10), &report))->appended() == Seq(10));
  CHECK(report.torn_bytes == 0);
  CHECK(report.text.empty());
  const uint64_t used = t.log->bytes();
  t.log.reset();
  CHECK(t.files.content(path).size() == used);
}

TEST_CASE("the timer makes durable without being asked, and segments do not stay unborn") {
  LogOptions options = quiet_options(4096);
  options.commit_interval = std::chrono::milliseconds(5);
  TestLog t(options);
  t.add(1);
  CHECK(t.log->wait_durable(Seq(), std::chrono::seconds(10)));
  t.add(100, 1000);
  for (Seq seen; seen < Seq(101); seen = t.log->durable()) REQUIRE(t.log->wait_durable(seen, std::chrono::seconds(10)));
  CHECK_FALSE(t.log->wait_durable(Seq(101), std::chrono::milliseconds(20)));
}

TEST_CASE("one sync serves all who wait") {
  TestLog t(quiet_options(1u << 20));
  std::atomic<uint64_t> syncs{0};
  t.files.on_operation([&](const auto& step) {
    if (step.operation == Operation::kSync) {
      ++syncs;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return Status();
  });
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (uint64_t n = 0; n < 16; ++n) {
    threads.emplace_back([&, n] {
      for (uint64_t i = 0; i < 10; ++i) {
        const RecordDraft draft = numbered_draft(n * 100 + i, 200);
        const auto appended = t.log->append({&draft, 1}, Epoch(1));
        if (!appended.ok() || !t.log->sync((*appended)[0].header.seq).ok()) ++failures;
        if (t.log->durable() < (*appended)[0].header.seq) ++failures;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(t.log->durable() == Seq(160));
  CHECK(syncs < 60);
}

TEST_CASE("appenders, syncers, readers and cursors at once") {
  LogOptions options = quiet_options(16384);
  options.commit_interval = std::chrono::milliseconds(1);
  TestLog t(options);
  std::atomic<bool> done{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (uint64_t n = 1; n <= 3; ++n) {
    threads.emplace_back([&, n] {
      std::mt19937_64 random(n);
      for (uint64_t i = 0; i < 400; ++i) {
        const std::string payload = numbered(n * 1000 + i, random() % 2000);
        std::vector<RecordDraft> drafts;
        drafts.push_back(make_draft(RecordType::kSetXattr, 1, Ino(n), payload));
        drafts.push_back(make_draft(RecordType::kSetXattr, 1, Ino(n), payload));
        const auto appended = t.log->append(drafts, Epoch(1));
        if (!appended.ok() || (*appended)[1].header.seq != (*appended)[0].header.seq.next()) {
          ++failures;
          return;
        }
        if (i % 8 == 0 && !t.log->sync((*appended)[1].header.seq).ok()) ++failures;
        Buffer storage;
        const auto record = t.log->read_record((*appended)[0].location, storage);
        if (!record.ok() || as_string(*record) != payload) ++failures;
        if (!t.log->position_at(Seq(random() % t.log->appended().value() + 1)).ok()) ++failures;
      }
    });
  }
  std::thread tailing([&] {
    LogCursor cursor(*t.log, Seq(1));
    Position position;
    while (!done || cursor.next() <= t.log->appended()) {
      const auto run = cursor.read(20'000, kLatest);
      if (!run.ok() || !walk_records(run->bytes, position, [](const RecordView&) { return Status(); }).ok()) {
        ++failures;
        return;
      }
    }
    if (position != t.log->tail_position()) ++failures;
  });
  for (auto& thread : threads) thread.join();
  done = true;
  tailing.join();
  CHECK(failures == 0);
  CHECK(t.log->appended() == Seq(2400));
}

}  // namespace tidemark::test
