// Letting old segments go: packs, the floor, and what every interruption leaves.
#include <iostream>
#include <set>

#include "log/format/pack.h"
#include "log/read/cursor.h"
#include "log/repair/verify.h"
#include "log/write/likeliest.h"
#include "log/write/writer.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

// ok where everything a log must have is there: all needed records at their old addresses, and the order from first() on.
Status look(Log& log, const Content& content, Seq newest) {
  for (const auto& [seq, written] : content) {
    if (seq > newest || (seq < log.first() && !needed(seq))) continue;
    Buffer storage;
    auto record = log.read_record(written.location, storage);
    if (!record.ok()) return record.status();
    if (as_text(record->whole) != written.whole)
      return Status(Code::kCorrupt, "record " + std::to_string(seq.value()) + " differs");
  }
  const auto all = read_all(log, log.first());
  if (all.size() != newest.value() - log.first().value() + 1) return Status(Code::kCorrupt, "records are missing");
  return Status();
}

std::string path_of(const std::string& name) { return kDirectory + "/" + name; }

}  // namespace

TEST_CASE("retire: needed records keep their address, the order goes on, everything else is gone") {
  TestLog t;
  Content content;
  note(*t.log, t.add(200), content);
  must(t.log->sync(kLatest));
  const uint64_t before = t.log->bytes();
  const Position position = must(t.log->position_at(Seq(120)));
  const RetireReport report = must(t.log->retire(order_to(Seq(120), content)));
  CHECK(report.segments > 3);
  CHECK(t.log->bytes() + report.segment_bytes == before);
  CHECK(t.log->floor().base == position);
  CHECK(t.log->first() <= Seq(120));
  CHECK(t.log->first() > Seq(100));
  CHECK(must(t.log->position_at(Seq(120))) == position);
  CHECK(t.log->position_at(Seq(20)).status().code() == Code::kNotFound);
  CHECK(LogCursor(*t.log, Seq(20)).read(1000, kLatest).status().code() == Code::kNotFound);
  must(look(*t.log, content, Seq(200)));
  Buffer storage;
  CHECK(t.log->read_record(content[Seq(20)].location, storage).status().code() == Code::kNotFound);
  for (const std::string& name : must(t.files.list(kDirectory))) {
    if (auto first = segment_first_seq(name)) CHECK(*first >= t.log->first());
  }

  SECTION("opened again, appended to, and once more") {
    t.log.reset();
    t.log = must(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), Seq(), nullptr));
    CHECK(t.log->floor().base == position);
    must(look(*t.log, content, Seq(200)));
    note(*t.log, t.add(200), content);
    must(t.log->sync(kLatest));
    for (const uint64_t base : {130u, 190u, 191u, 300u, 399u}) {
      must(t.log->retire(order_to(Seq(base), content)));
      must(look(*t.log, content, Seq(400)));
    }
    CHECK(t.log->retire(order_to(Seq(399), content)).status().code() == Code::kInvalid);
    CHECK(t.log->retire(order_to(Seq(401), content)).status().code() == Code::kInvalid);
    // Small neighbours became one: a pack is about as long as a segment.
    CHECK(t.log->floor().packs.size() < 20);
  }
  SECTION("a reader of another process") {
    auto reader = must(Log::open_read_only(t.files, kDirectory, Seq(200)));
    must(look(*reader, content, Seq(200)));
    must(t.log->retire(order_to(Seq(195), content)));
    // Needed records moved on; the others are gone, and it says why.
    for (const auto& [seq, written] : content) {
      auto read = reader->read_record(written.location, storage);
      if (needed(seq) || seq >= t.log->first()) {
        INFO(read.status().text());
        REQUIRE(read.ok());
      } else if (!read.ok()) {
        CHECK((read.status().code() == Code::kNoSuchPoint || seq < Seq(120)));
      }
    }
  }
  SECTION("half of a pack is needed no more") {
    note(*t.log, t.add(100), content);
    must(t.log->sync(kLatest));
    const uint64_t packed = t.log->pack_bytes();
    Content fewer = content;
    std::erase_if(fewer, [](const auto& each) { return each.first < Seq(100); });
    must(t.log->retire(order_to(Seq(200), fewer)));
    must(look(*t.log, fewer, Seq(300)));
    CHECK(t.log->pack_bytes() < packed + 30 * 600);
    CHECK(t.log->read_record(content[Seq(30)].location, storage).status().code() == Code::kNotFound);
  }
}

TEST_CASE("of the positions of copies both ends of each range are kept, in even shares") {
  using Ranges = std::vector<std::pair<Seq, Seq>>;
  const auto range = [](uint64_t first, uint64_t last) { return std::pair(Seq(first), Seq(last)); };
  CHECK(likeliest_positions({}, 10).empty());
  CHECK(likeliest_positions({range(3, 2)}, 10).empty());
  CHECK(likeliest_positions({range(1, 10)}, 10) == Ranges{range(1, 10)});
  CHECK(likeliest_positions({range(1, 11)}, 10) == Ranges{range(1, 5), range(7, 11)});
  CHECK(likeliest_positions({range(1, 11)}, 3) == Ranges{range(1, 2), range(11, 11)});
  // One that has not moved needs no share: the other gets it.
  CHECK(likeliest_positions({range(100, 999), range(5, 5)}, 11) == Ranges{range(5, 5), range(100, 104), range(995, 999)});
  CHECK(likeliest_positions({range(1, 100), range(1, 100)}, 4) ==
        Ranges{range(1, 1), range(100, 100), range(1, 1), range(100, 100)});
  CHECK(likeliest_positions({range(1, 100), range(1, 100)}, 1) == Ranges{range(1, 1)});
}

TEST_CASE("retire: a copy may end at the far side of a gap, where no record is held") {
  TestLog t;
  Content content;
  note(*t.log, t.add(20), content);
  must(t.log->sync(kLatest));
  const Position before = t.log->tail_position();
  const Position behind{Epoch(1), Seq(90), 0x1234};
  must(t.log->cross({behind, t.clock.wall_ns(), {}, true}));
  // What comes behind a gap is a copy's: records that another log made.
  TestLog source;
  must(source.log->cross({behind, source.clock.wall_ns(), {}, true}));
  const auto receive = [&](size_t records) {
    const Seq from = source.log->appended().next();
    source.add(records);
    must(source.log->sync(kLatest));
    LogCursor cursor(*source.log, from);
    while (t.log->appended() < source.log->appended()) must(append_run(*t.log, must(cursor.read(1u << 20, kLatest)).bytes));
    must(t.log->sync(kLatest));
  };
  for (const uint64_t base : {150u, 190u}) {
    receive(50);
    RetireOrder order = order_to(Seq(std::min(base, t.log->appended().value())), content);
    order.copy_ends = {{before.seq, behind.seq}};
    must(t.log->retire(order));
    REQUIRE(t.log->first() > behind.seq);
    CHECK(must(t.log->position_at(behind.seq)) == behind);
    CHECK(must(t.log->position_at(before.seq)) == before);
  }
}

TEST_CASE("the largest floor that is written is read again") {
  FaultFileSystem files;
  must(files.make_directory(kDirectory));
  Floor floor;
  floor.group = test_group();
  floor.base = {Epoch(1), Seq(10 * kPacksMax), 7};
  for (uint64_t i = 0; i < kPacksMax; ++i) {
    floor.packs.push_back({Seq(10 * i + 1), Seq(10 * i + 2), Seq(10 * i + 3), 1000, 1, i, 500});
  }
  for (uint64_t i = 1; i <= kKnownMax; ++i) floor.known.push_back({Epoch(1), Seq(i), i});
  must(write_floor(files, kDirectory, floor));
  CHECK(must(read_floor(files, kDirectory)) == floor);
}

TEST_CASE("retire: where a copy most likely ends stays known, however much may be on its way to it") {
  TestLog t(quiet_options(1u << 20));
  constexpr uint64_t kRecords = kKnownMax + 3000;
  std::vector<RecordDraft> drafts;
  for (uint64_t i = 1; i <= kRecords; ++i) {
    drafts.push_back(numbered_draft(i, 8));
    if (drafts.size() < 1000 && i < kRecords) continue;
    must(t.log->append(drafts, Epoch(1)));
    drafts.clear();
  }
  must(t.log->sync(kLatest));
  const Content nothing;
  RetireOrder order = order_to(Seq(kRecords), nothing);
  order.copy_ends = {{Seq(5), Seq(kRecords)}, {Seq(1000), Seq(1001)}};
  std::map<Seq, Position> positions;
  for (const uint64_t seq : {5u, 6u, 1000u, 1001u}) positions[Seq(seq)] = must(t.log->position_at(Seq(seq)));
  must(t.log->retire(order));
  const Seq sent = t.log->first().prev().prev();  // the newest that went and needs keeping
  REQUIRE(t.log->first() > Seq(kKnownMax + 5));
  CHECK(t.log->floor().known.size() <= kKnownMax);
  for (const auto& [seq, position] : positions) CHECK(must(t.log->position_at(seq)) == position);
  CHECK(t.log->position_at(sent).ok());
  t.log.reset();
  t.log = must(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(1u << 20), Seq(), nullptr));
  for (const auto& [seq, position] : positions) CHECK(must(t.log->position_at(seq)) == position);
}

TEST_CASE("retire: a damaged record stops it, named, and nothing has changed") {
  TestLog t;
  Content content;
  note(*t.log, t.add(100), content);
  must(t.log->sync(kLatest));
  const Location place = content[Seq(33)].location;
  t.files.flip_bit(segment_path(kDirectory, Seq(place.segment)), place.offset + 100, 3);
  const auto names = must(t.files.list(kDirectory));
  const auto retired = t.log->retire(order_to(Seq(90), content));
  CHECK(retired.status().code() == Code::kCorrupt);
  CHECK(retired.status().text().find("seq 33") != std::string::npos);
  CHECK(must(t.files.list(kDirectory)) == names);
  CHECK(t.log->floor() == Floor());
  // One that nobody needs stops nothing.
  t.files.flip_bit(segment_path(kDirectory, Seq(place.segment)), place.offset + 100, 3);
  const Location other = content[Seq(34)].location;
  t.files.flip_bit(segment_path(kDirectory, Seq(other.segment)), other.offset + 100, 3);
  must(t.log->retire(order_to(Seq(90), content)));
  must(look(*t.log, content, Seq(100)));
}

TEST_CASE("retire: power failures at every operation leave the old floor or the new one, and every needed record") {
  TestLog t;
  Content content;
  note(*t.log, t.add(150), content);
  must(t.log->sync(kLatest));
  must(t.log->retire(order_to(Seq(60), content)));  // so that there are packs to keep and to rewrite
  note(*t.log, t.add(50), content);
  must(t.log->sync(kLatest));
  const Position old_base = t.log->floor().base;
  std::vector<std::unique_ptr<FaultFileSystem>> crashes;
  t.files.on_operation([&](const FaultFileSystem::Step& step) {
    for (uint64_t seed = 0; seed < 8; ++seed) crashes.push_back(t.files.after_crash(step.number * 8 + seed));
    return Status();
  });
  must(t.log->retire(order_to(Seq(170), content)));
  t.files.on_operation(nullptr);
  const Position new_base = t.log->floor().base;
  int old_ones = 0;
  int new_ones = 0;
  for (auto& disk : crashes) {
    auto log = must(LogWriter::open(*disk, t.clock, kDirectory, quiet_options(), Seq(), nullptr));
    (log->floor().base == old_base ? old_ones : new_ones) += 1;
    if (log->floor().base != old_base) REQUIRE(log->floor().base == new_base);
    must(look(*log, content, Seq(200)));
    // Nothing is left over: what is there is the log from the floor on, and its packs.
    size_t packs = 0;
    for (const std::string& name : must(disk->list(kDirectory))) {
      packs += is_pack_name(name);
      if (auto first = segment_first_seq(name)) REQUIRE(*first >= log->first());
    }
    REQUIRE(packs == log->floor().packs.size());
    REQUIRE(log->first() <= log->floor().base.seq);
    if (log->floor().base == old_base) must(log->retire(order_to(Seq(170), content)));
    must(look(*log, content, Seq(200)));
  }
  std::cout << old_ones << " power failures left the old floor, " << new_ones << " the new one\n";
  CHECK(old_ones > 20);
  CHECK(new_ones > 20);
}

TEST_CASE("negative control: without the floor's packs, needed records are missed") {
  TestLog t;
  Content content;
  note(*t.log, t.add(150), content);
  must(t.log->sync(kLatest));
  must(t.log->retire(order_to(Seq(100), content)));
  const PackInfo pack = t.log->floor().packs.front();
  t.log.reset();
  SECTION("a pack is lost") {
    must(t.files.remove(pack_path(kDirectory, pack)));
    auto opened = LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), Seq(), nullptr);
    CHECK(opened.status().code() == Code::kCorrupt);
    CHECK(opened.status().text().find(pack_name(pack)) != std::string::npos);
  }
  SECTION("the floor is lost") {
    must(t.files.remove(floor_path(kDirectory)));
    CHECK(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), Seq(), nullptr).status().code() == Code::kCorrupt);
    CHECK(Log::open_read_only(t.files, kDirectory, kLatest).status().code() == Code::kCorrupt);
    CHECK(t.files.exists(pack_path(kDirectory, pack)).value());  // nothing was tidied away
  }
  SECTION("a segment went too early") {
    const auto segments = must(list_segments(t.files, kDirectory));
    must(t.files.remove(segment_path(kDirectory, segments.front())));
    CHECK(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), Seq(), nullptr).status().code() == Code::kCorrupt);
    CHECK(Log::open_read_only(t.files, kDirectory, kLatest).status().code() == Code::kCorrupt);
  }
}

TEST_CASE("retire: disks that fail and fill up") {
  TestLog t;
  Content content;
  note(*t.log, t.add(100), content);
  must(t.log->sync(kLatest));
  const auto names = must(t.files.list(kDirectory));
  uint64_t operations = t.files.operations();
  int failed = 0;
  for (uint64_t nth = 0;; ++nth) {
    const uint64_t victim = t.files.operations() + nth;
    bool hit = false;
    t.files.on_operation([&](const FaultFileSystem::Step& step) {
      if (step.number != victim) return Status();
      hit = true;
      return Status(Code::kNoSpace, "no space left", ENOSPC);
    });
    auto retired = t.log->retire(order_to(Seq(90), content));
    t.files.on_operation(nullptr);
    must(look(*t.log, content, Seq(100)));
    if (retired.ok()) break;
    REQUIRE(hit);
    ++failed;
    if (retired.status().code() == Code::kPoisoned || t.log->floor() != Floor()) break;
    auto seen = read_floor(t.files, kDirectory);
    if (seen.ok() && *seen != Floor()) {  // after the rename: refused until the log is opened anew
      CHECK(t.log->retire(order_to(Seq(90), content)).status().code() == Code::kPoisoned);
      t.log.reset();
      t.log = must(LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), Seq(), nullptr));
      must(look(*t.log, content, Seq(100)));
      break;
    }
    auto left = must(t.files.list(kDirectory));
    std::erase(left, "floor.new");
    REQUIRE(left == names);
  }
  CHECK(failed > 4);
  CHECK(t.files.operations() > operations);
}

namespace {

// 200 records in segments of 4 KiB or so, every third needed, and room for no more than about two segments.
struct TightLog : TestLog {
  Content content;
  TightLog() {
    note(*log, add(200), content);
    must(log->sync(kLatest));
    leave(10'000);
  }
  void leave(uint64_t bytes) {
    files.set_capacity(UINT64_MAX);
    const FileSystemSpace space = must(files.space("/"));
    files.set_capacity(space.total_bytes - space.free_bytes + bytes);
  }
  void reopen() {
    log.reset();
    log = must(LogWriter::open(files, clock, kDirectory, quiet_options(), Seq(), nullptr));
  }
};

std::string left_over(FaultFileSystem& files, Log& log) {
  size_t packs = 0;
  for (const std::string& name : must(files.list(kDirectory))) {
    packs += is_pack_name(name);
    if (auto first = segment_first_seq(name); first && *first < log.first()) return name;
  }
  return packs == log.floor().packs.size() ? "" : "packs";
}

}  // namespace

TEST_CASE("retire: on a disk with little room in steps, each of which frees") {
  TightLog t;
  const RetireReport report = must(t.log->retire(order_to(Seq(190), t.content)));
  CHECK(report.steps > 3);
  CHECK(report.segments > 10);
  CHECK(t.log->floor().base.seq == Seq(190));
  CHECK(t.log->floor().held_from == Seq());
  CHECK(left_over(t.files, *t.log) == "");
  must(look(*t.log, t.content, Seq(200)));
  t.reopen();
  must(look(*t.log, t.content, Seq(200)));
  CHECK(must(verify_log(t.files, kDirectory, Seq(200), nullptr)).damage.empty());
}

TEST_CASE("retire: a step that fails leaves what the steps before have done, and the next order goes on") {
  for (int nth = 1; nth < 8; ++nth) {
    TightLog t;
    int packs = 0;
    t.files.on_operation([&](const FaultFileSystem::Step& step) {
      if (step.operation != FaultFileSystem::Operation::kCreate || !is_pack_name(step.path.substr(step.path.rfind('/') + 1)))
        return Status();
      return ++packs == nth ? Status(Code::kNoSpace, "no space left", ENOSPC) : Status();
    });
    const auto retired = t.log->retire(order_to(Seq(190), t.content));
    t.files.on_operation(nullptr);
    INFO(nth << ": " << retired.status().text());
    if (retired.ok()) break;
    REQUIRE(retired.status().code() == Code::kNoSpace);
    const bool moved = t.log->floor().base.seq == Seq(190);
    CHECK(moved == (t.log->floor().held_from != Seq()));
    CHECK(moved == (nth > 1));
    must(look(*t.log, t.content, Seq(200)));
    if (nth % 2 == 0) t.reopen();
    CHECK(must(verify_log(t.files, kDirectory, Seq(200), nullptr)).damage.empty());
    must(look(*must(Log::open_read_only(t.files, kDirectory, Seq(200))), t.content, Seq(200)));
    must(t.log->retire(order_to(Seq(190), t.content)));
    CHECK(t.log->floor().held_from == Seq());
    CHECK(left_over(t.files, *t.log) == "");
    must(look(*t.log, t.content, Seq(200)));
    t.reopen();
    must(look(*t.log, t.content, Seq(200)));
  }
}

TEST_CASE("retire: power failures at every operation of every step lose nothing that is needed") {
  TightLog t;
  std::vector<std::unique_ptr<FaultFileSystem>> crashes;
  t.files.on_operation([&](const FaultFileSystem::Step& step) {
    for (uint64_t seed = 0; seed < 4; ++seed) crashes.push_back(t.files.after_crash(step.number * 4 + seed));
    return Status();
  });
  must(t.log->retire(order_to(Seq(190), t.content)));
  t.files.on_operation(nullptr);
  int between = 0;
  for (auto& disk : crashes) {
    auto log = must(LogWriter::open(*disk, t.clock, kDirectory, quiet_options(), Seq(), nullptr));
    must(look(*log, t.content, Seq(200)));
    REQUIRE(left_over(*disk, *log) == "");
    REQUIRE(must(verify_log(*disk, kDirectory, Seq(200), nullptr)).damage.empty());
    const bool half = log->floor().held_from != Seq();
    between += half;
    if (half || log->floor().base.seq != Seq(190)) must(log->retire(order_to(Seq(190), t.content)));
    REQUIRE(log->floor().held_from == Seq());
    must(look(*log, t.content, Seq(200)));
    REQUIRE(left_over(*disk, *log) == "");
  }
  std::cout << crashes.size() << " power failures, " << between << " of them between two steps\n";
  CHECK(between > 20);
}

TEST_CASE("a flipped bit anywhere in a pack or in the floor is noticed") {
  TestLog t;
  Content content;
  note(*t.log, t.add(60, 300), content);
  must(t.log->sync(kLatest));
  must(t.log->retire(order_to(Seq(50), content)));
  t.log.reset();
  std::vector<std::string> victims{floor_path(kDirectory)};
  for (const std::string& name : must(t.files.list(kDirectory))) {
    if (is_pack_name(name)) victims.push_back(path_of(name));
  }
  REQUIRE(victims.size() > 1);
  REQUIRE(must(verify_log(t.files, kDirectory, kLatest, nullptr)).damage.empty());
  for (const std::string& victim : victims) {
    const uint64_t size = t.files.content(victim).size();
    for (uint64_t byte = 0; byte < size; ++byte) {
      const auto bit = static_cast<unsigned>(byte % 8);
      t.files.flip_bit(victim, byte, bit);
      auto verdict = verify_log(t.files, kDirectory, kLatest, nullptr);
      INFO(victim << " byte " << byte);
      REQUIRE((!verdict.ok() || !verdict->damage.empty()));
      t.files.flip_bit(victim, byte, bit);
    }
  }
}

}  // namespace tidemark::test
