// Power fails at random moments of random work. What comes back is the state at some seq, not before the last one that was
// acknowledged as durable; whatever of the index survived.
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>

#include "tests/support/fault_file.h"
#include "tests/support/rounds.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"
#include "volume/index/index.h"

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

// The directories of `path`, in memory: the index and the lock are real files under the same names.
void make_parents(FaultFileSystem& files, const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    (void)files.make_directory(path.substr(0, slash));
  }
}

// How the disk of a life behaves.
enum class Disk { kHonest, kLies, kFailsToSync, kFailsToWrite };

struct Life {
  std::unique_ptr<FaultFileSystem> disk;  // as the power failure left it
  Seq acknowledged;                       // durable before that moment
  std::map<Seq, std::string> states;      // what every seq from there on looks like
  std::map<std::string, Seq> marks;       // every mark whose call returned before that moment
  std::map<std::string, Seq> all_marks;   // and those after it
  bool more_is_possible = false;          // records of a change that failed may have reached the disk
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

// One life of a group, up to a power failure at some operation on a file and a little on (a machine that lost power knows nothing
// of that).
class Living {
 public:
  Living(const std::string& directory, uint64_t seed, Disk kind)
      : directory_(directory), seed_(seed), kind_(kind), options_(simulated(files_)), dice_(seed) {
    make_parents(files_, directory);
    fs::create_directories(directory);
    files_.ignore_syncs(kind == Disk::kLies);
    REQUIRE(Group::init(directory, {.name = "test"}, options_).ok());
    group_ = Group::open(directory, OpenMode::kPrimary, options_).value();
    life_.acknowledged = acknowledged_ = Seq(1);
  }

  Life live() {
    RandomOps ops(group_->volume(), seed_);
    const uint64_t start = files_.operations();
    const uint64_t crash_at = start + 1 + below(160), fails_at = start + 1 + below(120);
    files_.on_operation([&](const FaultFileSystem::Step& step) {
      if (step.number >= crash_at && !life_.disk && !fails_ever()) crash();
      const bool fails = (kind_ == Disk::kFailsToSync && step.operation == FaultFileSystem::Operation::kSync) ||
                         (kind_ == Disk::kFailsToWrite && step.operation == FaultFileSystem::Operation::kWrite);
      return fails && step.number >= fails_at ? errno_status(EIO, "injected") : Status();
    });
    while (!life_.disk && group_->log().health().ok()) step(ops);
    finish();
    files_.on_operation(nullptr);  // what the group does when it goes is of no interest
    return std::move(life_);
  }

 private:
  uint64_t below(uint64_t bound) { return dice_() % bound; }
  [[nodiscard]] bool fails_ever() const { return kind_ == Disk::kFailsToSync || kind_ == Disk::kFailsToWrite; }

  void crash() {
    life_.disk = files_.after_crash(seed_);
    life_.acknowledged = acknowledged_;
    life_.marks = life_.all_marks;
  }

  void step(RandomOps& ops) {
    if (kind_ == Disk::kFailsToWrite) {
      // What fails half-way is no business of the model's.
      const std::string name = "node-" + std::to_string(group_->newest().value());
      if (auto made = group_->volume().make_node(kRootIno, name, {.mode = 0100644}); made.ok()) {
        static_cast<void>(
            group_->volume().write(made->ino, below(70'000), as_bytes(std::string(1 + below(300'000), 'x')), false));
      }
    } else {
      ops.step();
    }
    if (below(4) == 0) {
      const Seq before = group_->newest();
      if (group_->sync().ok()) acknowledged_ = before;
    }
    if (below(12) == 0) {
      const std::string name = "mark-" + std::to_string(life_.all_marks.size());
      if (auto made = group_->create_mark({name, "", "test", 1, 0}); made.ok()) {
        acknowledged_ = life_.all_marks[name] = made->seq;
      }
    }
    if (life_.disk || below(30) != 0 || !group_->checkpoint().ok() || life_.disk) return;
    life_.kept_index = copy_index(directory_ + "/index", directory_ + "-index");
  }

  void finish() {
    for (uint64_t seq = acknowledged_before(); seq <= group_->newest().value(); ++seq) {
      life_.states[Seq(seq)] = dump_view(**group_->view(Seq(seq)));
    }
    if (!fails_ever()) return;
    life_.more_is_possible = kind_ == Disk::kFailsToWrite;
    // The program ends before the machine does: what closing leaves of the index is there.
    CHECK(group_->close().code() == Code::kPoisoned);
    group_.reset();
    life_.kept_index = copy_index(directory_ + "/index", directory_ + "-index");
    crash();
  }

  uint64_t acknowledged_before() const {
    return std::min(acknowledged_, life_.disk ? life_.acknowledged : acknowledged_).value();
  }

  const std::string directory_;
  const uint64_t seed_;
  const Disk kind_;
  FaultFileSystem files_;
  const GroupOptions options_;
  std::mt19937_64 dice_;
  std::unique_ptr<Group> group_;
  Seq acknowledged_;
  Life life_;
};

Life live(const std::string& directory, uint64_t seed, Disk kind) { return Living(directory, seed, kind).live(); }

// Every mark that was acknowledged, and no other than those up to the newest record.
std::string check_marks(Group& group, const Life& life) {
  auto found = group.list_marks(MarkId(0), 10'000);
  if (!found.ok()) return "marks cannot be listed: " + found.status().text();
  std::map<std::string, Seq> held;
  for (const Mark& mark : *found) held[mark.name] = mark.seq;
  for (const auto& [name, seq] : life.marks) {
    if (!held.contains(name)) return name + " was acknowledged and is gone";
  }
  for (const auto& [name, seq] : held) {
    auto made = life.all_marks.find(name);
    // One whose call had not returned may be there as well.
    if (made != life.all_marks.end() && made->second != seq) return name + " is at another seq";
  }
  return "";
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
  const bool known = state != life.states.end();
  if (!known && !life.more_is_possible) return "a seq that never was";
  const std::string held = dump_view(**(*group)->view(newest));
  if (known && held != state->second) return "seq " + std::to_string(newest.value()) + " looks different";
  if (std::string marks = check_marks(**group, life); !marks.empty()) return marks;
  // And it goes on from there.
  if (!(*group)->volume().make_node(kRootIno, "after the failure", {.mode = 0100644}).ok()) return "nothing can be written";
  return (*group)->sync().ok() ? "" : "nothing can be synced";
}

// What a crash while RocksDB writes can leave of its files, and worse: one is missing, or cut, or ends in zeros.
void tear_index(const std::string& index, std::mt19937_64& dice) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(index)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (uint64_t count = 1 + dice() % 3; count > 0; --count) {
    const fs::path& file = files[dice() % files.size()];
    if (!fs::exists(file)) continue;
    const uint64_t size = fs::file_size(file), rest = size == 0 ? 0 : dice() % size;
    const uint64_t how = dice() % 3;
    if (how == 0) {
      fs::remove(file);
    } else {
      fs::resize_file(file, rest);
      if (how == 2) fs::resize_file(file, size);
    }
  }
}

}  // namespace

TEST_CASE("power failures lose nothing acknowledged, and leave the state of some seq") {
  int with_index = 0;
  run_rounds("engine, power failures", 400, [&](uint64_t seed) {
    Scratch scratch(memory_directory());
    Life life = live(scratch / "group", seed, Disk::kHonest);
    with_index += life.kept_index && seed % 2 == 0;
    REQUIRE(recover(scratch / "group", life, seed % 2 == 0) == "");
  });
  CHECK(with_index > 30);
}

TEST_CASE("an index that a crash left torn or in part is rebuilt, never wrong") {
  int torn = 0;
  run_rounds("engine, torn index", 250, [&](uint64_t seed) {
    Scratch scratch(memory_directory());
    Life life = live(scratch / "group", seed, Disk::kHonest);
    std::mt19937_64 dice(seed);
    if (life.kept_index) tear_index(scratch / "group-index", dice);
    torn += life.kept_index;
    REQUIRE(recover(scratch / "group", life, true) == "");
  });
  CHECK(torn > 40);
}

TEST_CASE(
    "after a sync that failed nothing counts as durable, and the index does not run ahead of what the disk may have lost") {
  run_rounds("engine, failing syncs", 250, [&](uint64_t seed) {
    Scratch scratch(memory_directory());
    Life life = live(scratch / "group", seed, Disk::kFailsToSync);
    REQUIRE(recover(scratch / "group", life, true) == "");
  });
}

TEST_CASE("after a write that failed, the same") {
  run_rounds("engine, failing writes", 100, [&](uint64_t seed) {
    Scratch scratch(memory_directory());
    Life life = live(scratch / "group", seed, Disk::kFailsToWrite);
    REQUIRE(recover(scratch / "group", life, true) == "");
  });
}

TEST_CASE("an index whose log cannot be synced keeps nothing, and reads on") {
  Scratch scratch;
  IndexOptions options;
  options.write_buffer_bytes = 64 * 1024;
  Status log_state;
  options.before_flush = [&] { return log_state; };
  const auto put = [](Index& index, const std::string& key) {
    IndexBatch batch;
    batch.put(key, std::string(100, 'v'));
    return index.write(batch);
  };
  {
    auto index = Index::open(scratch / "index", options).value();
    REQUIRE(put(*index, "kept").ok());
    REQUIRE(index->flush().ok());
    log_state = Status(Code::kPoisoned, "the log has failed");
    REQUIRE(put(*index, "lost").ok());
    CHECK_FALSE(index->flush().ok());
    CHECK(index->get("kept").value().has_value());
    CHECK(index->get("lost").value().has_value());
  }
  log_state = Status();
  auto index = Index::open(scratch / "index", options).value();
  CHECK(index->get("kept").value().has_value());
  CHECK_FALSE(index->get("lost").value().has_value());
}

TEST_CASE("negative control: with syncs that do nothing, losses are found") {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    Scratch scratch(memory_directory());
    Life life = live(scratch / "group", seed, Disk::kLies);
    lost += recover(scratch / "group", life, false) != "";
  }
  CHECK(lost >= 5);
}

}  // namespace tidemark::test
