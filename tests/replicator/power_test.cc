// Power fails at a site, and while configuration is written. What a site acknowledged as durable is there, under an epoch it
// promised; a replica is there whole or not at all; a file of configuration holds the old or the new text.
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>

#include "replicator/keys.h"
#include "replicator/replica_host.h"
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
  options.index_cache_bytes = 1 << 20;
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
      if (step.number != crash_at) return Status();
      promised_ = promise_now();  // first: what is promised meanwhile does not count
      crashed_ = files_->after_crash(seed_);
      done_ = true;
      return Status();
    });
    for (uint64_t connection = 1; connection <= 4 && !done_; ++connection) connect(connection);
    files_->on_operation(nullptr);
    if (crashed_ == nullptr) {
      promised_ = promise_now();
      crashed_ = files_->after_crash(seed_);
    }
    fs::remove_all(directory_ + "/index");
  }

  // "" or what was lost.
  std::string judge() {
    const bool there = crashed_->exists(directory_ + "/group.json").value();
    if (!there) return promised_.made ? "the replica is gone" : remake();
    auto group = Group::open(directory_, OpenMode::kReplica, simulated(*crashed_));
    if (!group.ok()) return "it does not open: " + group.status().text();
    if ((*group)->position().seq < promised_.durable) {
      return "seq " + std::to_string(promised_.durable.value()) + " was acknowledged, it holds " +
             std::to_string((*group)->position().seq.value());
    }
    auto same = primary_.log().position_at((*group)->position().seq);
    if (!same.ok() || *same != (*group)->position()) return "another history";
    group->reset();
    return epoch_of_site() < promised_.epoch ? "the epoch it promised is forgotten" : "";
  }

 private:
  Promise promise_now() {
    MutexLock lock(mutex_);
    Promise now = welcomed_;
    if (session_) now.durable = std::max(now.durable, Seq(session_->durable.load()));
    return now;
  }

  std::shared_ptr<ShipSession> new_session(uint64_t id) {
    auto session = std::make_shared<ShipSession>();
    session->id = id;
    session->routing_id = "r" + std::to_string(id);
    MutexLock lock(mutex_);
    if (session_) welcomed_.durable = std::max(welcomed_.durable, Seq(session_->durable.load()));
    session_ = session;
    return session;
  }

  // Waits for the answer to HELLO.
  bool greet(ReplicaHost& host, Outbox& outbox, const std::shared_ptr<ShipSession>& session, Epoch epoch, Welcome& welcome) {
    Hello hello;
    hello.role = WireRole::kShip;
    hello.group_id = primary_.identity().id;
    hello.group = "shop";
    hello.identity = "test";
    hello.epoch = epoch;
    hello.position = primary_.position();
    REQUIRE(host.post_hello(session, hello));
    bool welcomed = false, answered = false;
    REQUIRE(eventually([&] {
      for (const Outgoing& outgoing : outbox.take_all()) {
        if (outgoing.message.empty()) continue;
        Bytes body;
        auto header = open_message(as_bytes(outgoing.message), body);
        REQUIRE(header.ok());
        answered = true;
        welcomed = header->type == MessageType::kWelcome;
        if (welcomed) welcome = decode_welcome(body).value();
      }
      return answered;
    }));
    if (!welcomed || done_) return false;
    MutexLock lock(mutex_);
    welcomed_.made = true;
    welcomed_.epoch = std::max(welcomed_.epoch, epoch);
    welcomed_.durable = std::max(welcomed_.durable, welcome.durable);
    return true;
  }

  void connect(uint64_t id) {
    Outbox outbox;
    ReplicaHost host("shop", directory_, simulated(*files_), outbox, nullptr);
    if (files_->exists(directory_ + "/group.json").value()) REQUIRE(host.open_existing().ok());
    auto session = new_session(id);
    Welcome welcome;
    if (!greet(host, outbox, session, Epoch(id), welcome)) return;
    REQUIRE(host.post_begin(session, 1, welcome.position));
    LogCursor cursor(primary_.log(), welcome.position.seq.next());
    for (uint64_t runs = 1 + random_() % 12; runs > 0 && !done_; --runs) {
      auto run = cursor.read(1000 + random_() % 30'000, primary_.log().durable());
      REQUIRE(run.ok());
      if (run->bytes.empty()) break;
      std::string text(kWireHeaderSize + kDataFixed + run->bytes.size(), '\0');
      encode_data_message({reinterpret_cast<std::byte*>(text.data()), text.size()}, {run->first, run->last, run->bytes}, id,
                          1);
      host.post_data(session, Message::own(std::move(text)));
      const Seq wanted = run->last;
      if (random_() % 3 == 0) eventually([&] { return done_ || session->over || session->durable >= wanted.value(); });
    }
    const uint64_t last = cursor.next().value() - 1;
    if (random_() % 2 == 0) eventually([&] { return done_ || session->over || session->received >= last; });
  }

  // Half-made: it is none, and can be made.
  std::string remake() {
    if (Group::identify(directory_, *crashed_).status().code() != Code::kNotFound) return "a half-made replica is shown";
    GroupIdentity identity = primary_.identity();
    identity.role = Role::kReplica;
    return Group::init_replica(directory_, identity, simulated(*crashed_)).ok() ? "" : "a replica cannot be made any more";
  }

  Epoch epoch_of_site() {
    Outbox outbox;
    ReplicaHost host("shop", directory_, simulated(*crashed_), outbox, nullptr);
    REQUIRE(host.open_existing().ok());
    files_ = std::move(crashed_);
    done_ = false;
    Welcome welcome;
    for (uint64_t epoch = 1; epoch <= 5; ++epoch) {  // the first that is not refused
      if (greet(host, outbox, new_session(90 + epoch), Epoch(epoch), welcome)) return welcome.highest;
    }
    return Epoch(99);
  }

  const std::string directory_;
  Group& primary_;
  std::mt19937_64 random_;
  const uint64_t seed_;
  std::unique_ptr<FaultFileSystem> files_, crashed_;
  std::atomic<bool> done_{false};
  Promise promised_;
  Mutex mutex_;
  Promise welcomed_ TM_GUARDED_BY(mutex_);
  std::shared_ptr<ShipSession> session_ TM_GUARDED_BY(mutex_);
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
    Scratch away;
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
    Scratch away;
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
    std::vector<PairConfig> pairs;
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
      pairs.push_back({"site" + std::to_string(pairs.size()), "tcp://127.0.0.1:4000", "", ""});
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
