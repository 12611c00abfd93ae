// Keys: who gets in, and with which right.
#include <catch2/catch.hpp>

#include "base/file.h"
#include "replicator/keys.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

struct Keys {
  Keys() {
    for (const char* name : {"site", "writer", "reader", "nothing", "stranger", "other-site"}) {
      REQUIRE(generate_key(work / name).ok());
    }
    std::string list = "# test\n";
    list += *load_public_key(work / "writer.pub") + " append,read writer\n";
    list += *load_public_key(work / "reader.pub") + " read reader\n";
    list += *load_public_key(work / "nothing.pub") + " nobody\n";
    REQUIRE(write_file_atomically(posix_file_system(), work / "allow", list).ok());
  }
  SiteOptions options(const std::string& listen = "tcp://127.0.0.1:*") {
    SiteOptions made;
    made.directory = work / "groups";
    made.listen = listen;
    made.key = work / "site";
    made.allow = work / "allow";
    made.group = small_options();
    return made;
  }
  PairConfig pair(const std::string& endpoint, const std::string& who, const std::string& server = "site") {
    return {"away", endpoint, work / (server + ".pub"), work / who};
  }
  RemoteOptions reading(const std::string& who, const std::string& server = "site") {
    RemoteOptions made;
    made.server_key = work / (server + ".pub");
    made.own_key = work / who;
    made.timeout = std::chrono::milliseconds(4000);
    return made;
  }
  Scratch work;
};

Status error_of(Group& group, const PairConfig& pair, std::string* text) {
  auto shipper = start_shipping(group, {pair});
  bool failed = eventually([&] { return !progress(group, "away").last_error.empty(); }, std::chrono::seconds(8));
  *text = progress(group, "away").last_error;
  CHECK(progress(group, "away").state == "failure-suspended");
  return failed ? Status() : Status(Code::kTimeout, "it did not fail");
}

}  // namespace

TEST_CASE("a site refuses to be public without keys, or with nobody on its list") {
  Keys keys;
  SiteOptions options = keys.options("tcp://0.0.0.0:*");
  options.key = options.allow = "";
  CHECK(Site::open(options).status().code() == Code::kNotAuthorised);
  options.listen = "tcp://*:*";
  CHECK(Site::open(options).status().code() == Code::kNotAuthorised);
  options = keys.options();
  options.allow = "";
  CHECK(Site::open(options).status().code() == Code::kNotAuthorised);
  REQUIRE(write_file_atomically(posix_file_system(), keys.work / "empty", "# nobody yet\n").ok());
  options.allow = keys.work / "empty";
  CHECK(Site::open(options).status().code() == Code::kNotAuthorised);
  options = keys.options();
  options.key = "";
  CHECK(Site::open(options).status().code() == Code::kInvalid);
  options = keys.options("udp://127.0.0.1:1");
  CHECK(Site::open(options).status().code() == Code::kInvalid);
}

TEST_CASE("the right key ships and reads; every other is refused, and is told why") {
  Keys keys;
  auto primary = make_primary(keys.work / "p");
  fill(*primary, 4u << 20, 1);
  LocalSite site(keys.options());
  {
    auto shipper = start_shipping(*primary, {keys.pair(site.endpoint(), "writer")});
    REQUIRE(caught_up(*primary, "away"));
    check_equal(*primary, *site->find("shop"));
  }
  std::string text;
  SECTION("a stranger's key") {
    CHECK(error_of(*primary, keys.pair(site.endpoint(), "stranger"), &text).ok());
    CHECK(text.find("allow-list") != std::string::npos);
  }
  SECTION("a key that may only read") {
    CHECK(error_of(*primary, keys.pair(site.endpoint(), "reader"), &text).ok());
    CHECK(text.find("append") != std::string::npos);
  }
  SECTION("a key without any right") {
    CHECK(error_of(*primary, keys.pair(site.endpoint(), "nothing"), &text).ok());
    CHECK(RemoteGroup::connect({site.endpoint(), "shop"}, keys.reading("nothing")).status().code() == Code::kNotAuthorised);
  }
  SECTION("no key") {
    CHECK(error_of(*primary, {"away", site.endpoint(), "", ""}, &text).ok());
    CHECK(text.find("keys") != std::string::npos);
    CHECK(RemoteGroup::connect({site.endpoint(), "shop"}, {}).status().code() == Code::kNotAuthorised);
  }
  SECTION("another site's public key") {
    CHECK(error_of(*primary, keys.pair(site.endpoint(), "writer", "other-site"), &text).ok());
    CHECK(text.find("public key") != std::string::npos);
  }
  SECTION("reading") {
    auto remote = RemoteGroup::connect({site.endpoint(), "shop"}, keys.reading("reader"));
    INFO(remote.status().text());
    REQUIRE(remote.ok());
    CHECK((*remote)->info()->newest == primary->log().tail_position());
    auto here = primary->view(kLatest);
    auto there = (*remote)->view(kLatest);
    REQUIRE(there.ok());
    CHECK(compare_views(**here, **there) == std::vector<std::string>());
    CHECK(RemoteGroup::connect({site.endpoint(), "shop"}, keys.reading("stranger")).status().code() == Code::kNotAuthorised);
    CHECK(RemoteGroup::connect({site.endpoint(), "shop"}, keys.reading("reader", "other-site")).status().code() ==
          Code::kNotAuthorised);
  }
}

TEST_CASE("keys towards a site that has none are refused, not dropped silently") {
  Keys keys;
  LocalSite site(keys.work / "open");
  CHECK(RemoteGroup::connect({site.endpoint(), "shop"}, keys.reading("reader")).status().code() == Code::kNotAuthorised);
}
