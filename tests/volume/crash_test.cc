// Power fails at random moments of random work. What comes back is the state at some seq, not before the last one that was
// acknowledged as durable; whatever of the index survived.
#include <catch2/catch.hpp>
#include <filesystem>
#include <iostream>

#include "tests/support/fault_file.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

GroupOptions simulated(FaultFileSystem& files) {
  GroupOptions options;
  options.files = &files;
  options.log.segment_bytes = 256 * 1024;
  options.log.commit_interval = std::chrono::milliseconds(0);
  options.log.reserve_bytes = 0;
  options.index_cache_bytes = 1 << 20;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

// The directories of `path`, in memory: the index and the lock are real files under the same names.
void make_parents(FaultFileSystem& files, const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    (void)files.make_directory(path.substr(0, slash));
  }
}

struct Life {
  std::unique_ptr<FaultFileSystem> disk;  // as the power failure left it
  Seq acknowledged;                       // durable before that moment
  std::map<Seq, std::string> states;      // what every seq from there on looks like
  bool kept_index = false;                // an index of some earlier moment lies beside the directory
};

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

// Works until the power fails at some operation on a file, and a little on (a machine that lost power knows nothing of it).
Life live(const std::string& directory, uint64_t seed, bool disk_lies) {
  FaultFileSystem files;
  make_parents(files, directory);
  fs::create_directories(directory);
  files.ignore_syncs(disk_lies);
  Life life;
  const GroupOptions options = simulated(files);
  REQUIRE(Group::init(directory, {.name = "test"}, options).ok());
  auto group = Group::open(directory, OpenMode::kPrimary, options).value();
  RandomOps ops(group->volume(), seed);
  const uint64_t fails_at = files.operations() + 1 + ops.below(160);
  Seq acknowledged(1);
  files.on_operation([&](const FaultFileSystem::Step& step) {
    if (step.number >= fails_at && !life.disk) {
      life.disk = files.after_crash(seed);
      life.acknowledged = acknowledged;
    }
    return Status();
  });
  while (!life.disk) {
    ops.step();
    if (ops.below(4) == 0) {
      const Seq before = group->newest();
      REQUIRE(group->sync().ok());
      acknowledged = before;
    }
    if (!life.disk && ops.below(30) == 0) {
      REQUIRE(group->checkpoint().ok());
      if (life.disk) break;
      life.kept_index = copy_index(directory + "/index", directory + "-index");
    }
  }
  for (uint64_t seq = life.acknowledged.value(); seq <= group->newest().value(); ++seq) {
    life.states[Seq(seq)] = dump_view(**group->view(Seq(seq)));
  }
  return life;
}

// "" where all is well, else what was lost.
std::string recover(const std::string& directory, Life& life, bool with_index) {
  fs::remove_all(directory + "/index");
  if (with_index && life.kept_index) fs::rename(directory + "-index", directory + "/index");
  auto group = Group::open(directory, OpenMode::kPrimary, simulated(*life.disk));
  if (!group.ok()) return "it does not open: " + group.status().text();
  const Seq newest = (*group)->newest();
  if (newest < life.acknowledged) {
    return "seq " + std::to_string(life.acknowledged.value()) + " was durable, seq " + std::to_string(newest.value()) +
           " is newest";
  }
  auto state = life.states.find(newest);
  if (state == life.states.end()) return "a seq that never was";
  if (dump_view(**(*group)->view(newest)) != state->second)
    return "seq " + std::to_string(newest.value()) + " looks different";
  // And it goes on from there.
  if (!(*group)->volume().make_node(kRootIno, "after the failure", {.mode = 0100644}).ok()) return "nothing can be written";
  return (*group)->sync().ok() ? "" : "nothing can be synced";
}

}  // namespace

TEST_CASE("power failures lose nothing acknowledged, and leave the state of some seq") {
  const uint64_t base = Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261120;
  std::cout << "seeds from " << base << "\n";
  int with_index = 0;
  for (uint64_t seed = base; seed < base + 150; ++seed) {
    Scratch scratch;
    Life life = live(scratch / "group", seed, false);
    with_index += life.kept_index && seed % 2 == 0;
    INFO("seed " << seed);
    REQUIRE(recover(scratch / "group", life, seed % 2 == 0) == "");
  }
  CHECK(with_index > 10);
}

TEST_CASE("negative control: with syncs that do nothing, losses are found") {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    Scratch scratch;
    Life life = live(scratch / "group", seed, true);
    lost += recover(scratch / "group", life, false) != "";
  }
  CHECK(lost >= 5);
}

}  // namespace tidemark::test
