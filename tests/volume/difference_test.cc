// A copy that its source's log no longer reaches is brought up by difference: every point that can be shown reads as at the source, with
// the index that lived through it and with one rebuilt; nothing in between is shown; what is interrupted goes on where it was.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <iostream>

#include "log/format/pack.h"
#include "log/read/cursor.h"
#include "log/repair/verify.h"
#include "tests/support/fault_file.h"
#include "tests/support/rounds.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"
#include "volume/difference/difference.h"
#include "volume/group/directory.h"
#include "volume/history/base_image.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

GroupOptions small_segments(FileSystem& files = posix_file_system()) {
  GroupOptions options;
  options.files = &files;
  options.log.segment_bytes = 16 * 1024;
  options.log.reserve_bytes = 0;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

std::unique_ptr<Group> open(const std::string& directory, OpenMode mode, FileSystem& files = posix_file_system()) {
  auto group = Group::open(directory, mode, small_segments(files));
  INFO(directory << ": " << group.status().text());
  REQUIRE(group.ok());
  return std::move(group).value();
}

std::unique_ptr<Group> make_replica(const Group& source, const std::string& directory) {
  REQUIRE(Group::init_replica(directory, source.identity()).ok());
  return open(directory, OpenMode::kReplica);
}

using States = std::map<Seq, std::string>;

void add_points(Group& group, Seq from, States& states) {
  for (Seq seq = std::max(from, group.base()); seq <= group.newest(); seq = seq.next()) {
    auto view = group.view(seq);
    if (view.ok()) states[seq] = dump_view(**view);
  }
}

// Points below the base or in a gap cannot be shown, all others are what they were.
void compare(Group& group, const States& states) {
  const auto gaps = group.log().gaps();
  size_t shown = 0;
  for (const auto& [seq, expected] : states) {
    if (seq > group.newest()) break;
    bool missing = seq < group.base();
    for (const Gap& gap : gaps) missing = missing || (gap.covers(seq) && seq != gap.to.seq);
    auto view = group.view(seq);
    INFO("seq " << seq.value() << ": " << view.status().text());
    if (missing) {
      CHECK(view.status().code() == Code::kNoSuchPoint);
      continue;
    }
    REQUIRE(view.ok());
    const std::string got = dump_view(**view);
    REQUIRE((got == expected));
    ++shown;
  }
  CHECK(shown > 0);
}

void ship(Group& from, Group& to) {
  LogCursor cursor(from.log(), to.position().seq.next());
  while (cursor.next() <= from.log().appended()) {
    auto run = cursor.read(100'000, from.log().appended());
    if (run.status().code() == Code::kNotFound) break;  // as far as it goes
    INFO(run.status().text());
    REQUIRE(run.ok());
    auto taken = to.ingest(run->bytes);
    INFO(taken.status().text());
    REQUIRE(taken.ok());
  }
  REQUIRE(to.sync().ok());
}

struct Sent {
  uint64_t records = 0;
  uint64_t rows = 0;
  bool complete = false;
};

// Sends at most `pieces_max` pieces.
Sent transfer(Group& from, Group& to, size_t pieces_max = SIZE_MAX) {
  Sent sent;
  auto reader = from.read_difference(to.position());
  INFO(reader.status().text());
  REQUIRE(reader.ok());
  auto writer = to.begin_difference((*reader)->offer());
  INFO(writer.status().text());
  REQUIRE(writer.ok());
  (*reader)->begin(Ino(to.position().seq == Seq() ? 0 : 1), (*writer)->staged());
  for (size_t pieces = 0; pieces < pieces_max; ++pieces) {
    auto piece = (*reader)->next(200'000);
    INFO(piece.status().text());
    REQUIRE(piece.ok());
    Status taken;
    switch (piece->kind) {
      case DifferencePiece::Kind::kNothing: break;
      case DifferencePiece::Kind::kRecords:
        sent.records += piece->bytes.size();
        taken = (*writer)->add_records(piece->bytes);
        break;
      case DifferencePiece::Kind::kRows:
        sent.rows += piece->bytes.size();
        taken = (*writer)->add_rows(piece->bytes);
        break;
      case DifferencePiece::Kind::kEnd:
        taken = to.finish_difference(**writer, (*reader)->held_marks());
        sent.complete = true;
        break;
    }
    INFO(taken.text());
    REQUIRE(taken.ok());
    if (sent.complete) return sent;
  }
  return sent;
}

void prune_to_newest(Group& group, Seq copy_at) {
  PruneRequest request;
  request.to = group.newest();
  request.tombstones_from = copy_at;
  request.copy_ends = {{copy_at, copy_at}};
  auto report = group.prune(request);
  INFO(report.status().text());
  REQUIRE(report.ok());
  REQUIRE(report->base > report->base_before);
}

void check_sound(Group& group) {
  auto verdict = verify_log(posix_file_system(), log_directory(group.directory()), group.newest(), nullptr);
  REQUIRE(verdict.ok());
  REQUIRE(verify_base_image(posix_file_system(), group.directory(), *verdict).ok());
  for (const LogDamage& damage : verdict->damage) UNSCOPED_INFO(damage.segment << " at " << damage.offset);
  CHECK(verdict->damage.empty());
  CHECK(verdict->end == group.log().tail_position());
}

std::unique_ptr<Group> reopened(std::unique_ptr<Group> group, bool with_index) {
  const std::string directory = group->directory();
  group.reset();
  if (!with_index) fs::remove_all(directory + "/index");
  return open(directory, OpenMode::kReplica);
}

void work(RandomOps& ops, Group& group, int steps, const std::string& marks) {
  for (int i = 0; i < steps; ++i) ops.step();
  REQUIRE(group.create_mark({.name = marks}).ok());
  REQUIRE(group.sync().ok());
}

}  // namespace

TEST_CASE("difference: a copy far behind catches up over gaps, and a copy without anything begins at the base") {
  run_rounds("difference", 6, [](uint64_t seed) {
    Scratch scratch;
    REQUIRE(Group::init(scratch / "group", {.name = "test"}, small_segments()).ok());
    auto group = open(scratch / "group", OpenMode::kPrimary);
    auto copy = make_replica(*group, scratch / "copy");
    auto late = make_replica(*group, scratch / "late");
    RandomOps ops(group->volume(), seed);
    States states;
    for (int round = 0; round < 3; ++round) {
      const std::string name = std::to_string(round);
      work(ops, *group, 60, "shipped-" + name);
      ship(*group, *copy);
      REQUIRE(copy->position() == group->position());
      if (round == 0) ship(*group, *late);
      const Position behind = copy->position();
      work(ops, *group, 80, "missed-" + name);
      add_points(*group, Seq(1), states);
      if (round == 1) REQUIRE(group->hold_mark("missed-1", true).ok());
      if (round == 2) REQUIRE(group->hold_mark("missed-1", false).ok());
      if (round == 2) REQUIRE(group->hold_mark("shipped-0", true).code() == Code::kNoSuchPoint);
      prune_to_newest(*group, late->position().seq);
      const Seq base = group->base();
      states[base] = dump_view(**group->view(base));
      work(ops, *group, 30, "after-" + name);
      add_points(*group, base, states);

      // The copy's place is still known, one that was never anybody's is not.
      auto known = group->log().position_at(late->position().seq);
      INFO(known.status().text());
      REQUIRE(known.ok());
      CHECK(*known == late->position());
      CHECK(copy->position() == behind);

      REQUIRE(transfer(*group, *copy).complete);
      CHECK(copy->newest() == base);
      CHECK(copy->log().durable() == base);
      compare(*copy, states);
      copy = reopened(std::move(copy), ops.below(2) == 0);
      compare(*copy, states);
      ship(*group, *copy);
      REQUIRE(copy->position() == group->position());
      compare(*copy, states);
      check_sound(*copy);
      copy = reopened(std::move(copy), round != 1);
      compare(*copy, states);
      CHECK(copy->resolve("shipped-" + name).ok());
      CHECK(copy->resolve("missed-" + name).ok() == (round == 1 || group->resolve("missed-" + name).ok()));
      CHECK(copy->find_mark("missed-" + name).ok());
    }
    CHECK_FALSE(copy->find_mark("missed-1")->held);
    CHECK(copy->log().gaps().size() == 3);

    // A copy further behind is brought up by one that has gaps itself, hop by hop.
    while (late->position() != copy->position()) {
      const Position before = late->position();
      ship(*copy, *late);
      if (late->position() == copy->position()) break;
      REQUIRE(transfer(*copy, *late).complete);
      REQUIRE(late->position().seq > before.seq);
    }
    compare(*late, states);
    late = reopened(std::move(late), false);
    compare(*late, states);
    check_sound(*late);

    // Somebody who has nothing begins at the base.
    auto fresh = make_replica(*group, scratch / "fresh");
    REQUIRE(transfer(*group, *fresh).complete);
    ship(*group, *fresh);
    REQUIRE(fresh->position() == group->position());
    compare(*fresh, states);
    CHECK(fresh->base() == group->base());
    fresh = reopened(std::move(fresh), false);
    compare(*fresh, states);
    check_sound(*fresh);

    // The copy's own retention goes over its gaps; no base lies within one.
    const auto gaps = copy->log().gaps();
    auto clamped = copy->prune({.to = gaps[1].to.seq.prev()});
    INFO(clamped.status().text());
    REQUIRE(clamped.ok());
    CHECK(clamped->base == gaps[1].from.seq);
    compare(*copy, states);
    copy = reopened(std::move(copy), false);
    compare(*copy, states);
    check_sound(*copy);
    REQUIRE(copy->prune({.to = gaps[2].to.seq}).ok());
    compare(*copy, states);
    check_sound(*copy);
    work(ops, *group, 30, "last");
    ship(*group, *copy);
    add_points(*group, group->base(), states);
    REQUIRE(copy->prune({.to = copy->newest()}).ok());
    CHECK(copy->log().gaps().empty());
    copy = reopened(std::move(copy), false);
    compare(*copy, states);
    check_sound(*copy);
  });
}

TEST_CASE("difference: what is sent is what has changed") {
  Scratch scratch;
  REQUIRE(Group::init(scratch / "group", {.name = "test"}, small_segments()).ok());
  auto group = open(scratch / "group", OpenMode::kPrimary);
  std::mt19937_64 random(1);
  const auto fill = [&](Ino file, uint64_t block) {
    std::string content(kBlockSize, '\0');
    for (char& byte : content) byte = static_cast<char>(random());
    REQUIRE(group->volume().write(file, block * kBlockSize, as_bytes(content), false).ok());
  };
  std::vector<Ino> files;
  for (int i = 0; i < 64; ++i) {
    files.push_back(group->volume().make_node(kRootIno, "f" + std::to_string(i), {.mode = S_IFREG | 0644})->ino);
    for (uint64_t block = 0; block < 64; ++block) fill(files.back(), block);  // 16 MiB together
  }
  REQUIRE(group->sync().ok());
  auto copy = make_replica(*group, scratch / "copy");
  ship(*group, *copy);
  for (int times = 0; times < 200; ++times) {
    for (uint64_t block = 0; block < 4; ++block) fill(files[7], 8 + block);  // again and again the same 16 KiB
  }
  REQUIRE(group->volume().unlink(kRootIno, "f9").ok());
  REQUIRE(group->sync().ok());
  prune_to_newest(*group, copy->position().seq);
  const Sent sent = transfer(*group, *copy);
  REQUIRE(sent.complete);
  CHECK(sent.records >= 4 * kBlockSize);
  CHECK(sent.records < 5 * kBlockSize);
  CHECK(sent.rows < 8192);
  CHECK(dump_view(**copy->view(copy->newest())) == dump_view(**group->view(group->base())));
}

TEST_CASE("difference: interrupted anywhere, it goes on where it was") {
  run_rounds("interrupted difference", 4, [](uint64_t seed) {
    Scratch scratch;
    REQUIRE(Group::init(scratch / "group", {.name = "test"}, small_segments()).ok());
    auto group = open(scratch / "group", OpenMode::kPrimary);
    RandomOps ops(group->volume(), seed);
    States states;
    work(ops, *group, 60, "one");
    auto copy = make_replica(*group, scratch / "copy");
    if (seed % 2 == 0) ship(*group, *copy);
    const Position before = copy->position();
    add_points(*copy, Seq(1), states);
    work(ops, *group, 150, "two");
    prune_to_newest(*group, before.seq);
    bool complete = false;
    for (size_t attempt = 0; !complete && attempt < 40; ++attempt) {
      complete = transfer(*group, *copy, 1 + attempt).complete;
      if (!complete) {
        CHECK(copy->position() == before);
        if (before.seq != Seq()) compare(*copy, states);
      }
      if (ops.below(2) == 0) copy = reopened(std::move(copy), ops.below(2) == 0);
    }
    REQUIRE(complete);
    add_points(*group, group->base(), states);
    compare(*copy, states);
  });
}

TEST_CASE("difference: a hostile one is refused, and nothing has changed") {
  Scratch scratch;
  REQUIRE(Group::init(scratch / "group", {.name = "test"}, small_segments()).ok());
  auto group = open(scratch / "group", OpenMode::kPrimary);
  RandomOps ops(group->volume(), 5);
  work(ops, *group, 60, "one");
  auto copy = make_replica(*group, scratch / "copy");
  ship(*group, *copy);
  work(ops, *group, 150, "two");
  prune_to_newest(*group, copy->position().seq);
  auto reader = std::move(group->read_difference(copy->position())).value();
  SECTION("an offer that does not fit") {
    DifferenceOffer offer = reader->offer();
    offer.from.chain ^= 1;
    CHECK(copy->begin_difference(offer).status().code() == Code::kInvalid);
    offer = reader->offer();
    offer.target.base.seq = offer.from.seq;
    CHECK(copy->begin_difference(offer).status().code() == Code::kInvalid);
    offer = reader->offer();
    offer.target.next_ino = Ino(1);
    CHECK(copy->begin_difference(offer).status().code() == Code::kInvalid);
    offer = reader->offer();
    offer.target.group[3] ^= std::byte{1};
    CHECK(copy->begin_difference(offer).status().code() == Code::kInvalid);
  }
  SECTION("pieces that were changed, cut, or left out") {
    std::mt19937_64 random(7);
    int refused = 0;
    for (int round = 0; round < 60; ++round) {
      reader = std::move(group->read_difference(copy->position())).value();
      auto writer = std::move(copy->begin_difference(reader->offer())).value();
      reader->begin(Ino(1), Seq());
      const int way = round % 4;
      Status taken;
      bool done = false;
      for (uint64_t pieces = 0; taken.ok() && !done; ++pieces) {
        auto piece = reader->next(60'000).value();
        std::string bytes(as_text(piece.bytes));
        const bool records = piece.kind == DifferencePiece::Kind::kRecords;
        if (!bytes.empty() && way == 0) bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
        if (!bytes.empty() && way == 1) bytes.resize(random() % bytes.size());
        if (records && way == 2) continue;        // left out
        if (records && way == 3) bytes += bytes;  // again
        if (records) taken = writer->add_records(as_bytes(bytes));
        if (piece.kind == DifferencePiece::Kind::kRows) taken = writer->add_rows(as_bytes(bytes));
        if (piece.kind == DifferencePiece::Kind::kEnd) {
          // Whatever came so far may have been sound in itself: then it must be complete as well.
          if (way != 2 && way != 3) break;
          taken = copy->finish_difference(*writer, reader->held_marks());
          done = true;
        }
      }
      refused += !taken.ok();
      if (!taken.ok()) {
        INFO(taken.text());
        CHECK((taken.code() == Code::kCorrupt || taken.code() == Code::kInvalid));
      }
      if (done && taken.ok()) break;
    }
    CHECK(refused > 30);
  }
  if (copy->log().gaps().empty()) CHECK(copy->newest() == reader->offer().from.seq);
}

// --- power failures

namespace {

void make_parents(FaultFileSystem& files, const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    (void)files.make_directory(path.substr(0, slash));
  }
}

struct Crash {
  std::unique_ptr<FaultFileSystem> disk;
  bool with_index = false;
};

}  // namespace

TEST_CASE("difference: power failures at every operation leave the point before or the one after") {
  run_rounds("difference under power failures", 2, [](uint64_t seed) {
    Scratch scratch;
    REQUIRE(Group::init(scratch / "group", {.name = "test"}, small_segments()).ok());
    auto group = open(scratch / "group", OpenMode::kPrimary);
    RandomOps ops(group->volume(), seed);
    States states;
    work(ops, *group, 60, "one");
    FaultFileSystem files;
    const std::string directory = scratch / "copy";
    make_parents(files, directory);
    fs::create_directories(directory);
    REQUIRE(Group::init_replica(directory, group->identity(), small_segments(files)).ok());
    auto copy = open(directory, OpenMode::kReplica, files);
    const bool from_nothing = seed % 2 == 0;
    if (!from_nothing) ship(*group, *copy);
    add_points(*copy, Seq(1), states);
    const Seq before = copy->newest();
    work(ops, *group, 100, "two");
    prune_to_newest(*group, before);
    const Seq after = group->base();
    add_points(*group, after, states);
    REQUIRE(copy->checkpoint().ok());
    fs::copy(directory + "/index", scratch / "index", fs::copy_options::recursive);
    std::vector<Crash> crashes;
    files.on_operation([&](const FaultFileSystem::Step& step) {
      for (uint64_t round = 0; round < 4; ++round) {
        crashes.push_back({files.after_crash(seed + step.number * 4 + round), round % 2 == 0});
      }
      return Status();
    });
    REQUIRE(transfer(*group, *copy).complete);
    files.on_operation(nullptr);
    copy.reset();
    int arrived = 0;
    for (size_t i = 0; i < crashes.size(); ++i) {
      INFO("crash " << i << " of " << crashes.size());
      fs::remove_all(directory + "/index");
      if (crashes[i].with_index) fs::copy(scratch / "index", directory + "/index", fs::copy_options::recursive);
      copy = open(directory, OpenMode::kReplica, *crashes[i].disk);
      const Seq newest = copy->newest();
      REQUIRE((newest == before || newest == after));
      arrived += newest == after;
      if (newest != Seq()) {
        auto view = copy->view(newest);
        REQUIRE(view.ok());
        REQUIRE(dump_view(**view) == states.at(newest));
      }
      // It can be done (again), and shipping goes on.
      if (newest == before) REQUIRE(transfer(*group, *copy).complete);
      ship(*group, *copy);
      REQUIRE(copy->position() == group->position());
      compare(*copy, states);
      copy.reset();
    }
    std::cout << crashes.size() << " power failures, after " << arrived << " of them it had arrived\n";
    CHECK(arrived > 0);
    CHECK(static_cast<size_t>(arrived) < crashes.size());
  });
}

}  // namespace tidemark::test
