// Processes that die or stop at any moment: nothing is lost, nothing is doubled, nobody grows.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>

#include "log/write/durable_note.h"
#include "replicator/wire/protocol.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

uint64_t own_memory() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

}  // namespace

TEST_CASE("a site killed again and again in the middle of a copy resumes where it was") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 160u << 20, 1);
  auto site = site_process(work / "site");
  std::string endpoint = site->first_line();
  auto shipper = start_shipping(*primary, {{"away", endpoint, "", ""}});
  std::mt19937 random(20261120);
  Seq reached;
  int in_the_middle = 0;
  for (int i = 0; i < 5; ++i) {
    Seq before = progress(*primary, "away").received;
    REQUIRE(eventually([&] { return progress(*primary, "away").received > before || caught_up(*primary, "away", {}); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 30));
    site->kill();
    SiteProgress killed = progress(*primary, "away");
    if (killed.durable < primary->log().durable()) ++in_the_middle;
    reached = std::max(reached, killed.durable);
    touch(*primary, "meanwhile" + std::to_string(i), "x");
    REQUIRE(primary->sync().ok());
    site = site_process(work / "site", endpoint);
  }
  WARN(in_the_middle << " of 5 kills hit the copy");
  CHECK(in_the_middle >= 1);
  REQUIRE(caught_up(*primary, "away", std::chrono::seconds(40)));
  CHECK(progress(*primary, "away").durable >= reached);
  site->kill();
  auto replica = open_group(work / "site/shop", OpenMode::kReplica);
  check_equal(*primary, *replica);
}

TEST_CASE("what a site acknowledged as durable is there after its death") {
  Scratch work;
  auto primary = make_primary(work / "p");
  auto site = site_process(work / "site");
  auto shipper = start_shipping(*primary, {{"away", site->first_line(), "", ""}});
  for (int i = 0; i < 20; ++i) {
    touch(*primary, "f" + std::to_string(i), std::string(5000, 'a'));
    REQUIRE(primary->sync().ok());
  }
  REQUIRE(caught_up(*primary, "away"));
  Seq acknowledged = progress(*primary, "away").durable;
  site->kill();
  auto replica = open_group(work / "site/shop", OpenMode::kReplica);
  CHECK(replica->position().seq >= acknowledged);
}

TEST_CASE("a site notes what it has acknowledged within seconds, so that damage in it is never taken for a torn tail") {
  Scratch work;
  auto primary = make_primary(work / "p");
  auto site = site_process(work / "site");
  auto shipper = start_shipping(*primary, {{"away", site->first_line(), "", ""}});
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 20; ++i) {
      touch(*primary, "f" + std::to_string(round) + "-" + std::to_string(i), std::string(5000, 'a'));
      REQUIRE(primary->sync().ok());
    }
    REQUIRE(caught_up(*primary, "away"));
    const Seq acknowledged = progress(*primary, "away").durable;
    const auto noted = [&] {
      return read_durable_note(posix_file_system(), work / "site/shop/log", primary->identity().id).position.seq;
    };
    CHECK(eventually([&] { return noted() >= acknowledged; }, std::chrono::seconds(5)));
  }
}

TEST_CASE("a primary killed while it writes: its successor goes on where the site stands") {
  Scratch work;
  REQUIRE(make_primary(work / "p")->close().ok());
  LocalSite site(work / "site");
  for (int i = 0; i < 4; ++i) {
    Process primary({"primary", work / "p", "away", site.endpoint()});
    REQUIRE(primary.first_line() == "up");
    Seq before = site->find("shop") ? site->find("shop")->position().seq : Seq(0);
    REQUIRE(eventually([&] { return site->find("shop") && site->find("shop")->position().seq > Seq(before.value() + 30); }));
    primary.kill();
  }
  auto primary = open_group(work / "p", OpenMode::kPrimary);
  auto shipper = start_shipping(*primary, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  CHECK(eventually([&] { return progress(*primary, "away").state == "duplex"; }));
  check_equal(*primary, *site->find("shop"));
}

TEST_CASE("a site that stops reading costs neither side memory, and is noticed within seconds") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 8u << 20, 1);
  auto site = site_process(work / "site");
  auto shipper = start_shipping(*primary, {{"away", site->first_line(), "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  fill(*primary, 64u << 20, 2);  // so that the engine's own memory has its size
  REQUIRE(caught_up(*primary, "away"));
  uint64_t site_before = site->memory();

  site->signal(SIGSTOP);
  auto stopped = std::chrono::steady_clock::now();
  uint64_t before = own_memory();
  fill(*primary, 128u << 20, 3);
  uint64_t grown = own_memory() > before ? own_memory() - before : 0;
  REQUIRE(eventually([&] { return !progress(*primary, "away").connected; }, std::chrono::seconds(10)));
  auto noticed = std::chrono::steady_clock::now() - stopped;
  WARN("stopped site noticed after " << std::chrono::duration_cast<std::chrono::milliseconds>(noticed).count()
                                     << " ms; this process grew by " << (grown >> 20) << " MiB while 128 MiB were written");
  CHECK(noticed < std::chrono::seconds(8));
  CHECK(progress(*primary, "away").state == "failure-suspended");
  // The engine's write buffer and the window; not what was written.
  if (kMemoryTells) CHECK(grown < (64u << 20));
  site->signal(SIGCONT);
  REQUIRE(caught_up(*primary, "away"));
  uint64_t site_after = site->memory();
  WARN("the site's memory: " << (site_before >> 20) << " MiB before, " << (site_after >> 20) << " MiB after");
  if (kMemoryTells) CHECK(site_after < site_before + (96u << 20));
  site->kill();
  auto replica = open_group(work / "site/shop", OpenMode::kReplica);
  check_equal(*primary, *replica);
}

TEST_CASE("a primary that stopped and was replaced wakes up: nothing of its own reaches the site any more") {
  Scratch work;
  REQUIRE(make_primary(work / "p")->close().ok());
  LocalSite site(work / "site");
  Process first({"primary", work / "p", "away", site.endpoint()});
  REQUIRE(eventually([&] { return site->find("shop") && site->find("shop")->position().seq > Seq(10); }));
  first.signal(SIGSTOP);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::filesystem::copy(work / "p", work / "q", std::filesystem::copy_options::recursive);
  auto second = open_group(work / "q", OpenMode::kPrimary);
  touch(*second, "by-the-second", "x");
  REQUIRE(second->sync().ok());
  auto shipper = start_shipping(*second, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*second, "away"));
  first.signal(SIGCONT);
  for (int i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    touch(*second, "more" + std::to_string(i), "x");
    REQUIRE(second->sync().ok());
  }
  REQUIRE(caught_up(*second, "away"));
  check_equal(*second, *site->find("shop"));
}
