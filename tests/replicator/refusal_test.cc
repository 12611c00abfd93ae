// Histories that do not fit: nothing is sent, nothing is overwritten, and the message says what to do.
#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/replicator/support.h"
#include "volume/group/sealed_json.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

bool failed_with(Group& group, const std::string& word) {
  return eventually([&] {
    SiteProgress now = progress(group, "away");
    return now.state == "failure-suspended" && now.last_error.find(word) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("a diverged history is refused, whoever is longer") {
  Scratch work;
  {
    auto primary = make_primary(work / "p");
    fill(*primary, 1u << 20, 1);
  }
  // Two copies of one primary go on differently.
  std::filesystem::copy(work / "p", work / "q", std::filesystem::copy_options::recursive);
  LocalSite site(work / "site");
  auto first = open_group(work / "p", OpenMode::kPrimary);
  touch(*first, "only-in-first", "a");
  REQUIRE(first->sync().ok());
  {
    auto shipper = start_shipping(*first, {{"away", site.endpoint(), "", ""}});
    REQUIRE(caught_up(*first, "away"));
  }
  Position before = site->find("shop")->position();
  auto second = open_group(work / "q", OpenMode::kPrimary);
  touch(*second, "only-in-second", "bb");
  touch(*second, "and-another", "ccc");
  REQUIRE(second->sync().ok());
  auto shipper = start_shipping(*second, {{"away", site.endpoint(), "", ""}});
  REQUIRE(failed_with(*second, "another history"));
  CHECK(site->find("shop")->position() == before);
  check_equal(*first, *site->find("shop"));
  // A refused pair does not hold up an unmount.
  auto began = std::chrono::steady_clock::now();
  CHECK(shipper->drain(std::chrono::seconds(30)).code() == Code::kTimeout);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
}

TEST_CASE("a site that is ahead is refused") {
  Scratch work;
  {
    auto primary = make_primary(work / "p");
    fill(*primary, 1u << 20, 1);
  }
  std::filesystem::copy(work / "p", work / "old", std::filesystem::copy_options::recursive);
  LocalSite site(work / "site");
  auto primary = open_group(work / "p", OpenMode::kPrimary);
  fill(*primary, 1u << 20, 2);
  auto shipper = start_shipping(*primary, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  auto old = open_group(work / "old", OpenMode::kPrimary);
  auto other = start_shipping(*old, {{"away", site.endpoint(), "", ""}});
  REQUIRE(failed_with(*old, "ahead"));
  check_equal(*primary, *site->find("shop"));
  // The one that fits was not disturbed.
  CHECK(progress(*primary, "away").connected);
  fill(*primary, 1u << 20, 3);
  CHECK(caught_up(*primary, "away"));
}

TEST_CASE("another group of the same name, and the same group under another, are refused") {
  Scratch work;
  LocalSite site(work / "site");
  auto primary = make_primary(work / "p");
  auto shipper = start_shipping(*primary, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  auto stranger = make_primary(work / "s");
  auto other = start_shipping(*stranger, {{"away", site.endpoint(), "", ""}});
  CHECK(failed_with(*stranger, "another group"));
  // The same group under another name.
  other.reset();
  shipper.reset();
  REQUIRE(primary->close().ok());
  primary.reset();
  auto content = read_file(posix_file_system(), work / "p/group.json");
  REQUIRE(content.ok());
  auto identity = open_sealed_json(*content, "group.json");
  REQUIRE(identity.ok());
  (*identity)["name"] = "tent";
  REQUIRE(write_file_atomically(posix_file_system(), work / "p/group.json", seal_json(*identity)).ok());
  primary = open_group(work / "p", OpenMode::kPrimary);
  auto renamed = start_shipping(*primary, {{"away", site.endpoint(), "", ""}});
  CHECK(failed_with(*primary, "under the name 'shop'"));
  CHECK(site->groups() == std::vector<std::string>{"shop"});
}

TEST_CASE("two shippers of one group: the newer takes over, the older stops for a while") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 1u << 20, 1);
  LocalSite site(work / "site");
  auto first = start_shipping(*primary, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  auto second = start_shipping(*primary, {{"again", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "again"));
  first.reset();
  fill(*primary, 1u << 20, 2);
  REQUIRE(caught_up(*primary, "again"));
  check_equal(*primary, *site->find("shop"));
}

TEST_CASE("the site refuses a stale epoch, and remembers the highest") {
  Scratch work;
  auto primary = make_primary(work / "p");
  std::string endpoint;
  {
    LocalSite site(work / "site");
    endpoint = site.endpoint();
    auto shipper = start_shipping(*primary, {{"away", endpoint, "", ""}});
    REQUIRE(caught_up(*primary, "away"));
  }
  // A later primary has said hello to this site, though none of its records has come.
  REQUIRE(write_file_atomically(posix_file_system(), work / "site/shop/site.json", seal_json({{"epoch", 7}})).ok());
  LocalSite site(work / "site", endpoint);
  auto shipper = start_shipping(*primary, {{"away", endpoint, "", ""}});
  CHECK(failed_with(*primary, "epoch 7"));
}

TEST_CASE("a site that cannot tell its highest epoch takes no records, and is still read") {
  Scratch work;
  auto primary = make_primary(work / "p");
  std::string endpoint;
  {
    LocalSite site(work / "site");
    endpoint = site.endpoint();
    auto shipper = start_shipping(*primary, {{"away", endpoint, "", ""}});
    REQUIRE(caught_up(*primary, "away"));
  }
  std::string damaged = read_file(posix_file_system(), work / "site/shop/site.json").value();
  damaged[damaged.find(": ") + 2] ^= 2;  // the epoch
  REQUIRE(write_file_atomically(posix_file_system(), work / "site/shop/site.json", damaged).ok());
  LocalSite site(work / "site", endpoint);
  auto shipper = start_shipping(*primary, {{"away", endpoint, "", ""}});
  touch(*primary, "next", "content");
  REQUIRE(primary->sync().ok());
  CHECK(eventually([&] { return progress(*primary, "away").last_error.find("site.json") != std::string::npos; }));
  CHECK(progress(*primary, "away").durable < primary->log().durable());
  auto remote = RemoteGroup::connect({endpoint, "shop"}, {});
  REQUIRE(remote.ok());
  CHECK((*remote)->view(kLatest).ok());
}

TEST_CASE("a primary's directory in the site's is left alone") {
  Scratch work;
  std::filesystem::create_directory(work / "site");
  REQUIRE(make_primary(work / "site/shop")->close().ok());
  std::filesystem::create_directory(work / "site/not-a-group");
  LocalSite site(work / "site");
  CHECK(site->groups().empty());
  auto stranger = make_primary(work / "s");
  auto shipper = start_shipping(*stranger, {{"away", site.endpoint(), "", ""}});
  CHECK(eventually([&] { return !progress(*stranger, "away").last_error.empty(); }));
  CHECK(Group::identify(work / "site/shop")->role == Role::kPrimary);
}
