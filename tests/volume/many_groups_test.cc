// Hundreds of groups in one process cost it neither threads nor memory by the hundred.
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <thread>

#include "tests/support/scratch.h"
#include "tests/support/threads.h"
#include "volume/group/group.h"
#include "volume/history/history_keeper.h"

namespace tidemark::test {
namespace {

using namespace std::chrono_literals;

bool within(std::chrono::seconds time, const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

// As a site has them: without a timer of its own.
GroupOptions options_with(std::shared_ptr<IndexMemory> memory) {
  GroupOptions options;
  options.index_memory = std::move(memory);
  options.log.commit_interval = 0ms;
  options.log.segment_bytes = 1 << 20;
  return options;
}

std::unique_ptr<Group> make_group(const std::string& directory, const GroupOptions& options) {
  REQUIRE(Group::init(directory, {.name = "test"}, options).ok());
  auto group = Group::open(directory, OpenMode::kPrimary, options);
  INFO(group.status().text());
  REQUIRE(group.ok());
  return std::move(*group);
}

void add_files(Group& group, int from, int count) {
  for (int i = from; i < from + count; ++i)
    REQUIRE(group.volume()
                .make_node(kRootIno, "a file with a name of some length " + std::to_string(i), {.mode = S_IFREG})
                .ok());
}

}  // namespace

TEST_CASE("many groups: they share threads, and one memory for their indexes") {
  constexpr size_t kGroups = 40;
  Scratch scratch{memory_directory()};
  GroupOptions options = options_with(nullptr);
  options.retention.log_bytes = 1 << 20;
  const size_t before = own_threads();
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::unique_ptr<HistoryKeeper>> keepers;
  for (size_t i = 0; i < kGroups; ++i) {
    groups.push_back(make_group(scratch / std::to_string(i), options));
    add_files(*groups.back(), 0, 1);
    keepers.push_back(std::make_unique<HistoryKeeper>(*groups.back(), HistoryKeeperOptions()));
  }
  // RocksDB's threads and its timer, and those who look after the groups.
  CHECK(own_threads() - before <= 12);
  const auto memory = IndexMemory::of_this_process();
  const uint64_t each = memory->rows() / kGroups;
  CHECK(each >= 64u << 10);
  CHECK(each <= 2u << 20);
  CHECK(memory->used() >= memory->rows());
  keepers.clear();
  groups.clear();
  CHECK(memory->rows() == 0);
}

TEST_CASE("many groups: the rows of all stay within the budget, whoever they belong to") {
  constexpr uint64_t kBudget = 12 << 20;
  constexpr int kGroups = 8;
  Scratch scratch{memory_directory()};
  const auto memory = std::make_shared<IndexMemory>(2 * kBudget, kBudget);
  GroupOptions options = options_with(memory);
  options.index_write_buffer_bytes = 8 << 20;  // alone, each of them would hold as much, and four times
  std::vector<std::unique_ptr<Group>> groups;
  for (int i = 0; i < kGroups; ++i) groups.push_back(make_group(scratch / std::to_string(i), options));
  uint64_t most = 0;
  for (int round = 0; round < 60; ++round) {
    for (auto& group : groups) {
      add_files(*group, round * 100, 100);
      most = std::max(most, memory->rows());
    }
  }
  INFO("at most " << (most >> 10) << " KiB of rows");
  CHECK(most >= kBudget / 2);
  CHECK(most <= kBudget + (4u << 20));
  for (auto& group : groups) {
    const auto space = group->space();
    REQUIRE(space.ok());
    CHECK(space->inodes == 6001);
    CHECK(group->volume().lookup(kRootIno, "a file with a name of some length 5999").ok());
  }
}

TEST_CASE("many groups: a keeper that hangs holds up no other") {
  Scratch scratch{memory_directory()};
  GroupOptions options = options_with(nullptr);
  options.retention.log_bytes = 1 << 20;
  HistoryKeeperOptions often;
  often.prune_every = 20ms;
  often.look_every = 5ms;
  std::atomic<bool> hangs{true};
  std::atomic<int> hanging{0};
  HistoryKeeperOptions stuck = often;  // as on a disk that does not answer
  stuck.needs = [&](PruneRequest&) {
    ++hanging;
    while (hangs) std::this_thread::sleep_for(1ms);
  };
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::unique_ptr<HistoryKeeper>> keepers;
  for (int i = 0; i < 10; ++i) {
    groups.push_back(make_group(scratch / std::to_string(i), options));
    keepers.push_back(std::make_unique<HistoryKeeper>(*groups.back(), i == 9 ? often : stuck));
  }
  CHECK(within(20s, [&] { return hanging == 9; }));
  Group& sound = *groups.back();
  const auto file = sound.volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644});
  REQUIRE(file.ok());
  std::mt19937_64 random(1);
  std::string content(256 << 10, '\0');
  for (int i = 0; i < 40; ++i) {
    std::generate(content.begin(), content.end(), [&] { return static_cast<char>(random()); });
    REQUIRE(sound.volume().write(file->ino, 0, as_bytes(content), false).ok());
  }
  REQUIRE(sound.sync().ok());
  CHECK(within(20s, [&] { return sound.base() > Seq(1); }));
  hangs = false;
}

}  // namespace tidemark::test
