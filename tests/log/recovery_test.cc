#include <cerrno>
#include <thread>

#include "log/read/cursor.h"
#include "log/repair/verify.h"
#include "log/write/durable_note.h"
#include "log/write/writer.h"
#include "tests/log/log_fixture.h"
#include "tests/support/rounds.h"

namespace tidemark::test {
namespace {

using Operation = FaultFileSystem::Operation;

std::string payload_of(const std::string& whole) {
  RecordHeader header;
  REQUIRE(decode_header(as_bytes(whole), header) == RecordFault::kNone);
  return whole.substr(kRecordHeaderSize, header.stored_length);
}

// What the program knows at the moment of a crash.
struct Known {
  std::vector<std::string> appended;   // payloads of records whose append returned
  std::vector<std::string> in_flight;  // of an append that had not returned
  Seq acknowledged;                    // durable, as sync() said
};

// One life of a log under a seed, with a crash at one operation; the crash is looked at by the caller.
class Story {
 public:
  Story(uint64_t seed, bool follower, bool lying) : random_(seed), seed_(seed), follower_(follower) {
    must(files_.make_directory(kDirectory));
    must(LogWriter::create(files_, kDirectory, test_group()));
    must(source_files_.make_directory(kDirectory));
    must(LogWriter::create(source_files_, kDirectory, test_group()));
    files_.ignore_syncs(lying);
  }

  void live(uint64_t crash_at) {
    const uint64_t start = files_.operations();
    files_.on_operation([&, start, crash_at](const FaultFileSystem::Step& step) {
      if (crashed_ == nullptr && step.number == start + crash_at) crash();
      if (opening_) return Status();
      const bool full = step.operation == Operation::kWrite && seed_ % 5 == 0 && random_() % 15 == 0;
      return full ? errno_status(ENOSPC, "injected") : Status();
    });
    source_ = must(LogWriter::open(source_files_, clock_, kDirectory, quiet_options(1u << 20), Seq(), nullptr));
    open();
    for (int i = 0; i < 60 && crashed_ == nullptr; ++i) step();
    if (crashed_ == nullptr) crash();
    files_.on_operation(nullptr);
    log_.reset();
  }

  FaultFileSystem& crashed() { return *crashed_; }
  std::unique_ptr<FaultFileSystem> take_crashed() { return std::move(crashed_); }
  const Known& known() const { return at_crash_; }
  LogOptions options() const { return quiet_options(4096 + static_cast<uint32_t>(seed_ % 4) * 4096); }
  TestClock& clock() { return clock_; }

 private:
  void crash() {
    crashed_ = files_.after_crash(seed_ * 31 + 7);
    at_crash_ = known_;
  }
  void open() {
    log_.reset();
    opening_ = true;
    log_ = must(LogWriter::open(files_, clock_, kDirectory, options(), known_.acknowledged, nullptr));
    opening_ = false;
    // After a poisoned life, what was never acknowledged may be gone.
    if (known_.appended.size() > log_->appended().value()) known_.appended.resize(log_->appended().value());
  }
  void step() {
    switch (random_() % 10) {
      case 0: return open();
      case 1:
      case 2:
      case 3: {
        const Seq all = log_->appended();
        if (log_->sync(all).ok()) known_.acknowledged = all;
        return;
      }
      default: return append();
    }
  }
  void append() {
    std::vector<RecordDraft> drafts;
    for (size_t i = random_() % 5 + 1; i > 0; --i) {
      known_.in_flight.push_back(numbered(++count_, random_() % 8 == 0 ? random_() % 9000 : random_() % 600));
      drafts.push_back(make_draft(RecordType::kSetXattr, 1, Ino(count_), known_.in_flight.back()));
    }
    bool done = false;
    if (follower_) {
      if (random_() % 3 == 0) must(source_->sync(kLatest));  // so that received records carry the flag
      (void)must(source_->append(drafts, Epoch(1)));
      done = ship();
    } else {
      done = log_->append(drafts, Epoch(1)).ok();
    }
    if (done) known_.appended.insert(known_.appended.end(), known_.in_flight.begin(), known_.in_flight.end());
    if (done || !follower_) known_.in_flight.clear();
  }
  bool ship() {
    LogCursor cursor(*source_, log_->appended().next());
    const LogCursor::Run run = must(cursor.read(size_t{1} << 20, kLatest));
    return append_run(*log_, run.bytes).ok();
  }

  std::mt19937_64 random_;
  const uint64_t seed_;
  const bool follower_;
  FaultFileSystem files_, source_files_;
  TestClock clock_;
  std::unique_ptr<LogWriter> log_, source_;
  uint64_t count_ = 0;
  bool opening_ = false;
  Known known_, at_crash_;
  std::unique_ptr<FaultFileSystem> crashed_;
};

// "" if the log holds everything acknowledged and nothing that was not appended, in order; else what is wrong.
std::string judge(FaultFileSystem& files, Story& story) {
  const Known& known = story.known();
  auto opened = LogWriter::open(files, story.clock(), kDirectory, story.options(), Seq(), nullptr);
  if (!opened.ok()) return "does not open: " + opened.status().text();
  LogWriter& log = **opened;
  if (log.appended() < known.acknowledged) {
    return "lost: holds " + std::to_string(log.appended().value()) + " of " + std::to_string(known.acknowledged.value());
  }
  if (!must(verify_log(files, kDirectory, log.appended(), nullptr)).damage.empty()) return "damage after recovery";
  const auto records = read_all(log, Seq(1));
  std::vector<std::string> possible = known.appended;
  possible.insert(possible.end(), known.in_flight.begin(), known.in_flight.end());
  if (records.size() > possible.size()) return "holds more than was appended";
  for (size_t i = 0; i < records.size(); ++i) {
    if (payload_of(records[i]) != possible[i]) return "another content at record " + std::to_string(i + 1);
  }
  // What came back is durable, and the log goes on.
  const RecordDraft draft = numbered_draft(77, 100);
  if (!log.append({&draft, 1}, Epoch(1)).ok() || !log.sync(kLatest).ok()) return "does not go on";
  const Seq all = log.appended();
  auto again = files.after_crash(all.value());
  auto reopened = LogWriter::open(*again, story.clock(), kDirectory, story.options(), all, nullptr);
  if (!reopened.ok()) return "does not open after another crash: " + reopened.status().text();
  if ((*reopened)->appended() != all) return "lost after another crash";
  const auto verdict = must(verify_log(*again, kDirectory, all, nullptr));
  return verdict.damage.empty() ? "" : "damage after recovery";
}

}  // namespace

TEST_CASE("power failures at random moments lose nothing that was acknowledged") {
  run_rounds("log, power failures", 1000, [](uint64_t seed) {
    Story story(seed, seed % 3 == 0, false);
    story.live(seed * 7919 % 200);
    const std::string verdict = judge(story.crashed(), story);
    REQUIRE(verdict == "");
  });
}

TEST_CASE("power failures during recovery lose nothing either") {
  run_rounds("log, power failures during recovery", 300, [](uint64_t seed) {
    Story story(seed, seed % 3 == 0, false);
    story.live(seed * 104729 % 150);
    auto files = story.take_crashed();
    for (uint64_t round = 0; round < 3; ++round) {
      std::unique_ptr<FaultFileSystem> next;
      const uint64_t at = files->operations() + (seed + round) % 6;
      files->on_operation([&](const auto& step) {
        if (step.number == at) next = files->after_crash(seed + round);
        return Status();
      });
      {
        const auto opened = LogWriter::open(*files, story.clock(), kDirectory, story.options(), Seq(), nullptr);
        INFO(opened.status().text());
        REQUIRE(opened.ok());
        files->on_operation(nullptr);
      }
      if (next == nullptr) break;
      files = std::move(next);
    }
    REQUIRE(judge(*files, story) == "");
  });
}

TEST_CASE("negative control: a disk that lies about syncs is found out") {
  int found = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Story story(seed, false, true);
    story.live(60 + seed);
    auto files = story.take_crashed();
    files->ignore_syncs(false);
    const std::string verdict = judge(*files, story);
    found += verdict.empty() ? 0 : 1;
  }
  CHECK(found > 20);
}

TEST_CASE("a killed process loses nothing that was appended") {
  for (size_t records : {size_t{3}, size_t{40}, size_t{200}}) {
    TestLog t(quiet_options(4096));
    t.add(records);
    auto killed = t.files.after_exit();
    RecoveryReport report;
    auto log = must(LogWriter::open(*killed, t.clock, kDirectory, quiet_options(4096), Seq(), &report));
    CHECK(log->appended() == Seq(records));
    CHECK(report.torn_bytes == 0);
    CHECK(report.unborn_segments == 0);
    CHECK(log->durable() == Seq(records));
    auto after = killed->after_crash(0);
    CHECK(must(LogWriter::open(*after, t.clock, kDirectory, quiet_options(4096), Seq(records), nullptr))->appended() ==
          Seq(records));
  }
}

TEST_CASE("power failures under threads") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    LogOptions options = quiet_options(8192);
    options.commit_interval = std::chrono::milliseconds(1);
    TestLog t(options);
    std::atomic<uint64_t> acknowledged{0};
    std::unique_ptr<FaultFileSystem> crashed;
    uint64_t acknowledged_then = 0;
    t.files.on_operation([&](const auto& step) {
      if (step.number != 20 + seed * 13) return Status();
      acknowledged_then = acknowledged;
      crashed = t.files.after_crash(seed);
      return Status();
    });
    std::vector<std::thread> threads;
    for (uint64_t n = 1; n <= 3; ++n) {
      threads.emplace_back([&, n] {
        for (uint64_t i = 0; i < 100; ++i) {
          const RecordDraft draft = numbered_draft(n * 1000 + i, n * 200);
          const auto appended = t.log->append({&draft, 1}, Epoch(1));
          if (!appended.ok()) return;
          const uint64_t seq = (*appended)[0].header.seq.value();
          if (i % 3 != 0 || !t.log->sync(Seq(seq)).ok()) continue;
          for (uint64_t was = acknowledged; was < seq && !acknowledged.compare_exchange_weak(was, seq);) {
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    t.files.on_operation(nullptr);
    if (crashed == nullptr) continue;
    auto log = must(LogWriter::open(*crashed, t.clock, kDirectory, options, Seq(acknowledged_then), nullptr));
    REQUIRE(log->appended() >= Seq(acknowledged_then));
    const auto survivors = read_all(*log, Seq(1));
    const auto all = read_all(*t.log, Seq(1));
    for (size_t i = 0; i < survivors.size(); ++i) REQUIRE(survivors[i] == all[i]);
  }
}

TEST_CASE("a torn tail is cut, once") {
  TestLog t;
  const auto all = t.add(10);
  must(t.log->sync(kLatest));
  const auto torn = t.add(1);
  auto files = t.files.after_exit();
  const std::string path = segment_path(kDirectory, Seq(1));
  files->flip_bit(path, torn[0].location.offset + 100, 1);
  RecoveryReport report;
  {
    auto log = must(LogWriter::open(*files, t.clock, kDirectory, quiet_options(), Seq(10), &report));
    CHECK(log->appended() == Seq(10));
    CHECK(report.torn_bytes == torn[0].header.size_in_log());
    CHECK(report.text.find("torn tail") != std::string::npos);
    CHECK(log->tail_position() == all[9].header.position());
  }
  CHECK(must(LogWriter::open(*files, t.clock, kDirectory, quiet_options(), Seq(10), &report))->appended() == Seq(10));
  CHECK(report.torn_bytes == 0);
}

TEST_CASE("damage that was durable is reported and never cut") {
  TestLog t(quiet_options(1u << 20));
  auto all = t.add(10);
  must(t.log->sync(kLatest));
  for (const Appended& each : t.add(10)) all.push_back(each);  // the first of them proves the ten before it
  auto files = t.files.after_exit();
  const std::string path = segment_path(kDirectory, Seq(1));
  const auto refused = [&](Seq known_durable, Seq expected, std::string_view fault) {
    const std::string before = files->content(path);
    const auto opened = LogWriter::open(*files, t.clock, kDirectory, quiet_options(), known_durable, nullptr);
    REQUIRE(opened.status().code() == Code::kCorrupt);
    INFO(opened.status().text());
    CHECK(opened.status().text().find(segment_name(Seq(1))) != std::string::npos);
    CHECK(opened.status().text().find("seq " + std::to_string(expected.value())) != std::string::npos);
    CHECK(opened.status().text().find(fault) != std::string::npos);
    CHECK(opened.status().text().find("byte " + std::to_string(all[expected.value() - 1].location.offset)) !=
          std::string::npos);
    CHECK(files->content(path) == before);
  };
  SECTION("by what a later record says") {
    files->overwrite(path, all[4].location.offset + 80, "rubbish");
    refused(Seq(), Seq(5), "payload damaged");
  }
  SECTION("a header") {
    files->overwrite(path, all[4].location.offset + 45, "rubbish");
    refused(Seq(), Seq(5), "header damaged");
  }
  SECTION("zeros in the middle") {
    files->overwrite(path, all[4].location.offset, std::string(200, '\0'));
    refused(Seq(), Seq(5), "header damaged");
  }
  SECTION("by what the caller knows: the index has what is in the record, so only the record is damaged") {
    files->overwrite(path, all[14].location.offset + 80, "rubbish");
    std::string damaged = files->content(path);
    damaged.resize(damaged.find_last_not_of('\0') + 1);
    RecoveryReport report;
    {
      auto log = must(LogWriter::open(*files, t.clock, kDirectory, quiet_options(), Seq(15), &report));
      CHECK(log->appended() == Seq(20));
      CHECK(log->sound() == Seq(14));
      CHECK(report.alarm);
      CHECK(report.text.find("record 15 is damaged") != std::string::npos);
      Buffer storage;
      CHECK(log->read_record(all[14].location, storage).status().code() == Code::kCorrupt);
      CHECK(log->read_record(all[15].location, storage).ok());
    }
    CHECK((files->content(path).substr(0, damaged.size()) == damaged));
    must(files->remove(kDirectory + "/durable"));
    CHECK(must(LogWriter::open(*files, t.clock, kDirectory, quiet_options(), Seq(14), &report))->appended() == Seq(14));
  }
  SECTION("missing altogether") {
    files->set_content(path, files->content(path).substr(0, all[10].location.offset));
    CHECK(LogWriter::open(*files, t.clock, kDirectory, quiet_options(), Seq(11), nullptr).status().code() == Code::kCorrupt);
  }
}

TEST_CASE("received records' flags prove nothing about this disk") {
  TestLog source(quiet_options(1u << 20));
  TestLog target(quiet_options(1u << 20));
  for (int i = 0; i < 10; ++i) {
    source.add(1);
    must(source.log->sync(kLatest));
  }
  LogCursor cursor(*source.log, Seq(1));
  const auto locations = must(append_run(*target.log, must(cursor.read(1 << 20, kLatest)).bytes));
  auto files = target.files.after_exit();
  files->flip_bit(segment_path(kDirectory, Seq(1)), locations[4].offset + 70, 0);
  CHECK(must(LogWriter::open(*files, target.clock, kDirectory, quiet_options(), Seq(4), nullptr))->appended() == Seq(4));
}

TEST_CASE("segments: missing, foreign, headerless") {
  TestLog t(quiet_options(4096));
  t.add(60);
  must(t.log->sync(kLatest));
  const auto segments = t.log->segments();
  REQUIRE(segments.size() > 5);
  t.log.reset();
  const auto open = [&](Seq known = Seq()) {
    return LogWriter::open(t.files, t.clock, kDirectory, quiet_options(4096), known, nullptr).status();
  };
  const std::string middle = segment_path(kDirectory, segments[2].first_seq);
  SECTION("missing in the middle") {
    must(t.files.remove(middle));
    CHECK(open().code() == Code::kCorrupt);
  }
  SECTION("missing at the start: damage, unless a floor says otherwise") {
    must(t.files.remove(segment_path(kDirectory, Seq(1))));
    CHECK(open().code() == Code::kCorrupt);
    CHECK_FALSE(must(verify_log(t.files, kDirectory, kLatest, nullptr)).damage.empty());
    Floor floor;
    floor.group = test_group();
    floor.base = {Epoch(1), segments[1].first_seq, 7};
    must(write_floor(t.files, kDirectory, floor));
    auto log = must(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(4096), Seq(60), nullptr));
    CHECK(log->first() == segments[1].first_seq);
    CHECK(read_all(*log, log->first()).size() == 60 - log->first().value() + 1);
    CHECK(must(log->position_at(log->first().prev())).seq == log->first().prev());
    CHECK(log->position_at(Seq(1)).status().code() == Code::kNotFound);
    LogCursor cursor(*log, Seq(1));
    CHECK(cursor.read(1000, kLatest).status().code() == Code::kNotFound);
    CHECK(must(verify_log(t.files, kDirectory, kLatest, nullptr)).damage.empty());
  }
  SECTION("cut short in the middle") {
    t.files.set_content(middle, t.files.content(middle).substr(0, 2000));
    CHECK(open().code() == Code::kCorrupt);
  }
  SECTION("a damaged header in the middle") {
    t.files.flip_bit(middle, 33, 0);
    CHECK(open().code() == Code::kCorrupt);
  }
  SECTION("a damaged header of the last segment heals") {
    t.files.flip_bit(segment_path(kDirectory, segments.back().first_seq), 33, 0);
    must(open(Seq(60)));
    must(open(Seq(60)));
  }
  SECTION("a foreign name") {
    t.files.set_content(kDirectory + "/old.seg", "x");
    CHECK(open().code() == Code::kCorrupt);
  }
  SECTION("a foreign group") {
    TestLog other(quiet_options(4096));
    SegmentHeader header;
    REQUIRE(decode_segment_header(as_bytes(t.files.content(middle)).first(64), header) == SegmentFault::kNone);
    header.group[0] = std::byte{99};
    t.files.overwrite(middle, 0, as_text(encode_segment_header(header)));
    CHECK(open().code() == Code::kCorrupt);
  }
  SECTION("an unborn one that follows nothing is removed") {
    t.files.set_content(segment_path(kDirectory, Seq(99)), std::string(5000, '\0'));
    RecoveryReport report;
    auto log = must(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(4096), Seq(60), &report));
    CHECK(report.unborn_segments == 1);
    CHECK(log->appended() == Seq(60));
    CHECK_FALSE(must(t.files.exists(segment_path(kDirectory, Seq(99)))));
  }
}

namespace {

// A copy of what a source has, in one segment, and where its records lie.
struct Copy {
  TestLog source{quiet_options(1u << 20)};
  TestLog target{quiet_options(1u << 20)};
  std::vector<Location> locations;

  explicit Copy(size_t records) {
    source.add(records);
    locations = must(append_run(*target.log, as_bytes(run(Seq(1)))));
    must(target.log->sync(kLatest));
  }
  std::string run(Seq from) {
    LogCursor cursor(*source.log, from);
    return std::string(as_text(must(cursor.read(1 << 20, kLatest)).bytes));
  }
  std::unique_ptr<LogWriter> open(FaultFileSystem& files, Seq indexed, RecoveryReport* report = nullptr) {
    return must(LogWriter::open(files, target.clock, kDirectory, quiet_options(1u << 20), indexed, report));
  }
};
const std::string kFirst = segment_path(kDirectory, Seq(1));

}  // namespace

TEST_CASE(
    "a received log ends before damage that cannot be stepped over, cuts nothing, and is whole once it is sent again") {
  Copy copy(10);
  copy.target.log.reset();  // notes that all ten are durable
  FaultFileSystem& files = copy.target.files;
  const std::string whole = files.content(kFirst);
  const bool header = GENERATE(false, true);
  // A payload the index lacks, and that is not content of a file: what is behind it cannot be applied.
  files.overwrite(kFirst, copy.locations[4].offset + (header ? 8 : 100), "rubbish");
  const std::string damaged = files.content(kFirst);
  RecoveryReport report;
  {
    auto log = copy.open(files, Seq(3), &report);
    CHECK(log->appended() == Seq(4));
    CHECK(log->durable() == Seq(4));
    CHECK(report.alarm);
    CHECK(report.text.find("records from 5 to 10") != std::string::npos);
  }
  CHECK((files.content(kFirst) == damaged));
  SECTION("all at once") {
    auto log = copy.open(files, Seq(3));
    must(append_run(*log, as_bytes(copy.run(Seq(5)))).status());
    must(log->sync(kLatest));
    CHECK(log->appended() == Seq(10));
  }
  SECTION("in pieces, with a power failure after each") {
    LogCursor cursor(*copy.source.log, Seq(5));
    for (uint64_t seed = 0; seed < 3; ++seed) {
      auto log = copy.open(files, Seq(3));
      if (log->appended() == Seq(10)) break;
      auto run = must(cursor.read(600, kLatest));
      must(append_run(*log, run.bytes).status());
      auto after = files.after_crash(seed);
      CHECK(copy.open(*after, Seq(3))->appended() >= Seq(4));
    }
    auto log = copy.open(files, Seq(3));
    CHECK(log->appended() == Seq(10));  // what was behind the damage is there again as soon as that is gone
  }
  CHECK((files.content(kFirst) == whole));
}

TEST_CASE("a received record that was durable and is damaged stays, and is put back when it is sent again") {
  Copy copy(10);
  copy.target.log.reset();
  FaultFileSystem& files = copy.target.files;
  const std::string whole = files.content(kFirst);
  files.overwrite(kFirst, copy.locations[4].offset + 100, "rubbish");
  files.overwrite(kFirst, copy.locations[9].offset + 100, "rubbish");
  auto log = copy.open(files, Seq(10));
  CHECK(log->appended() == Seq(10));
  CHECK(log->sound() == Seq(4));
  must(put_back_run(*log, as_bytes(copy.run(Seq(5))).first(copy.locations[6].offset - copy.locations[4].offset)));
  CHECK(log->sound() == Seq(9));
  TestLog other(quiet_options(1u << 20));
  other.add(3, 100);
  LogCursor cursor(*other.log, Seq(1));
  CHECK(put_back_run(*log, must(cursor.read(1 << 20, kLatest)).bytes).code() == Code::kDiverged);
  must(put_back_run(*log, as_bytes(copy.run(Seq(5)))));
  CHECK(log->sound() == Seq(10));
  log.reset();
  CHECK((files.content(kFirst) == whole));
}

TEST_CASE("one flipped bit in what was durable is put right where nothing else would do") {
  TestLog t(quiet_options(1u << 20));
  const auto all = t.add(10);
  must(t.log->sync(kLatest));
  t.add(10);  // the first of them proves the ten before it
  auto files = t.files.after_exit();
  const std::string whole = files->content(kFirst);
  std::mt19937_64 random(7);
  for (int round = 0; round < 40; ++round) {
    const Appended& victim = all[random() % 10];
    auto damaged = files->after_exit();
    damaged->flip_bit(kFirst, victim.location.offset + random() % victim.header.size_in_log(),
                      static_cast<unsigned>(random() % 8));
    INFO("record " << victim.header.seq.value());
    RecoveryReport report;
    auto log = must(LogWriter::open(*damaged, t.clock, kDirectory, quiet_options(), Seq(), &report));
    CHECK(log->appended() == Seq(20));
    log.reset();
    const std::string mended = damaged->content(kFirst);                   // without the zeros that were written ahead
    if (!report.alarm) CHECK((mended == whole.substr(0, mended.size())));  // else it is in the padding
  }
}

TEST_CASE("what is noted of a received log: damage at or before it is no torn tail, whatever follows") {
  Copy copy(10);
  copy.target.log.reset();
  FaultFileSystem& files = copy.target.files;
  SECTION("the newest record") {
    files.overwrite(kFirst, copy.locations[9].offset + 100, "rubbish");
    CHECK(copy.open(files, Seq())->appended() == Seq(9));
    CHECK(copy.open(files, Seq(10))->appended() == Seq(10));
  }
  SECTION("records that are gone") {
    files.set_content(kFirst, files.content(kFirst).substr(0, copy.locations[7].offset));
    RecoveryReport report;
    CHECK(copy.open(files, Seq(), &report)->appended() == Seq(7));
    CHECK(report.alarm);
  }
  SECTION("a damaged note is none, one of its slots is enough") {
    files.overwrite(kDirectory + "/durable", 20, "rubbish");
    files.overwrite(kFirst, copy.locations[9].offset + 100, "rubbish");
    RecoveryReport report;
    CHECK(copy.open(files, Seq(), &report)->appended() == Seq(9));
    CHECK_FALSE(report.alarm);
    CHECK(report.torn_bytes > 0);
  }
}

TEST_CASE("behind the note, as long as the machine was not started anew: what has a sound record behind it is not torn") {
  FaultFileSystem* files = nullptr;
  const bool rebooted = GENERATE(false, true);
  const bool header = GENERATE(false, true);
  Copy copy(10);
  files = &copy.target.files;
  files->set_content("/proc/sys/kernel/random/boot_id", "one");
  copy.target.log.reset();
  copy.target.log = copy.open(*files, Seq());  // knows the boot
  copy.source.add(5);
  const auto more = must(append_run(*copy.target.log, as_bytes(copy.run(Seq(11)))));
  must(copy.target.log->sync(kLatest));
  copy.target.log.reset();
  // The note of an earlier moment, with the boot of this one.
  DurableNote note(*files, kDirectory, test_group());
  must(note.write(must(copy.source.log->position_at(Seq(10))), Seq()));
  if (rebooted) files->set_content("/proc/sys/kernel/random/boot_id", "two");
  auto killed = files->after_exit();
  for (uint64_t slot : {uint64_t{0}, uint64_t{4096}}) {  // only the older note is left
    const std::string held = killed->content(kDirectory + "/durable").substr(slot, 72);
    if (load_le<uint64_t>(as_bytes(held).data() + 40) != 10)
      killed->overwrite(kDirectory + "/durable", slot, std::string(72, '\0'));
  }
  killed->overwrite(kFirst, more[1].offset + (header ? 8 : 100), "rubbish");
  RecoveryReport report;
  auto log = copy.open(*killed, Seq(10), &report);
  CHECK(log->appended() == Seq(11));
  CHECK(report.alarm == !rebooted);
  CHECK((report.torn_bytes > 0) == rebooted);
}

}  // namespace tidemark::test
