// A group and its sites, all well: what is durable here becomes the same there.
#include <catch2/catch.hpp>

#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("a group with content is copied, and what follows is shipped") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 24u << 20, 1);
  LocalSite site(work / "site");
  auto shipper = start_shipping(*primary, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  CHECK(progress(*primary, "away").state == "duplex");
  CHECK(progress(*primary, "away").connected);
  CHECK(progress(*primary, "away").last_error.empty());
  CHECK(site->groups() == std::vector<std::string>{"shop"});
  check_equal(*primary, *site->find("shop"));

  for (int i = 0; i < 50; ++i) {
    touch(*primary, "live" + std::to_string(i), "content " + std::to_string(i));
    REQUIRE(primary->sync().ok());
    CHECK(primary->watermarks().wait_durable("away", primary->log().durable(), std::chrono::seconds(5)).ok());
  }
  fill(*primary, 4u << 20, 2);
  REQUIRE(shipper->drain(std::chrono::seconds(20)).ok());
  check_equal(*primary, *site->find("shop"));
  CHECK(site->find("shop")->find_mark("filled-2").ok());
}

TEST_CASE("only what is durable here is shipped") {
  Scratch work;
  GroupOptions options = small_options();
  options.log.commit_interval = std::chrono::milliseconds(0);
  InitOptions init;
  init.name = "shop";
  REQUIRE(Group::init(work / "p", init, options).ok());
  auto primary = Group::open(work / "p", OpenMode::kPrimary, options);
  REQUIRE(primary.ok());
  LocalSite site(work / "site");
  auto shipper = start_shipping(**primary, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(**primary, "away"));
  Seq before = (*primary)->log().durable();
  touch(**primary, "not-yet", "appended, not durable");
  REQUIRE((*primary)->log().appended() > before);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(progress(**primary, "away").sent == before);
  REQUIRE((*primary)->sync().ok());
  CHECK(caught_up(**primary, "away"));
}

TEST_CASE("several sites, added and removed while it runs; a site restarts and goes on") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 2u << 20, 1);
  auto near = std::make_unique<LocalSite>(work / "near");
  LocalSite far(work / "far");
  std::string near_endpoint = near->endpoint();
  auto shipper = start_shipping(*primary, {{"near", near_endpoint, "", ""}});
  CHECK(shipper->create({"near", near_endpoint, "", ""}).code() == Code::kExists);
  CHECK(shipper->remove("far").code() == Code::kNotFound);
  REQUIRE(shipper->create({"far", far.endpoint(), "", ""}).ok());
  REQUIRE(caught_up(*primary, "near"));
  REQUIRE(caught_up(*primary, "far"));

  near.reset();
  REQUIRE(eventually([&] { return !progress(*primary, "near").connected; }));
  CHECK(progress(*primary, "near").state == "failure-suspended");
  CHECK(!progress(*primary, "near").last_error.empty());
  fill(*primary, 2u << 20, 2);
  REQUIRE(caught_up(*primary, "far"));
  near = std::make_unique<LocalSite>(work / "near", near_endpoint);
  CHECK((*near)->groups() == std::vector<std::string>{"shop"});
  REQUIRE(caught_up(*primary, "near"));
  check_equal(*primary, *(*near)->find("shop"));

  REQUIRE(shipper->remove("far").ok());
  CHECK(!primary->watermarks().knows("far"));
  CHECK(primary->watermarks().knows("near"));
}

TEST_CASE("many groups to one site, told of by the callback exactly once") {
  Scratch work;
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::unique_ptr<Shipper>> shippers;
  SiteOptions options;
  options.directory = work / "site";
  options.listen = "ipc://" + (work / "socket");
  options.group = small_options();
  auto site = Site::open(options);
  REQUIRE(site.ok());
  std::atomic<int> told{0};
  (*site)->on_group([&](Group&) { ++told; });
  std::thread serving([&] { CHECK((*site)->serve().ok()); });
  for (int i = 0; i < 5; ++i) {
    std::string name = "group" + std::to_string(i);
    groups.push_back(make_primary(work / name, name));
    fill(*groups.back(), 1u << 20, static_cast<uint64_t>(i));
    shippers.push_back(start_shipping(*groups.back(), {{"away", "ipc://" + (work / "socket"), "", ""}}));
  }
  for (auto& group : groups) CHECK(caught_up(*group, "away"));
  for (auto& group : groups) check_equal(*group, *(*site)->find(group->identity().name));
  CHECK(told == 5);
  shippers.clear();
  (*site)->stop();
  serving.join();
}

TEST_CASE("drain names who lags, and does not wait for one that refuses") {
  Scratch work;
  auto primary = make_primary(work / "p");
  auto shipper = start_shipping(*primary, {{"nobody", "tcp://127.0.0.1:1", "", ""}});
  REQUIRE(eventually([&] { return !progress(*primary, "nobody").last_error.empty(); }));
  CHECK(progress(*primary, "nobody").state == "simplex");
  Status drained = shipper->drain(std::chrono::milliseconds(300));
  CHECK(drained.code() == Code::kTimeout);
  CHECK(drained.text().find("nobody") != std::string::npos);
  CHECK(shipper->create({"late", "tcp://127.0.0.1:1", "", ""}).code() == Code::kInterrupted);
}

TEST_CASE("a site passes on what it receives, unchanged") {
  Scratch work;
  auto primary = make_primary(work / "p");
  LocalSite near(work / "near");
  LocalSite far(work / "far");
  auto first = start_shipping(*primary, {{"near", near.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "near"));
  Group& middle = *near->find("shop");
  auto second = start_shipping(middle, {{"far", far.endpoint(), "", ""}});
  fill(*primary, 8u << 20, 1);
  REQUIRE(caught_up(*primary, "near"));
  REQUIRE(caught_up(middle, "far"));
  check_equal(*primary, *far->find("shop"));
}

TEST_CASE("a full disk at the site is seen at the primary, and is no end") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 1u << 20, 1);
  SiteOptions options;
  options.directory = work / "site";
  options.listen = "tcp://127.0.0.1:*";
  options.group = small_options();
  auto site = std::make_unique<LocalSite>(options);
  options.listen = site->endpoint();
  auto shipper = start_shipping(*primary, {{"away", options.listen, "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  site.reset();
  options.group.log.reserve_bytes = uint64_t{1} << 60;
  site = std::make_unique<LocalSite>(options);
  fill(*primary, 1u << 20, 2);
  REQUIRE(eventually([&] {
    SiteProgress now = progress(*primary, "away");
    return now.state == "failure-suspended" && now.last_error.find("at the site") != std::string::npos;
  }));
  WARN("the primary says: " << progress(*primary, "away").last_error);
  auto remote = RemoteGroup::connect({options.listen, "shop"}, {});
  REQUIRE(remote.ok());
  CHECK((*remote)->resolve("filled-1").ok());
  site.reset();
  options.group.log.reserve_bytes = small_options().log.reserve_bytes;
  site = std::make_unique<LocalSite>(options);
  REQUIRE(caught_up(*primary, "away"));
  check_equal(*primary, *(*site)->find("shop"));
}
