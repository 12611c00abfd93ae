// Power fails at a site, and while configuration is written. What a site acknowledged as durable is there, under an epoch it
// promised; a replica is there whole or not at all; a file of configuration holds the old or the new text.
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>

#include "log/read/cursor.h"
#include "replicator/site/replica_core.h"
#include "replicator/wire/keys.h"
#include "tests/replicator/support.h"
#include "tests/support/fault_file.h"
#include "tests/support/rounds.h"

using namespace tidemark;
using namespace tidemark::test;
namespace fs = std::filesystem;

namespace {

std::unique_ptr<FaultFileSystem> disk_with(const std::string& directory) {
  auto files = std::make_unique<FaultFileSystem>();
  std::string path;
  for (const fs::path& part : fs::path(directory).relative_path()) {
    path += "/" + part.string();
    REQUIRE(files->make_directory(path).ok());
  }
  files->forget_directories();
  return files;
}

GroupOptions simulated(FaultFileSystem& files) {
  GroupOptions options;
  options.files = &files;
  options.log.segment_bytes = 128 * 1024;
  options.log.commit_interval = std::chrono::milliseconds(0);
  options.log.reserve_bytes = 0;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

// What a site had promised at one moment.
struct Promise {
  bool made = false;  // WELCOME was sent
  Epoch epoch;
  Seq durable;
};

// A site that takes a primary's log over several connections, until its power fails before some operation on its files.
class SiteLife {
 public:
  SiteLife(const std::string& directory, Group& primary, uint64_t seed, bool disk_lies)
      : directory_(directory),
        primary_(primary),
        random_(seed),
        seed_(seed),
        files_(disk_with(fs::path(directory).parent_path())) {
    fs::create_directories(directory);
    files_->ignore_syncs(disk_lies);
  }

  void live() {
    const uint64_t crash_at = files_->operations() + random_() % 90;
    files_->on_operation([&](const FaultFileSystem::Step& step) {
      if (step.number == crash_at) crash();
      return Status();
    });
    for (uint64_t epoch = 1; epoch <= 4 && crashed_ == nullptr; ++epoch) connect(epoch);
    files_->on_operation(nullptr);
    if (crashed_ == nullptr) crash();
    fs::remove_all(directory_ + "/index");
  }

  // "" or what was lost.
  std::string judge() {
    const bool there = crashed_->exists(directory_ + "/group.json").value();
    if (!there) return promised_.made ? "the replica is gone" : remake();
    ReplicaCore core("shop", directory_, simulated(*crashed_), nullptr);
    if (Status opened = core.open_existing(); !opened.ok()) return "it does not open: " + opened.text();
    const Position held = core.group()->position();
    if (held.seq < promised_.durable) {
      return "seq " + std::to_string(promised_.durable.value()) + " was acknowledged, it holds " +
             std::to_string(held.seq.value());
    }
    auto same = primary_.log().position_at(held.seq);
    if (!same.ok() || *same != held) return "another history";
    if (promised_.epoch <= Epoch(1)) return "";
    Retry retry{};
    const Status stale = core.hello(hello_of(Epoch(promised_.epoch.value() - 1)), Claimant(), retry).status();
    return stale.code() == Code::kStaleEpoch ? "" : "the epoch it promised is forgotten";
  }

 private:
  void crash() {
    promised_ = promise_;
    crashed_ = files_->after_crash(seed_);
  }

  Hello hello_of(Epoch epoch) const {
    Hello hello;
    hello.role = WireRole::kShip;
    hello.group_id = primary_.identity().id;
    hello.group = "shop";
    hello.identity = "test";
    hello.epoch = epoch;
    // The record that began this tenure follows all that is shipped here.
    hello.position = primary_.position();
    hello.position.epoch = epoch;
    hello.position.seq = hello.position.seq.next();
    return hello;
  }

  // One connection of a primary: a part of its log, with acknowledgements now and then, and news of the pair's state.
  void connect(uint64_t epoch) {
    ReplicaCore core("shop", directory_, simulated(*files_), nullptr);
    if (files_->exists(directory_ + "/group.json").value()) REQUIRE(core.open_existing().ok());
    Retry retry{};
    const Hello hello = hello_of(Epoch(epoch));
    auto welcome = core.hello(hello, Claimant(), retry);
    INFO(welcome.status().text());
    REQUIRE(welcome.ok());
    promise_.made = true;
    promise_.durable = std::max(promise_.durable, welcome->durable);
    REQUIRE(core.begin({Claimant(), hello.epoch, hello.position}, welcome->position).ok());
    promise_.epoch = Epoch(epoch);  // BEGIN promises it, not HELLO
    LogCursor cursor(primary_.log(), welcome->position.seq.next());
    for (uint64_t runs = 1 + random_() % 12; runs > 0 && crashed_ == nullptr; --runs) {
      auto run = cursor.read(1000 + random_() % 30'000, primary_.log().durable());
      REQUIRE(run.ok());
      if (run->bytes.empty()) break;
      std::string text(kWireHeaderSize + kDataFixed + run->bytes.size(), '\0');
      encode_data_message({reinterpret_cast<std::byte*>(text.data()), text.size()}, {run->first, run->last, run->bytes},
                          epoch, 1);
      REQUIRE(core.take(Epoch(epoch), as_bytes(text).subspan(kWireHeaderSize)).ok());
      if (random_() % 3 == 0) REQUIRE(core.commit().ok());
      promise_.durable = std::max(promise_.durable, core.durable());
    }
    REQUIRE(core.close().ok());
  }

  // Half-made: it is none, and can be made.
  std::string remake() {
    if (Group::identify(directory_, *crashed_).status().code() != Code::kNotFound) return "a half-made replica is shown";
    GroupIdentity identity = primary_.identity();
    identity.role = Role::kReplica;
    return Group::init_replica(directory_, identity, simulated(*crashed_)).ok() ? "" : "a replica cannot be made any more";
  }

  const std::string directory_;
  Group& primary_;
  std::mt19937_64 random_;
  const uint64_t seed_;
  std::unique_ptr<FaultFileSystem> files_, crashed_;
  Promise promise_, promised_;
};

// A primary with a few hundred records in its log.
std::unique_ptr<Group> busy_primary(const std::string& directory) {
  auto primary = make_primary(directory);
  fill(*primary, 1 << 20, 1);
  for (int i = 0; i < 60; ++i) touch(*primary, "f" + std::to_string(i), std::string(100 + 37 * static_cast<size_t>(i), 'x'));
  REQUIRE(primary->sync().ok());
  return primary;
}

}  // namespace

TEST_CASE("a site that lost power holds what it acknowledged, or no replica at all") {
  Scratch work;
  auto primary = busy_primary(work / "p");
  run_rounds("site, power failures", 200, [&](uint64_t seed) {
    Scratch away(memory_directory());
    SiteLife life(away / "site/shop", *primary, seed, false);
    life.live();
    REQUIRE(life.judge() == "");
  });
}

TEST_CASE("negative control: a site whose disk lies is found out") {
  Scratch work;
  auto primary = busy_primary(work / "p");
  int lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Scratch away(memory_directory());
    SiteLife life(away / "site/shop", *primary, seed, true);
    life.live();
    lost += life.judge() != "";
  }
  CHECK(lost >= 5);
}

TEST_CASE("pairs.json and keys: after a power failure the old or the new, never anything else") {
  run_rounds("configuration, power failures", 200, [](uint64_t seed) {
    std::mt19937_64 random(seed);
    auto files = disk_with("/dir");
    std::vector<Pair> pairs;
    size_t acknowledged = 0, tried = 0;
    bool keys = false;
    std::unique_ptr<FaultFileSystem> crashed;
    size_t at_crash = 0;
    bool keys_at_crash = false;
    const uint64_t crash_at = files->operations() + random() % 60;
    files->on_operation([&](const FaultFileSystem::Step& step) {
      if (step.number == crash_at) {
        at_crash = acknowledged;
        keys_at_crash = keys;
        crashed = files->after_crash(seed);
      }
      return Status();
    });
    while (crashed == nullptr) {
      pairs.emplace_back();
      pairs.back().config.site = "site" + std::to_string(pairs.size());
      pairs.back().config.endpoint = "tcp://127.0.0.1:4000";
      if (pairs.size() > 40) pairs.clear();
      tried = pairs.size();
      REQUIRE(save_pairs("/dir", pairs, *files).ok());
      acknowledged = tried;
      if (keys) continue;
      REQUIRE(generate_key("/dir/key", *files).ok());
      keys = true;
    }
    auto loaded = load_pairs("/dir", *crashed);
    INFO(loaded.status().text());
    REQUIRE(loaded.ok());
    CHECK((loaded->size() == at_crash || loaded->size() == tried));
    for (const std::string name : {"/dir/key", "/dir/key.pub"}) {
      const std::string content = crashed->content(name);
      if (keys_at_crash) CHECK(!content.empty());
      if (!content.empty()) CHECK(content == files->content(name));  // whole
      CHECK((!content.empty() || !crashed->exists(name).value()));
    }
  });
}
