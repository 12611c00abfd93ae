// The power fails at every operation of a prune. What comes back has the old base or the new one, every point from it on, nothing
// left over, and can be pruned again; whatever of the index survived.
#include <catch2/catch.hpp>
#include <filesystem>
#include <iostream>

#include "log/format/pack.h"
#include "log/format/segment.h"
#include "log/write/writer.h"
#include "tests/support/fault_file.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"
#include "volume/group/directory.h"
#include "volume/history/base_image.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

GroupOptions simulated(FaultFileSystem& files) {
  GroupOptions options;
  options.files = &files;
  options.log.segment_bytes = 256 * 1024;
  options.log.commit_interval = std::chrono::milliseconds(0);
  options.log.reserve_bytes = 0;
  options.log.own_bytes_max = 1;  // all segments but the first go to the pool
  options.log.pool = {{"/pool", 0}};
  (void)files.make_directory("/pool");
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

void make_parents(FaultFileSystem& files, const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    (void)files.make_directory(path.substr(0, slash));
  }
}

// RocksDB removes files of its own meanwhile: then once more.
bool copy_index(const std::string& from, const std::string& to) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    std::error_code error;
    fs::remove_all(to, error);
    fs::copy(from, to, fs::copy_options::recursive, error);
    if (!error) return true;
  }
  return false;
}

using States = std::map<Seq, std::string>;

struct Crash {
  std::unique_ptr<FaultFileSystem> disk;
  std::string index;  // what is left of it: from before the prune, from that moment, or nothing ("")
};

struct Expected {
  States states;
  Seq old_base, new_base;
  uint64_t fingerprint = 0;  // with the new base
};

// "" where all is as it must be.
std::string look(Group& group, const Expected& expected) {
  const Seq base = group.base();
  if (base != expected.old_base && base != expected.new_base) return "a base that never was";
  for (const Seq seq : {base, Seq((base.value() + group.newest().value()) / 2), group.newest()}) {
    auto view = group.view(seq);
    if (!view.ok()) return view.status().text();
    if (dump_view(**view) != expected.states.at(seq)) return "seq " + std::to_string(seq.value()) + " differs";
  }
  return group.view(base.prev()).ok() ? "a point below the base is shown" : "";
}

// Files that neither the floor nor the base accounts for.
std::string left_over(FaultFileSystem& files, const std::string& directory, Group& group) {
  const Floor floor = group.log().floor();
  size_t packs = 0;
  for (const std::string& name : files.list(log_directory(directory)).value()) {
    packs += is_pack_name(name);
    const auto segment = segment_first_seq(name);
    if (segment && *segment < group.log().first() && !adopts(floor, *segment)) return name + " is left over";
  }
  if (packs != floor.packs.size()) return "packs are left over";
  const auto images = files.list(base_directory(directory));
  const std::string expected = base_image_path(directory, group.base());
  if (!images.ok() || images->size() != 1 || base_directory(directory) + "/" + images->front() != expected) {
    return "base images are left over";
  }
  return "";
}

// `steps`: where the prune was interrupted between two steps, opening goes on with it, so what is left over is looked at later.
std::string recover(const std::string& directory, Crash& crash, const Expected& expected, bool steps, bool& has_new_base) {
  fs::remove_all(directory + "/index");
  if (!crash.index.empty()) copy_index(crash.index, directory + "/index");
  auto opened = Group::open(directory, OpenMode::kPrimary, simulated(*crash.disk));
  if (!opened.ok()) return "it does not open: " + opened.status().text();
  Group& group = **opened;
  if (group.newest() != expected.states.rbegin()->first) return "records are lost";
  has_new_base = group.base() == expected.new_base;
  if (std::string wrong = look(group, expected); !wrong.empty()) return wrong;
  if (!steps) {
    if (std::string wrong = left_over(*crash.disk, directory, group); !wrong.empty()) return wrong;
  }
  auto again = group.prune({.to = expected.new_base});
  if (!again.ok()) return "it cannot be pruned again: " + again.status().text();
  if (std::string wrong = left_over(*crash.disk, directory, group); !wrong.empty()) return "pruned again: " + wrong;
  if (group.log().floor().held_from != Seq()) return "pruned again, and segments below the base are held";
  if (std::string wrong = look(group, expected); !wrong.empty()) return "pruned again: " + wrong;
  return group.index_fingerprint().value() == expected.fingerprint ? "" : "the index is another one";
}

}  // namespace

namespace {

bool has_adopted(const Floor& floor) {
  return std::any_of(floor.packs.begin(), floor.packs.end(), [](const PackInfo& pack) { return pack.adopted != 0; });
}

// Blocks that do not shrink, of which an eighth is written over.
void write_what_stays(Volume& volume, uint64_t seed) {
  constexpr size_t kPiece = 64 * 1024;
  const Ino file = volume.make_node(kRootIno, "stays", {.mode = 0100644})->ino;
  std::mt19937_64 random(seed);
  std::string piece(kPiece, '\0');
  for (uint64_t i = 0; i < 24; ++i) {
    for (char& byte : piece) byte = static_cast<char>(random());
    const uint64_t at = i % 8 == 7 ? 0 : i;
    REQUIRE(volume.write(file, at * kPiece, as_bytes(piece), false).ok());
  }
}

// `room`: what is free on the disk during the prune; 0: as much as it likes. `adopts`: which is not enough for what is needed of a segment.
void fail_everywhere(uint64_t room, bool adopts) {
  const uint64_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261121;
  std::cout << "seed " << seed << "\n";
  Scratch scratch;
  const std::string directory = scratch / "group";
  FaultFileSystem files;
  make_parents(files, directory);
  fs::create_directories(directory);
  REQUIRE(Group::init(directory, {.name = "test"}, simulated(files)).ok());
  auto group = Group::open(directory, OpenMode::kPrimary, simulated(files)).value();
  RandomOps ops(group->volume(), seed);
  for (int i = 0; i < 200; ++i) ops.step();
  REQUIRE(group->sync().ok());
  Expected expected;
  expected.old_base = Seq(group->newest().value() / 2);
  REQUIRE(group->prune({.to = expected.old_base}).ok());  // so that there are packs and an image to supersede
  if (adopts) write_what_stays(group->volume(), seed);
  for (int i = 0; i < 100; ++i) ops.step();
  REQUIRE(group->checkpoint().ok());
  const std::string index_before = scratch / "index-before";
  REQUIRE(copy_index(directory + "/index", index_before));
  expected.new_base = Seq(group->newest().value() - 40);
  for (Seq seq = expected.old_base; seq <= group->newest(); seq = seq.next()) {
    expected.states[seq] = dump_view(**group->view(seq));
  }
  std::vector<Crash> crashes;
  files.on_operation([&](const FaultFileSystem::Step& step) {
    std::string now = scratch / ("index-" + std::to_string(step.number));
    if (!copy_index(directory + "/index", now)) now = index_before;
    const std::string indexes[] = {index_before, now, ""};
    for (uint64_t round = 0; round < 6; ++round) {
      crashes.push_back({files.after_crash(seed + step.number * 6 + round), indexes[round % 3]});
    }
    return Status();
  });
  if (room != 0) {
    const FileSystemSpace space = files.space("/").value();
    files.set_capacity(space.total_bytes - space.free_bytes + room);
  }
  const auto pruned = group->prune({.to = expected.new_base});
  files.on_operation(nullptr);
  INFO(pruned.status().text());
  REQUIRE(pruned.ok());
  expected.fingerprint = group->index_fingerprint().value();
  REQUIRE(has_adopted(group->log().floor()) == adopts);
  group.reset();

  int with_new_base = 0;
  int with_adopted = 0;
  for (size_t i = 0; i < crashes.size(); ++i) {
    bool has_new_base = false;
    INFO("crash " << i << " of " << crashes.size() << ", index " << crashes[i].index);
    REQUIRE(recover(directory, crashes[i], expected, room != 0, has_new_base) == "");
    with_new_base += has_new_base;
    const auto floor = read_floor(*crashes[i].disk, log_directory(directory));
    with_adopted += floor.ok() && has_adopted(*floor);
  }
  std::cout << crashes.size() << " power failures, " << with_new_base << " of them left the new base\n";
  CHECK((with_adopted > 10) == adopts);
  CHECK(with_new_base > 10);
  CHECK(static_cast<size_t>(with_new_base) + 10 < crashes.size());
}

}  // namespace

TEST_CASE("prune: power failures at every operation leave the old base or the new one, and every point from it on") {
  fail_everywhere(0, false);
}

TEST_CASE("prune: the same on a disk that is nearly full, where it goes in steps") { fail_everywhere(900 * 1024, false); }

TEST_CASE("prune: the same where there is no room to copy a segment, and those that are needed are adopted") {
  fail_everywhere(100 * 1024, true);
}

TEST_CASE("negative control: segments that go without their needed records are missed") {
  Scratch scratch;
  GroupOptions options;
  options.log.segment_bytes = 256 * 1024;
  REQUIRE(Group::init(scratch / "group", {.name = "test"}, options).ok());
  auto group = Group::open(scratch / "group", OpenMode::kPrimary, options).value();
  RandomOps ops(group->volume(), 1);
  for (int i = 0; i < 200; ++i) ops.step();
  REQUIRE(group->checkpoint().ok());
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = 0100644})->ino;
  REQUIRE(group->volume().write(file, 0, as_bytes(std::string(4096, 'x')), false).ok());
  const uint64_t bytes = group->log().bytes();
  for (int i = 0; i < 2000 && group->log().bytes() < bytes + 2 * options.log.segment_bytes; ++i) ops.step();
  REQUIRE(group->sync().ok());
  RetireOrder order;
  order.base = group->newest();
  order.live = [](uint64_t, uint64_t end) -> Result<LiveWindow> { return LiveWindow{{}, end}; };
  REQUIRE(group->log_writer().retire(order).ok());
  std::string content(4096, '\0');
  auto read = group->volume().read(file, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()});
  CHECK(read.status().code() == Code::kNotFound);
}

}  // namespace tidemark::test
