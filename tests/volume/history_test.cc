// The log limit, and who looks after the history.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <mutex>
#include <random>
#include <thread>

#include "tests/support/scratch.h"
#include "volume/history/history_keeper.h"

namespace tidemark::test {
namespace {

constexpr uint64_t kMiB = 1 << 20;

std::unique_ptr<Group> make_group(const std::string& directory, const RetentionPolicy& policy, const LogLimit& limit) {
  GroupOptions options;
  options.log.segment_bytes = 256 * 1024;
  options.retention = policy;
  options.log_limit = limit;
  REQUIRE(Group::init(directory, {.name = "test"}, options).ok());
  auto group = Group::open(directory, OpenMode::kPrimary, options);
  REQUIRE(group.ok());
  return std::move(group).value();
}

Status write(Group& group, Ino ino, uint64_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string content(size, '\0');
  for (char& byte : content) byte = static_cast<char>(random());
  return group.volume().write(ino, 0, as_bytes(content), false).status();
}

bool within(std::chrono::seconds patience, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace

TEST_CASE("log limit: ok, alert, full, each with its hysteresis") {
  const LogLimit limit{1000, OnFull::kSuspendPair};
  CHECK(log_pressure(5000, {}) == LogPressure::kOk);
  CHECK(log_pressure(799, limit) == LogPressure::kOk);
  CHECK(log_pressure(800, limit) == LogPressure::kAlert);
  CHECK(log_pressure(799, limit, LogPressure::kAlert) == LogPressure::kAlert);
  CHECK(log_pressure(749, limit, LogPressure::kAlert) == LogPressure::kOk);
  CHECK(log_pressure(999, limit, LogPressure::kAlert) == LogPressure::kAlert);
  CHECK(log_pressure(1000, limit, LogPressure::kAlert) == LogPressure::kFull);
  CHECK(log_pressure(950, limit, LogPressure::kFull) == LogPressure::kFull);
  CHECK(log_pressure(949, limit, LogPressure::kFull) == LogPressure::kAlert);
  CHECK(log_pressure(0, limit, LogPressure::kFull) == LogPressure::kOk);
}

TEST_CASE("log limit: block-writes refuses new data by name; deleting, marking and pruning go on") {
  Scratch scratch;
  auto group = make_group(scratch / "group", {}, {2 * kMiB, OnFull::kBlockWrites});
  Volume& volume = group->volume();
  const Ino file = volume.make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  Status written;
  for (uint64_t i = 0; i < 20 && written.ok(); ++i) written = write(*group, file, 256 * 1024, i);
  CHECK(written.code() == Code::kNoSpace);
  CHECK(written.text().find("limit of 2 MiB") != std::string::npos);
  CHECK(group->log().bytes() < 3 * kMiB);
  CHECK(volume.make_node(kRootIno, "g", {.mode = S_IFREG | 0644}).status().code() == Code::kNoSpace);
  CHECK(volume.copy_range(file, 0, file, kMiB, 4096).status().code() == Code::kNoSpace);
  CHECK(volume.set_xattr(file, "user.a", "b", Volume::XattrMode::kEither).code() == Code::kNoSpace);
  CHECK(group->create_mark({.name = "full"}).ok());
  SetAttr cut{.mask = kSetSize};
  CHECK(volume.set_attr(file, cut).ok());
  CHECK(volume.unlink(kRootIno, "f").ok());
  CHECK(volume.free_inodes({file}).ok());
  REQUIRE(group->sync().ok());
  REQUIRE(group->prune({.to = group->newest()}).ok());
  CHECK(volume.make_node(kRootIno, "g", {.mode = S_IFREG | 0644}).ok());
}

TEST_CASE("log limit: suspend-pair refuses nothing here") {
  Scratch scratch;
  auto group = make_group(scratch / "group", {}, {kMiB, OnFull::kSuspendPair});
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  for (uint64_t i = 0; i < 10; ++i) CHECK(write(*group, file, 256 * 1024, i).ok());
}

TEST_CASE("history keeper: prunes by the policy, up to what others need; tells each pressure once") {
  Scratch scratch;
  auto group = make_group(scratch / "group", {std::chrono::seconds(0), kMiB}, {8 * kMiB, OnFull::kSuspendPair});
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  std::mutex mutex;
  std::vector<LogPressure> told;
  std::atomic<uint64_t> needed{1};
  HistoryKeeperOptions options;
  options.needs = [&](PruneRequest& request) { request.keep = {{Seq(needed.load()), "the test"}}; };
  options.on_pressure = [&](LogPressure now) {
    std::lock_guard lock(mutex);
    told.push_back(now);
  };
  options.prune_every = std::chrono::milliseconds(20);
  options.look_every = std::chrono::milliseconds(5);
  const auto tell = [&] {
    std::lock_guard lock(mutex);
    return told;
  };
  auto keeper = std::make_unique<HistoryKeeper>(*group, options);
  uint64_t seed = 0;
  while (group->log().bytes() < 7 * kMiB) REQUIRE(write(*group, file, 128 * 1024, ++seed).ok());
  REQUIRE(within(std::chrono::seconds(20), [&] { return !tell().empty(); }));
  CHECK(group->base() == Seq(1));
  while (group->log().bytes() < 9 * kMiB) REQUIRE(write(*group, file, 128 * 1024, ++seed).ok());
  REQUIRE(within(std::chrono::seconds(20), [&] { return tell().size() >= 2; }));
  REQUIRE(group->sync().ok());
  needed = UINT64_MAX;
  REQUIRE(within(std::chrono::seconds(20), [&] { return group->log().bytes() <= kMiB + 256 * 1024; }));
  REQUIRE(within(std::chrono::seconds(20), [&] { return tell().back() == LogPressure::kOk; }));
  CHECK(group->base() > Seq(1));
  CHECK(tell() == std::vector<LogPressure>{LogPressure::kAlert, LogPressure::kFull, LogPressure::kOk});
  keeper.reset();
  CHECK(group->prune({.to = group->newest()}).status().code() == Code::kInterrupted);
}

TEST_CASE(
    "history keeper: full with suspend-pair, it gives up one after the other, only as many as it takes, and none in vain") {
  Scratch scratch;
  const bool in_vain = GENERATE(false, true);
  const bool with_policy = GENERATE(false, true);
  const RetentionPolicy policy{std::chrono::seconds(0), with_policy ? kMiB : 0};
  auto group = make_group(scratch / "group", policy, {4 * kMiB, OnFull::kSuspendPair});
  if (in_vain) {
    REQUIRE(group->create_mark({.name = "held"}).ok());
    REQUIRE(group->hold_mark("held", true).ok());
  }
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  std::mutex mutex;
  std::vector<Seq> needed;  // rising; the last of them needs nothing that matters
  std::vector<Seq> base_when_given_up;
  HistoryKeeperOptions options;
  options.needs = [&](PruneRequest& request) {
    std::lock_guard lock(mutex);
    for (Seq seq : needed) request.keep.push_back({seq, "pair " + std::to_string(seq.value())});
  };
  options.give_up_one = [&] {
    std::lock_guard lock(mutex);
    if (needed.empty()) return false;
    needed.erase(needed.begin());
    base_when_given_up.push_back(group->base());
    return true;
  };
  options.prune_every = std::chrono::hours(1);
  options.look_every = std::chrono::milliseconds(5);
  uint64_t seed = 0;
  while (group->log().bytes() < 3 * kMiB) REQUIRE(write(*group, file, 128 * 1024, ++seed).ok());
  {
    std::lock_guard lock(mutex);
    needed = {Seq(2), Seq(5), group->newest()};
  }
  while (group->log().bytes() < 5 * kMiB) REQUIRE(write(*group, file, 128 * 1024, ++seed).ok());
  REQUIRE(group->sync().ok());
  auto keeper = std::make_unique<HistoryKeeper>(*group, options);
  if (in_vain) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK(base_when_given_up.empty());
    CHECK(group->base() <= Seq(2));
  } else {
    REQUIRE(within(std::chrono::seconds(20), [&] { return group->log().bytes() < 4 * kMiB; }));
    keeper.reset();
    CHECK(needed.size() == 1);
    CHECK(base_when_given_up == std::vector<Seq>{Seq(1), Seq(1)});
    CHECK(group->base() <= needed.front());
  }
}

TEST_CASE("history keeper: a difference that is being sent does not keep the log full: its pair is given up, and no other") {
  Scratch scratch;
  auto group = make_group(scratch / "group", {}, {4 * kMiB, OnFull::kSuspendPair});
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  uint64_t seed = 0;
  REQUIRE(write(*group, file, 128 * 1024, ++seed).ok());
  const Position old = group->position();
  while (group->log().bytes() < 2 * kMiB) REQUIRE(write(*group, file, 128 * 1024, ++seed).ok());
  REQUIRE(group->sync().ok());
  PruneRequest prune{.to = group->newest()};
  prune.tombstones_from = old.seq;
  prune.copy_ends = {{old.seq, old.seq}};
  REQUIRE(group->prune(prune).ok());
  auto reader = group->read_difference(old);
  INFO(reader.status().text());
  REQUIRE(reader.ok());
  std::mutex mutex;
  std::vector<Seq> needed{old.seq.next(), kLatest};
  HistoryKeeperOptions options;
  options.needs = [&](PruneRequest& request) {
    std::lock_guard lock(mutex);
    for (Seq seq : needed) request.keep.push_back({seq, "a pair"});
    request.tombstones_from = old.seq;
  };
  options.give_up_one = [&] {
    std::lock_guard lock(mutex);
    if (needed.size() == 2) reader->reset();
    needed.erase(needed.begin());
    return true;
  };
  options.prune_every = std::chrono::hours(1);
  options.look_every = std::chrono::milliseconds(5);
  auto keeper = std::make_unique<HistoryKeeper>(*group, options);
  while (group->log().bytes() < 3 * kMiB) REQUIRE(write(*group, file, 128 * 1024, ++seed).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  {
    std::lock_guard lock(mutex);
    CHECK(needed.size() == 2);  // not before the limit
  }
  for (int i = 0; i < 20; ++i) REQUIRE(write(*group, file, 128 * 1024, ++seed).ok());
  REQUIRE(group->sync().ok());
  CHECK(within(std::chrono::seconds(20), [&] { return group->log().bytes() < 4 * kMiB; }));
  keeper.reset();
  CHECK(needed.size() == 1);
}

}  // namespace tidemark::test
