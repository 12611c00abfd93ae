// Segments that lie in a pool: where they go, what removal leaves, and power failures at every moment.
#include <catch2/catch.hpp>
#include <set>

#include "log/repair/verify.h"
#include "log/write/segment_pool.h"
#include "log/write/writer.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

constexpr char kPool[] = "/pool";
constexpr char kOther[] = "/other";

// Two segments of the log's own, three in the first directory of the pool, then the second one.
LogOptions pooled() {
  LogOptions options = quiet_options(4096);
  options.own_bytes_max = 2 * 4096;
  options.pool = {{kPool, 3 * 4096}, {kOther, 0}};
  options.pool_owner = group_id_text(test_group());
  return options;
}

struct PooledLog : TestLog {
  PooledLog() : TestLog(quiet_options(4096)) {
    must(files.make_directory(kPool));
    must(files.make_directory(kOther));
    reopen(pooled());
  }
  void reopen(const LogOptions& options) {
    log.reset();
    log = must(LogWriter::open(files, clock, kDirectory, options, Seq(), nullptr));
  }
};

RetireOrder nothing_needed(Seq base) {
  RetireOrder order;
  order.base = base;
  order.live = [](uint64_t, uint64_t) -> Result<LiveWindow> { return LiveWindow(); };
  return order;
}

// "" where every file in the pool has exactly one link, and every link a file.
std::string mismatch(FaultFileSystem& files) {
  std::set<std::string> linked;
  for (const std::string& name : must(files.list(kDirectory))) {
    const std::string target = must(files.read_link(kDirectory + "/" + name));
    if (target.empty()) continue;
    if (!must(files.exists(target))) return name + " leads nowhere";
    if (!linked.insert(target).second) return target + " has two links";
  }
  for (const std::string place : {kPool, kOther}) {
    for (const std::string& name : must(files.list(place))) {
      if (linked.erase(place + "/" + name) == 0) return name + " is left over";
    }
  }
  return linked.empty() ? "" : "a link leads elsewhere";
}

size_t count(FaultFileSystem& files, const std::string& directory) {
  size_t segments = 0;
  for (const std::string& name : must(files.list(directory))) segments += name.ends_with(".seg");
  return segments;
}

}  // namespace

TEST_CASE("pool: taken into use in order, read like any segment, and given back") {
  PooledLog t;
  const auto written = t.add(200);
  must(t.log->sync(kLatest));
  CHECK(count(t.files, kPool) == 3);
  CHECK(count(t.files, kOther) == count(t.files, kDirectory) - 5);
  CHECK(count(t.files, kOther) > 10);
  CHECK(mismatch(t.files) == "");
  const auto use = t.log->pool();
  REQUIRE(use.size() == 2);
  CHECK(use[0].segments == 3);
  CHECK(use[0].available == 0);
  CHECK(!use[0].in_use);
  CHECK(use[1].in_use);
  const auto all = read_all(*t.log, Seq(1));
  CHECK(all.size() == 200);
  CHECK(read_all(*must(Log::open_read_only(t.files, kDirectory, Seq(200))), Seq(1)) == all);
  CHECK(must(verify_log(t.files, kDirectory, kLatest, nullptr)).damage.empty());

  // Room in the log's own directory comes first again.
  must(t.log->retire(nothing_needed(Seq(150))));
  CHECK(count(t.files, kPool) == 0);
  CHECK(mismatch(t.files) == "");
  t.add(40);
  must(t.log->sync(kLatest));
  CHECK(t.log->pool()[0].segments > 0);
  CHECK(must(t.files.read_link(segment_path(kDirectory, t.log->segments().back().first_seq))) != "");

  SECTION("opened without a pool: read, appended to, and what is pruned goes from the pool as well") {
    LogOptions plain = quiet_options(4096);
    plain.pool_owner = pooled().pool_owner;
    t.reopen(plain);
    const size_t in_pool = count(t.files, kPool) + count(t.files, kOther);
    t.add(40);
    must(t.log->sync(kLatest));
    CHECK(count(t.files, kPool) + count(t.files, kOther) == in_pool);
    must(t.log->retire(nothing_needed(Seq(t.count))));
    CHECK(count(t.files, kPool) + count(t.files, kOther) == 0);
    CHECK(mismatch(t.files) == "");
  }
  SECTION("what another log has there is let alone") {
    t.files.set_content(std::string(kPool) + "/0123-4567-" + segment_name(Seq(1)), "somebody's");
    t.reopen(pooled());
    must(t.log->retire(nothing_needed(Seq(t.count))));
    CHECK(count(t.files, kPool) == 1);
  }
}

TEST_CASE("pool: a directory that is not there, or no longer, is named") {
  PooledLog t;
  t.add(60);
  must(t.log->sync(kLatest));
  t.log.reset();
  LogOptions options = pooled();
  options.pool.push_back({"/nowhere", 0});
  const Status missing = LogWriter::open(t.files, t.clock, kDirectory, options, Seq(), nullptr).status();
  CHECK(missing.text().find("/nowhere") != std::string::npos);
  for (const std::string& name : must(t.files.list(kPool))) must(t.files.remove(std::string(kPool) + "/" + name));
  const Status gone = LogWriter::open(t.files, t.clock, kDirectory, pooled(), Seq(), nullptr).status();
  CHECK(gone.code() == Code::kIo);
  CHECK(Log::open_read_only(t.files, kDirectory, Seq(60)).status().code() == Code::kIo);
}

TEST_CASE("pool: what a failed attempt to make a segment left over stands in nobody's way") {
  for (const auto failing : {FaultFileSystem::Operation::kSyncDirectory, FaultFileSystem::Operation::kCreate}) {
    PooledLog t;
    t.add(20);
    must(t.log->sync(kLatest));
    // Out of descriptors in the middle, and what was begun cannot be removed either.
    t.files.on_operation([&](const FaultFileSystem::Step& step) {
      const bool link = step.path.starts_with(kDirectory) && failing == FaultFileSystem::Operation::kCreate;
      const bool pool = step.path.starts_with(kPool) && failing != FaultFileSystem::Operation::kCreate;
      const bool hit = step.operation == failing && (link || pool);
      const bool stays = step.operation == FaultFileSystem::Operation::kRemove && step.path.starts_with(kPool);
      return hit || stays ? Status(Code::kLimit, "too many open files", EMFILE) : Status();
    });
    const RecordDraft draft = numbered_draft(1, 3000);
    bool failed = false;
    for (int i = 0; i < 4 && !failed; ++i) failed = !t.log->append({&draft, 1}, Epoch(1)).ok();
    REQUIRE(failed);
    t.files.on_operation(nullptr);
    for (int i = 0; i < 8; ++i) {
      const auto appended = t.log->append({&draft, 1}, Epoch(1));
      INFO(appended.status().text());
      REQUIRE(appended.ok());
    }
    must(t.log->sync(kLatest));
    CHECK(mismatch(t.files) == "");
  }
}

TEST_CASE("pool: power failures at every operation lose nothing acknowledged and leave nothing over") {
  const uint64_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261121;
  const auto life = [&](uint64_t crash_at, bool lies, Seq& acknowledged, std::vector<std::string>& all) {
    PooledLog t;
    t.files.ignore_syncs(lies);
    std::unique_ptr<FaultFileSystem> crashed;
    Seq durable(0);
    const uint64_t start = t.files.operations();
    t.files.on_operation([&](const FaultFileSystem::Step& step) {
      if (step.number == start + crash_at) {
        acknowledged = durable;
        crashed = t.files.after_crash(seed + crash_at);
      }
      return Status();
    });
    for (int i = 0; i < 12 && crashed == nullptr; ++i) {
      t.add(8);
      must(t.log->sync(kLatest));
      durable = Seq(t.count);
      if (i % 4 == 3) must(t.log->retire(nothing_needed(Seq(t.count - 12))));
    }
    t.files.on_operation(nullptr);
    all = read_all(*t.log, t.log->first());
    return std::pair(std::move(crashed), t.log->first());
  };
  const auto failure = [&](uint64_t crash_at, bool lies) -> std::string {
    Seq acknowledged(0);
    std::vector<std::string> all;
    auto [disk, first] = life(crash_at, lies, acknowledged, all);
    if (disk == nullptr) return "end";
    TestClock clock;
    auto log = LogWriter::open(*disk, clock, kDirectory, pooled(), Seq(), nullptr);
    if (!log.ok()) return log.status().text();
    if ((*log)->appended() < acknowledged) return "records are lost";
    if (!must(verify_log(*disk, kDirectory, (*log)->appended(), nullptr)).damage.empty()) return "damaged";
    const auto left = read_all(**log, (*log)->first());
    for (size_t i = 0; i < left.size(); ++i) {
      const uint64_t seq = (*log)->first().value() + i;
      if (seq >= first.value() && seq - first.value() < all.size() && left[i] != all[seq - first.value()]) return "changed";
    }
    const RecordDraft draft = numbered_draft(1, 3000);
    for (int i = 0; i < 8; ++i) {
      if (auto more = (*log)->append({&draft, 1}, Epoch(1)); !more.ok()) return more.status().text();
    }
    if (Status synced = (*log)->sync(kLatest); !synced.ok()) return synced.text();
    return mismatch(*disk);
  };
  uint64_t moments = 0;
  for (;; ++moments) {
    INFO("seed " << seed << ", operation " << moments);
    const std::string wrong = failure(moments, false);
    if (wrong == "end") break;
    REQUIRE(wrong == "");
  }
  CHECK(moments > 150);
  size_t found = 0;
  for (uint64_t moment = 0; moment < moments; moment += 3) found += failure(moment, true) != "";
  CHECK(found > 10);  // the negative control: a disk that ignores syncs
}

}  // namespace tidemark::test
