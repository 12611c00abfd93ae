// Power fails while a group is made: afterwards there is a whole group, or none and it can be made.
#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/fault_file.h"
#include "tests/support/rounds.h"
#include "tests/support/scratch.h"
#include "tests/volume/model.h"
#include "volume/group/group.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLongest = 40;  // operations on files that making a group takes, at most

GroupOptions simulated(FaultFileSystem& files) {
  GroupOptions options;
  options.files = &files;
  options.log.commit_interval = std::chrono::milliseconds(0);
  options.log.reserve_bytes = 0;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

// One site's directory /group: real for lock and index, simulated for all else.
class Birth {
 public:
  Birth(Role role, uint64_t seed, bool disk_lies) : role_(role), seed_(seed) {
    files_ = std::make_unique<FaultFileSystem>();
    std::string path;
    for (const fs::path& part : fs::path(scratch_.path()).relative_path()) {
      path += "/" + part.string();
      REQUIRE(files_->make_directory(path).ok());
    }
    fs::create_directory(directory_);
    files_->forget_directories();
    files_->ignore_syncs(disk_lies);
  }

  // Power fails before operation `at`, or once all is done. True if that was the end.
  bool interrupted_at(uint64_t at) {
    std::unique_ptr<FaultFileSystem> crashed;
    const uint64_t start = files_->operations();
    files_->on_operation([&](const FaultFileSystem::Step& step) {
      if (step.number - start == at) crashed = files_->after_crash(seed_);
      return Status();
    });
    REQUIRE(make().ok());
    files_->on_operation(nullptr);
    acknowledged_ = crashed == nullptr;
    files_ = crashed ? std::move(crashed) : files_->after_crash(seed_);
    files_->forget_directories();
    return acknowledged_;
  }

  // "" or what is wrong.
  std::string judge() {
    const bool there = files_->exists(directory_ + "/group.json").value();
    if (!there && acknowledged_) return "it was made, and is gone";
    if (!there && Group::identify(directory_, *files_).status().code() != Code::kNotFound)
      return "something half-made is shown";
    if (!there && !make().ok()) return "it cannot be made any more";
    fs::remove_all(directory_ + "/index");
    auto group =
        Group::open(directory_, role_ == Role::kPrimary ? OpenMode::kPrimary : OpenMode::kReplica, simulated(*files_));
    if (!group.ok()) return "it does not open: " + group.status().text();
    if (role_ == Role::kReplica) return (*group)->position() == Position() ? "" : "a replica with records of its own";
    if (!(*group)->volume().make_node(kRootIno, "first", {.mode = 0100644}).ok()) return "nothing can be written";
    return (*group)->sync().ok() ? "" : "nothing can be synced";
  }

 private:
  Status make() {
    const GroupOptions options = simulated(*files_);
    if (role_ == Role::kPrimary) return Group::init(directory_, {.name = "test"}, options);
    GroupIdentity identity;
    identity.name = "test";
    identity.id[0] = std::byte{7};
    return Group::init_replica(directory_, identity, options);
  }

  const Role role_;
  const uint64_t seed_;
  Scratch scratch_{memory_directory()};
  const std::string directory_ = scratch_ / "group";
  std::unique_ptr<FaultFileSystem> files_;
  bool acknowledged_ = false;
};

}  // namespace

TEST_CASE("power failures while a group is made leave a whole one, or none") {
  run_rounds("making groups", 300, [](uint64_t seed) {
    Birth birth(seed % 3 == 0 ? Role::kReplica : Role::kPrimary, seed, false);
    const bool done = birth.interrupted_at(seed % 32);
    INFO((done ? "after it was made" : "while it was made"));
    // Once more, in what the first failure left: as somebody would who tries again and meets the next.
    if (!done && seed % 2 == 0) birth.interrupted_at(seed / 32 % 32);
    REQUIRE(birth.judge() == "");
  });
}

TEST_CASE("negative control: with syncs that do nothing, groups that were made are lost") {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Birth birth(Role::kPrimary, seed, true);
    birth.interrupted_at(kLongest);
    lost += birth.judge() != "";
  }
  CHECK(lost >= 10);
}

TEST_CASE("a group is not made where something is, and an unfinished one is opened by nobody but who finishes it") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  fs::create_directory(directory);
  fs::create_directory(directory + "/something");
  CHECK(Group::init(directory, {.name = "test"}).code() == Code::kNotEmpty);
  fs::remove(directory + "/something");
  REQUIRE(Group::init(directory, {.name = "test", .unfinished = "filled from somewhere"}).ok());
  CHECK(Group::init(directory, {.name = "test"}).code() == Code::kNotEmpty);
  for (OpenMode mode : {OpenMode::kPrimary, OpenMode::kRead}) {
    const Status refused = Group::open(directory, mode).status();
    CHECK(refused.code() == Code::kNotFound);
    CHECK(refused.text().find("filled from somewhere") != std::string::npos);
  }
  GroupOptions finishing;
  finishing.finishing = true;
  {
    auto group = Group::open(directory, OpenMode::kPrimary, finishing);
    REQUIRE(group.ok());
    CHECK(Group::open(directory, OpenMode::kPrimary).status().code() == Code::kBusy);
    REQUIRE((*group)->volume().make_node(kRootIno, "content", {.mode = 0100644}).ok());
    REQUIRE((*group)->close().ok());
  }
  REQUIRE(Group::declare_finished(directory).ok());
  CHECK(Group::open(directory, OpenMode::kPrimary).ok());
  // A log without its identity may be all somebody has left: it is not taken for nothing.
  fs::remove(directory + "/group.json");
  fs::remove_all(directory + "/index");
  CHECK(Group::init(directory, {.name = "test"}).code() == Code::kNotEmpty);
}

}  // namespace tidemark::test
