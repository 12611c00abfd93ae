// Segments of which most is needed, on a disk that has not the room to copy one: they stay where they are, and the rest of them goes.
#include <iostream>
#include <thread>

#include "log/read/cursor.h"
#include "log/repair/verify.h"
#include "log/write/adopt.h"
#include "log/write/writer.h"
#include "tests/log/copy_source.h"

namespace tidemark::test {
namespace {

constexpr uint32_t kSegment = 65'536;
constexpr uint64_t kRoom = 24 << 10;  // far less than one
constexpr uint64_t kNewest = 700;
const Seq kBase(660);
const Seq kLaterBase(690);

using Needed = std::function<bool(Seq)>;
bool most(Seq seq) { return seq.value() / 8 % 5 != 4; }  // four fifths, in runs
bool fewer(Seq seq) { return most(seq) && seq.value() / 8 % 5 >= 2; }
bool few(Seq seq) { return most(seq) && seq.value() / 8 % 10 == 2; }
bool none(Seq) { return false; }

RetireOrder order(Seq base, const Content& content, const Needed& wanted) {
  RetireOrder made;
  made.base = base;
  made.live = [&content, wanted](uint64_t from, uint64_t end) -> Result<LiveWindow> {
    LiveWindow window;
    for (const auto& [seq, written] : content) {
      if (wanted(seq) && written.location.segment >= from && written.location.segment < end)
        window.offsets[written.location.segment].push_back(written.location.offset);
    }
    return window;
  };
  return made;
}

Status look(Log& log, const Content& content, const Needed& wanted) {
  for (const auto& [seq, written] : content) {
    if (seq < log.first() && !wanted(seq)) continue;
    Buffer storage;
    auto record = log.read_record(written.location, storage);
    if (!record.ok()) return record.status();
    if (as_text(record->whole) != written.whole)
      return Status(Code::kCorrupt, "record " + std::to_string(seq.value()) + " differs");
  }
  const auto all = read_all(log, log.first());
  if (all.size() != kNewest - log.first().value() + 1) return Status(Code::kCorrupt, "records are missing");
  return Status();
}

size_t adopted_in(const Floor& floor) {
  return static_cast<size_t>(
      std::count_if(floor.packs.begin(), floor.packs.end(), [](const PackInfo& pack) { return pack.adopted != 0; }));
}

std::string left_over(FaultFileSystem& files, Log& log) {
  size_t packs = 0;
  const Floor floor = log.floor();
  for (const std::string& name : must(files.list(kDirectory))) {
    packs += is_pack_name(name);
    if (auto first = segment_first_seq(name); first && *first < log.first() && !adopts(floor, *first)) return name;
  }
  return packs == floor.packs.size() ? "" : "packs";
}

struct FullLog : TestLog {
  Content content;
  explicit FullLog(const LogOptions& options = quiet_options(kSegment)) : TestLog(options) {
    note(*log, add(kNewest), content);
    must(log->sync(kLatest));
    leave(kRoom);
  }
  void leave(uint64_t bytes) {
    files.set_capacity(UINT64_MAX);
    if (bytes != UINT64_MAX) files.set_capacity(files.taken() + bytes);
  }
  void reopen() {
    log.reset();
    log = must(LogWriter::open(files, clock, kDirectory, quiet_options(kSegment), Seq(), nullptr));
  }
  size_t damage() { return must(verify_log(files, kDirectory, Seq(kNewest), nullptr)).damage.size(); }
};

}  // namespace

TEST_CASE("adopt: a disk that is full of what is mostly needed is pruned, and what is not needed goes") {
  FullLog t;
  const uint64_t before = t.files.taken();
  const RetireReport report = must(t.log->retire(order(kBase, t.content, most)));
  CHECK(report.adopted > 0);
  CHECK(t.files.taken() + 16'000 < before);  // though tables have come
  const Floor floor = t.log->floor();
  CHECK(floor.base.seq == kBase);
  CHECK(floor.held_from == Seq());
  CHECK(adopted_in(floor) == report.adopted);
  CHECK(left_over(t.files, *t.log) == "");
  must(look(*t.log, t.content, most));
  CHECK(t.damage() == 0);
  must(look(*must(Log::open_read_only(t.files, kDirectory, Seq(kNewest))), t.content, most));
  const uint64_t taken = t.files.taken();
  t.reopen();
  CHECK(t.log->floor() == floor);
  CHECK(t.files.taken() <= taken + 8192);  // the note
  must(look(*t.log, t.content, most));
  CHECK(left_over(t.files, *t.log) == "");
  // Without the floor's word it is read as well, as far as it goes.
  must(must(Log::open_damaged(t.files, kDirectory, t.log->tail_position()))->position_at(Seq(kNewest)).status());

  SECTION("less of them is needed: more of them goes, in place") {
    t.leave(kRoom);
    const uint64_t now = t.files.taken();
    must(t.log->retire(order(kLaterBase, t.content, fewer)));
    CHECK(adopted_in(t.log->floor()) > 0);
    CHECK(t.files.taken() + 10'000 < now);
    must(look(*t.log, t.content, fewer));
  }
  SECTION("little of them is needed, and there is room: packs take their place") {
    t.leave(UINT64_MAX);
    must(t.log->retire(order(kLaterBase, t.content, few)));
    CHECK(adopted_in(t.log->floor()) == 0);
    must(look(*t.log, t.content, few));
  }
  SECTION("nothing of them is needed, and there is no room") {
    t.leave(16 << 10);
    must(t.log->retire(order(kLaterBase, t.content, none)));
    CHECK(t.log->floor().packs.empty());
    must(look(*t.log, t.content, none));
  }
  CHECK(left_over(t.files, *t.log) == "");
  CHECK(t.damage() == 0);
  t.reopen();
  CHECK(t.log->floor().base.seq == (t.log->floor().base.seq == kBase ? kBase : kLaterBase));
  CHECK(left_over(t.files, *t.log) == "");
}

TEST_CASE("adopt: where files have no holes it is said that there is no room, and all is as it was") {
  FullLog t;
  t.files.refuse_holes();
  const Floor before = t.log->floor();
  const auto retired = t.log->retire(order(kBase, t.content, most));
  INFO(retired.status().text());
  CHECK(retired.status().code() == Code::kNoSpace);
  CHECK(t.log->floor() == before);
  CHECK(left_over(t.files, *t.log) == "");
  must(look(*t.log, t.content, [](Seq) { return true; }));
  t.leave(UINT64_MAX);
  must(t.log->retire(order(kBase, t.content, most)));
  CHECK(adopted_in(t.log->floor()) == 0);
  must(look(*t.log, t.content, most));
}

TEST_CASE("adopt: holes that could not be made are made at the next opening") {
  FullLog t;
  size_t refused = 0;
  t.files.on_operation([&](const FaultFileSystem::Step& step) {
    if (step.operation != FaultFileSystem::Operation::kPunch || t.log->base() != kBase) return Status();
    ++refused;
    return Status(Code::kIo, "input/output error", EIO);
  });
  // The first step frees nothing then, and a later one may find no room.
  const auto retired = t.log->retire(order(kBase, t.content, most));
  t.files.on_operation(nullptr);
  INFO(retired.status().text());
  REQUIRE(refused > 0);
  REQUIRE(adopted_in(t.log->floor()) > 0);
  must(look(*t.log, t.content, most));
  const uint64_t taken = t.files.taken();
  t.reopen();
  CHECK(t.files.taken() + 4096 < taken);
  must(look(*t.log, t.content, most));
  CHECK(t.damage() == 0);
}

TEST_CASE("adopt: power failures at every operation of every step lose nothing that is needed") {
  FullLog t;
  std::vector<std::unique_ptr<FaultFileSystem>> crashes;
  t.files.on_operation([&](const FaultFileSystem::Step& step) {
    for (uint64_t seed = 0; seed < 4; ++seed) crashes.push_back(t.files.after_crash(step.number * 4 + seed));
    return Status();
  });
  must(t.log->retire(order(kBase, t.content, most)));
  t.files.on_operation(nullptr);
  int between = 0;
  int adopted = 0;
  for (auto& disk : crashes) {
    disk->set_capacity(disk->taken() + kRoom);
    auto log = must(LogWriter::open(*disk, t.clock, kDirectory, quiet_options(kSegment), Seq(), nullptr));
    must(look(*log, t.content, most));
    REQUIRE(left_over(*disk, *log) == "");
    REQUIRE(must(verify_log(*disk, kDirectory, Seq(kNewest), nullptr)).damage.empty());
    const bool half = log->floor().held_from != Seq();
    between += half;
    adopted += adopted_in(log->floor()) != 0;
    if (half || log->floor().base.seq != kBase) must(log->retire(order(kBase, t.content, most)));
    REQUIRE(log->floor().held_from == Seq());
    must(look(*log, t.content, most));
    REQUIRE(left_over(*disk, *log) == "");
  }
  std::cout << crashes.size() << " power failures, " << between << " of them between two steps, " << adopted
            << " with an adopted segment\n";
  CHECK(between > 20);
  CHECK(adopted > 20);
}

TEST_CASE("adopt: the next prune of adopted segments may be interrupted anywhere") {
  FullLog t;
  must(t.log->retire(order(kBase, t.content, most)));
  REQUIRE(adopted_in(t.log->floor()) > 0);
  const auto [later, room] =
      GENERATE(std::pair<Needed, uint64_t>(fewer, kRoom), std::pair<Needed, uint64_t>(few, UINT64_MAX),
               std::pair<Needed, uint64_t>(none, kRoom));
  t.leave(room);
  std::vector<std::unique_ptr<FaultFileSystem>> crashes;
  t.files.on_operation([&](const FaultFileSystem::Step& step) {
    for (uint64_t seed = 0; seed < 2; ++seed) crashes.push_back(t.files.after_crash(step.number * 2 + seed));
    return Status();
  });
  must(t.log->retire(order(kLaterBase, t.content, later)));
  t.files.on_operation(nullptr);
  for (auto& disk : crashes) {
    auto log = must(LogWriter::open(*disk, t.clock, kDirectory, quiet_options(kSegment), Seq(), nullptr));
    must(look(*log, t.content, log->base() == kBase ? Needed(most) : later));
    REQUIRE(left_over(*disk, *log) == "");
    REQUIRE(must(verify_log(*disk, kDirectory, Seq(kNewest), nullptr)).damage.empty());
    if (log->base() == kBase || log->floor().held_from != Seq()) must(log->retire(order(kLaterBase, t.content, later)));
    must(look(*log, t.content, later));
    REQUIRE(left_over(*disk, *log) == "");
  }
}

TEST_CASE("adopt: who reads meanwhile reads what was written, or hears that it is gone") {
  FullLog t;
  auto other = must(Log::open_read_only(t.files, kDirectory, Seq(kNewest)));
  std::atomic<bool> done{false};
  std::atomic<uint64_t> reads{0};
  std::string wrong;
  Mutex mutex;
  const auto tell = [&](const std::string& what) {
    MutexLock lock(mutex);
    if (wrong.empty()) wrong = what;
  };
  const auto read_at_random = [&](Log& log, uint64_t seed) {
    std::mt19937_64 random(seed);
    Buffer storage;
    while (!done) {
      const auto& [seq, written] = *t.content.find(Seq(1 + random() % kNewest));
      auto record = log.read_record(written.location, storage);
      ++reads;
      const std::string what = "record " + std::to_string(seq.value()) + ": " + record.status().text();
      if (record.ok() && as_text(record->whole) != written.whole) tell(what + "differs");
      const Code code = record.status().code();
      if (!record.ok() && ((code != Code::kNoSuchPoint && code != Code::kNotFound) || most(seq))) tell(what);
    }
  };
  const auto walk = [&](Log& log) {
    while (!done) {
      LogCursor cursor(log, log.first());
      for (;;) {
        auto run = cursor.read(20'000, Seq(kNewest));
        if (!run.ok() && run.status().code() != Code::kNotFound && run.status().code() != Code::kNoSuchPoint)
          tell(run.status().text());
        if (!run.ok() || run->bytes.empty()) break;
      }
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { read_at_random(*t.log, 1); });
  threads.emplace_back([&] { read_at_random(*other, 2); });
  threads.emplace_back([&] { walk(*t.log); });
  threads.emplace_back([&] { walk(*other); });
  while (reads < 500) std::this_thread::yield();
  const auto retired = t.log->retire(order(kBase, t.content, most));
  const uint64_t so_far = reads;
  while (reads < so_far + 2000) std::this_thread::yield();
  done = true;
  for (std::thread& thread : threads) thread.join();
  must(retired.status());
  CHECK(retired->adopted > 0);
  CHECK(wrong == "");
}

TEST_CASE("adopt: a flipped bit anywhere in the floor, in a table or in what is needed is noticed") {
  FullLog t;
  must(t.log->retire(order(kBase, t.content, most)));
  const Floor floor = t.log->floor();
  t.log.reset();
  REQUIRE(t.damage() == 0);
  const auto flipped = [&](const std::string& path, uint64_t byte) {
    const auto bit = static_cast<unsigned>(byte % 8);
    t.files.flip_bit(path, byte, bit);
    const auto verdict = verify_log(t.files, kDirectory, Seq(kNewest), nullptr);
    t.files.flip_bit(path, byte, bit);
    INFO(path << " byte " << byte);
    REQUIRE((!verdict.ok() || !verdict->damage.empty()));
  };
  for (uint64_t byte = 0; byte < t.files.content(floor_path(kDirectory)).size(); byte += 7)
    flipped(floor_path(kDirectory), byte);
  for (const PackInfo& pack : floor.packs) {
    if (pack.adopted == 0) continue;
    const std::string table = pack_path(kDirectory, pack);
    for (uint64_t byte = 0; byte < t.files.content(table).size(); byte += 13) flipped(table, byte);
    const auto open = must(Pack::open(t.files, kDirectory, pack, test_group()));
    must(open->entries([&](const PackEntry& entry) {
      flipped(records_path(kDirectory, pack), entry.at + entry.location.offset % entry.size);
      return Status();
    }));
  }
}

TEST_CASE("adopt: what is damaged of the floor's word, of a table or of a record is put right from another copy") {
  FullLog t;
  Copy whole(t.files);
  must(t.log->retire(order(kBase, t.content, most)));
  Copy pruned(t.files);
  const Floor floor = t.log->floor();
  t.log.reset();
  const auto sound = contents(t.files);
  std::mt19937_64 random(Catch::rngSeed());
  std::cout << "seed " << Catch::rngSeed() << "\n";
  for (const PackInfo& pack : floor.packs) {
    if (pack.adopted == 0) continue;
    std::vector<PackEntry> entries;
    must(must(Pack::open(t.files, kDirectory, pack, test_group()))->entries([&](const PackEntry& entry) {
      entries.push_back(entry);
      return Status();
    }));
    for (int round = 0; round < 100; ++round) {
      const PackEntry& entry = entries[random() % entries.size()];
      const std::string table = pack_path(kDirectory, pack);
      const bool record = round % 4 != 0;
      const std::string path = record ? records_path(kDirectory, pack) : table;
      const uint64_t byte = record ? entry.at + random() % entry.size : random() % t.files.content(table).size();
      t.files.flip_bit(path, byte, static_cast<unsigned>(random() % 8));
      INFO(path << " byte " << byte);
      REQUIRE(t.damage() > 0);
      const Outcome outcome = mend(t.files, random() % 2 == 0 ? whole : pruned);
      REQUIRE(outcome.mended == 1);
      REQUIRE(outcome.left == 0);
      REQUIRE(contents(t.files) == sound);
    }
  }
}

TEST_CASE("adopt: a segment that is missing stops the open, and nothing is tidied away") {
  FullLog t;
  must(t.log->retire(order(kBase, t.content, most)));
  const Floor floor = t.log->floor();
  const auto pack =
      std::find_if(floor.packs.begin(), floor.packs.end(), [](const PackInfo& each) { return each.adopted != 0; });
  REQUIRE(pack != floor.packs.end());
  t.log.reset();
  const auto names = must(t.files.list(kDirectory));
  must(t.files.remove(records_path(kDirectory, *pack)));
  const auto opened = LogWriter::open(t.files, t.clock, kDirectory, quiet_options(kSegment), Seq(), nullptr);
  CHECK(opened.status().code() == Code::kCorrupt);
  CHECK(opened.status().text().find(segment_name(pack->first)) != std::string::npos);
  CHECK(must(t.files.list(kDirectory)).size() + 1 == names.size());
  CHECK(t.damage() > 0);
}

TEST_CASE("adopt: a program that knows no adopted segments does not take the floor for its own") {
  FullLog t;
  must(t.log->retire(order(kBase, t.content, most)));
  const std::string floor = t.files.content(floor_path(kDirectory));
  CHECK(load_le<uint16_t>(as_bytes(floor).data() + 8) == 3);
  for (const PackInfo& pack : t.log->floor().packs) {
    const std::string content = t.files.content(pack_path(kDirectory, pack));
    CHECK(load_le<uint16_t>(as_bytes(content).data() + 8) == (pack.adopted != 0 ? 3 : 2));
  }
  // Once there are none any more, it may.
  t.leave(UINT64_MAX);
  must(t.log->retire(order(kLaterBase, t.content, none)));
  const std::string later = t.files.content(floor_path(kDirectory));
  CHECK(load_le<uint16_t>(as_bytes(later).data() + 8) == 1);
}

TEST_CASE("adopt: a segment in a pool stays there") {
  LogOptions options = quiet_options(kSegment);
  options.own_bytes_max = 1;
  options.pool = {{"/pool", 0}};
  options.pool_owner = group_id_text(test_group());
  TestLog t(quiet_options(kSegment));
  must(t.files.make_directory("/pool"));
  t.log.reset();
  t.log = must(LogWriter::open(t.files, t.clock, kDirectory, options, Seq(), nullptr));
  Content content;
  note(*t.log, t.add(kNewest), content);
  must(t.log->sync(kLatest));
  t.files.set_capacity(t.files.taken() + kRoom);
  const size_t before = must(t.files.list("/pool")).size();
  must(t.log->retire(order(kBase, content, most)));
  CHECK(adopted_in(t.log->floor()) > 0);
  must(look(*t.log, content, most));
  t.log.reset();
  t.log = must(LogWriter::open(t.files, t.clock, kDirectory, options, Seq(), nullptr));
  must(look(*t.log, content, most));
  t.files.set_capacity(UINT64_MAX);
  must(t.log->retire(order(kLaterBase, content, none)));
  CHECK(must(t.files.list("/pool")).size() < before / 2);
  must(look(*t.log, content, none));
}

}  // namespace tidemark::test
