// Power fails while a tree is restored to a new volume: afterwards there is the whole volume, or none that anybody can open.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <random>

#include "restore/restore.h"
#include "tests/restore/memory_view.h"
#include "tests/restore/scratch.h"
#include "tests/support/fault_file.h"
#include "tests/support/rounds.h"

using namespace tidemark;
using namespace tidemark::test;
namespace fs = std::filesystem;

namespace {

constexpr int kFiles = 12;

std::string content_of(int file) {
  return std::string(static_cast<size_t>(3'000 * file + 1), static_cast<char>('a' + file));
}
std::string name_of(int file) { return "file-" + std::to_string(file); }

void fill(MemoryView& view) {
  for (int i = 0; i < kFiles; ++i) {
    const Ino directory = view.add_directory(kRootIno, "dir-" + std::to_string(i));
    view.add_file(directory, name_of(i), content_of(i));
  }
}

GroupOptions simulated(FaultFileSystem& files) {
  GroupOptions options;
  options.files = &files;
  options.log.commit_interval = std::chrono::milliseconds(0);
  options.log.segment_bytes = 64 * 1024;
  options.log.reserve_bytes = 0;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

std::string missing_file(Group& group) {
  for (int i = 0; i < kFiles; ++i) {
    auto directory = group.volume().lookup(kRootIno, "dir-" + std::to_string(i));
    if (!directory.ok()) return "dir-" + std::to_string(i) + " is missing";
    auto file = group.volume().lookup(directory->ino, name_of(i));
    std::string held(content_of(i).size() + 1, '\0');
    if (!file.ok()) return name_of(i) + " is missing";
    auto got = group.volume().read(file->ino, 0, {reinterpret_cast<std::byte*>(held.data()), held.size()});
    if (!got.ok() || held.substr(0, *got) != content_of(i)) return name_of(i) + " has another content";
  }
  return group.find_mark("restored").ok() ? "" : "the mark is missing";
}

// One restore whose power fails before operation `at`. "" or what is wrong afterwards.
std::string restore_through_crash(uint64_t seed, uint64_t at, bool disk_lies) {
  // Simulated crashes lose nothing by it, and RocksDB's many syncs cost nothing in memory.
  Scratch scratch(::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "");
  FaultFileSystem files;
  std::string path;
  for (const fs::path& part : fs::path(scratch.path()).relative_path()) {
    path += "/" + part.string();
    REQUIRE(files.make_directory(path).ok());
  }
  files.forget_directories();
  files.ignore_syncs(disk_lies);
  MemoryView view;
  fill(view);
  RestoreOptions options;
  options.target = scratch.path("copy");
  options.jobs = 2;
  options.volume = simulated(files);
  fs::create_directory(options.target);
  std::unique_ptr<FaultFileSystem> crashed;
  files.on_operation([&](const FaultFileSystem::Step& step) {
    if (step.number == at) crashed = files.after_crash(seed);
    return Status();
  });
  auto report = restore_to_volume(view, options, "copy");
  INFO(report.status().text());
  REQUIRE(report.ok());
  const bool acknowledged = crashed == nullptr;
  if (acknowledged) crashed = files.after_crash(seed);
  fs::remove_all(options.target + "/index");
  auto group = Group::open(options.target, OpenMode::kPrimary, simulated(*crashed));
  if (group.ok()) return missing_file(**group);
  if (acknowledged) return "it was restored and does not open: " + group.status().text();
  return group.status().code() == Code::kNotFound ? "" : "it is neither there nor absent: " + group.status().text();
}

}  // namespace

TEST_CASE("power failures while a volume is restored leave a whole one, or none that opens") {
  run_rounds("restore to a volume, power failures", 150,
             [](uint64_t seed) { REQUIRE(restore_through_crash(seed, seed * 7919 % 60, false) == ""); });
}

TEST_CASE("negative control: with syncs that do nothing, a restored volume is lost") {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) lost += restore_through_crash(seed, 1000, true) != "";
  CHECK(lost >= 5);
}
