// What a site that forwards tells its own source, while its target is lost.
#include <catch2/catch.hpp>

#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;

TEST_CASE(
    "a site whose pair fences acknowledges nothing that its target lacks, also after a restart, until an operator says so") {
  Scratch work;
  auto far = std::make_unique<LocalSite>(work / "far");
  const std::string far_endpoint = far->endpoint();
  auto near = std::make_unique<LocalSite>(work / "near");
  const std::string near_endpoint = near->endpoint();
  auto primary = make_primary(work / "p");
  auto shipper = start_shipping(*primary, {{"near", near_endpoint, "", ""}});
  REQUIRE(caught_up(*primary, "near"));
  REQUIRE((*near)->shipper("shop")->create({"far", far_endpoint, "", "", PairMode::kSync, PairFence::kData, 0}).ok());
  const auto forwards = [&](const std::string& state) {
    return eventually([&] { return progress(*(*near)->find("shop"), "far").state == state; });
  };
  REQUIRE(forwards("duplex"));
  const auto write = [&](const std::string& name) {
    touch(*primary, name, "x");
    REQUIRE(primary->sync().ok());
    return primary->log().durable();
  };
  write("one");
  REQUIRE(caught_up(*primary, "near"));

  far.reset();
  REQUIRE(forwards("failure-suspended"));
  CHECK(!(*near)->find("shop")->watermarks().may_write().ok());
  const Seq two = write("two");
  const auto received = [&] { return (*near)->find("shop")->log().durable() >= two; };
  REQUIRE(eventually(received));  // it takes what it is sent, as a copy
  CHECK(!caught_up(*primary, "near", std::chrono::milliseconds(700)));
  SECTION("the site is restarted") {
    near.reset();
    near = std::make_unique<LocalSite>(work / "near", near_endpoint);
    REQUIRE(eventually([&] { return progress(*primary, "near").connected; }));
    CHECK(!caught_up(*primary, "near", std::chrono::milliseconds(700)));
  }
  SECTION("the target comes back") {
    far = std::make_unique<LocalSite>(work / "far", far_endpoint);
    CHECK(caught_up(*primary, "near"));
    CHECK((*far)->find("shop")->log().durable() >= two);
  }
  SECTION("an operator goes on without it") {
    REQUIRE((*near)->shipper("shop")->suspend("far").ok());
    CHECK(caught_up(*primary, "near"));
  }
}
