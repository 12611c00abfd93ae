// Several keys at one site: what each may do with which group, what it learns of the others, and what it may cost.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "replicator/site/disk_quota.h"
#include "replicator/site/strikes.h"
#include "tests/replicator/keyring.h"
#include "tests/replicator/raw_peer.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

Status loads(const Keys& keys, const std::string& list) {
  keys.allow(list);
  return AllowList::load(keys.work / "allow").status();
}

bool fails_with(Group& group, const std::string& word) {
  return eventually([&] {
    const SiteProgress now = progress(group, "away");
    return now.state == "failure-suspended" && now.last_error.find(word) != std::string::npos;
  });
}

// What the site answers to HELLO, "" if it lets us in.
std::string refusal(RawPeer& peer, const Hello& hello) {
  peer.send(encode_hello(hello));
  const std::string text = peer.receive(5000);
  Bytes body;
  auto header = open_message(as_bytes(text), body);
  REQUIRE(header.ok());
  return header->type == MessageType::kError ? decode_error(body)->status.text() : "";
}

}  // namespace

TEST_CASE("the allow-list: a line says for which groups, and what is not right is said with its line") {
  Keys keys;
  const std::string key = *load_public_key(keys.work / "writer.pub");
  const auto wrong = [&](const std::string& line, const std::string& word) {
    const Status status = loads(keys, "# first\n" + line + "\n");
    INFO(line << ": " << status.text());
    CHECK(status.code() == Code::kCorrupt);
    CHECK(status.text().find(":3: ") != std::string::npos);
    CHECK(status.text().find(word) != std::string::npos);
  };
  wrong(key + " append,read shop", "groups=");  // as it was written before there were groups
  wrong(key + " append read", "groups=");
  wrong(key + " read groups= shop", "names no group");
  wrong(key + " read groups=a/b shop", "'a/b'");
  wrong(key + " read groups=a,,b shop", "''");
  wrong(key + " groups=shop shop", "no right");
  wrong(key + " create groups=shop shop", "'append'");
  wrong(key + " own,read groups=shop shop", "'append'");
  wrong(key + " append,prune groups=shop shop", "cannot prune");
  wrong(key + " append,write groups=shop shop", "unknown right 'append,write'");
  wrong("rubbish append groups=shop shop", "not a public key");
  CHECK(loads(keys, key + " append groups=shop a\n" + key + " prune groups=tent b\n").text().find("prunes in another") !=
        std::string::npos);

  REQUIRE(loads(keys, key + " append,create groups=shop,erp-? writer\n" + key + " read groups=[a-e]* again\n").ok());
  const AllowList list = *AllowList::load(keys.work / "allow");
  CHECK(list.rights(key, "shop").create);
  CHECK(!list.rights(key, "shop").read);
  CHECK(list.rights(key, "erp-1").append);
  CHECK(list.rights(key, "erp-1").read);
  CHECK(!list.rights(key, "erp-12").append);
  CHECK(!list.rights(key, "shops").any());
  CHECK(!list.rights(key, "erp-1").own);
  CHECK(list.rights_somewhere(key).read);
  CHECK(list.name(key) == "writer");
  CHECK(!list.rights("stranger", "shop").any());
}

TEST_CASE("files that others can change or, where they are secret, read are not used") {
  Keys keys;
  const std::string allow = keys.work / "allow";
  const auto allowed = [&] { return AllowList::load(allow).status().code(); };
  const auto secret = [&] { return load_key_pair(keys.work / "site").status().code(); };
  const auto known = [&] { return load_public_key(keys.work / "site.pub").status().code(); };
  for (const mode_t mode : {0666U, 0620U, 0602U}) {
    REQUIRE(::chmod(allow.c_str(), mode) == 0);
    CHECK(allowed() == Code::kAccess);
    REQUIRE(::chmod((keys.work / "site.pub").c_str(), mode) == 0);
    CHECK(known() == Code::kNotAuthorised);
  }
  REQUIRE(::chmod(allow.c_str(), 0644) == 0);
  CHECK(allowed() == Code::kOk);
  REQUIRE(::chmod((keys.work / "site.pub").c_str(), 0444) == 0);
  CHECK(known() == Code::kOk);
  for (const mode_t mode : {0640U, 0604U, 0660U}) {
    REQUIRE(::chmod((keys.work / "site").c_str(), mode) == 0);
    CHECK(secret() == Code::kNotAuthorised);
  }
  REQUIRE(::chmod((keys.work / "site").c_str(), 0400) == 0);
  CHECK(secret() == Code::kOk);
  if (::geteuid() != 0) return;  // only root can give a file away
  REQUIRE(::chown(allow.c_str(), 12345, 0) == 0);
  CHECK(allowed() == Code::kAccess);
  REQUIRE(::chown((keys.work / "site").c_str(), 12345, 0) == 0);
  CHECK(secret() == Code::kNotAuthorised);
  REQUIRE(::chown((keys.work / "site.pub").c_str(), 12345, 0) == 0);
  CHECK(known() == Code::kNotAuthorised);
}

TEST_CASE("a list that others can change does not become the list of a running site") {
  Keys keys;
  LocalSite site(keys.options());
  auto remote = RemoteGroup::connect({site.endpoint(), ""}, keys.reading("reader"));
  REQUIRE(remote.ok());
  REQUIRE(write_file_atomically(posix_file_system(), keys.work / "new", keys.line("writer", "read")).ok());
  REQUIRE(::chmod((keys.work / "new").c_str(), 0666) == 0);
  REQUIRE(posix_file_system().rename(keys.work / "new", keys.work / "allow").ok());
  site->read_allow_list();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(list_remote_groups(site.endpoint(), keys.reading("reader")).ok());
  CHECK(list_remote_groups(site.endpoint(), keys.reading("writer")).ok());
}

TEST_CASE("a key ships and reads its groups and no other, and learns nothing of the others") {
  Keys keys;
  keys.allow(keys.line("writer", "append,create,read", "shop") +
             keys.line("stranger", "append,create,read", "tent-*,shop-copy") +
             keys.line("reader", "append,read", "shop,tent-*"));
  auto shop = make_primary(keys.work / "p");
  auto tent = make_primary(keys.work / "t", "tent-1");
  fill(*shop, 1u << 20, 1);
  LocalSite site(keys.options());
  auto shipping_shop = start_shipping(*shop, {keys.pair(site.endpoint(), "writer")});
  REQUIRE(caught_up(*shop, "away"));
  ZmqContext context;
  const auto peer = [&](const std::string& who) {
    return RawPeer(&context, site.endpoint(), {*load_public_key(keys.work / "site.pub"), *load_key_pair(keys.work / who)});
  };

  SECTION("another's group, by name") {
    RawPeer stranger = peer("stranger");
    CHECK(refusal(stranger, shipper_hello(*shop)).find("no right to append to group 'shop'") != std::string::npos);
    Hello reading = reader_hello();
    CHECK(refusal(stranger, reading).find("no right to read group 'shop'") != std::string::npos);
    reading.group = "not-there";
    CHECK(refusal(stranger, reading).find("no right to read group 'not-there'") != std::string::npos);  // the same
    reading.group = "tent-1";
    const std::string none = refusal(stranger, reading);
    CHECK(none.find("no group 'tent-1'") != std::string::npos);
    CHECK(none.find("shop") == std::string::npos);
    CHECK(list_remote_groups(site.endpoint(), keys.reading("stranger"))->empty());
    CHECK(*list_remote_groups(site.endpoint(), keys.reading("writer")) == std::vector<std::string>{"shop"});
  }
  SECTION("another's group, by id, under a name of one's own") {
    Hello hello = shipper_hello(*shop);
    hello.group = "shop-copy";
    RawPeer stranger = peer("stranger");
    const std::string text = refusal(stranger, hello);
    CHECK(text.find("under another name") != std::string::npos);
    CHECK(text.find("'shop'") == std::string::npos);
  }
  SECTION("a name that is taken does not give the other's id away, nor advise to remove it") {
    keys.allow(keys.line("writer", "append,create,read", "shop") + keys.line("stranger", "append,create", "*"));
    site->read_allow_list();
    auto other = make_primary(keys.work / "o");
    auto shipping_other = start_shipping(*other, {keys.pair(site.endpoint(), "stranger")});
    REQUIRE(fails_with(*other, "another group named 'shop'"));
    const std::string text = progress(*other, "away").last_error;
    CHECK(text.find("remove") == std::string::npos);
    std::string id;
    for (const std::byte each : shop->identity().id) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      id += kDigits[std::to_integer<size_t>(each) >> 4];
      id += kDigits[std::to_integer<size_t>(each) & 15];
    }
    CHECK(text.find(id) == std::string::npos);
  }
  SECTION("without 'create' only what is there already is shipped") {
    auto shipping_tent = start_shipping(*tent, {keys.pair(site.endpoint(), "reader")});
    CHECK(fails_with(*tent, "'create'"));
    CHECK(site->groups() == std::vector<std::string>{"shop"});
  }
  SECTION("the first key that ships a group owns it, until another one gets 'own'") {
    shipping_shop.reset();
    auto by_another = start_shipping(*shop, {keys.pair(site.endpoint(), "reader")});
    CHECK(fails_with(*shop, "belongs to another key"));
    keys.allow(keys.line("reader", "append,own,read", "shop"));
    site->read_allow_list();
    CHECK(caught_up(*shop, "away"));
    CHECK(eventually([&] { return progress(*shop, "away").state == "duplex"; }));
  }
  SECTION("a right that is taken away for one group ends that session alone") {
    auto shipping_tent = start_shipping(*tent, {keys.pair(site.endpoint(), "stranger")});
    REQUIRE(caught_up(*tent, "away"));
    keys.allow(keys.line("writer", "append,read", "shop-2") + keys.line("stranger", "append", "tent-1"));
    site->read_allow_list();
    CHECK(fails_with(*shop, "allow-list"));
    touch(*tent, "more", "x");
    REQUIRE(tent->sync().ok());
    CHECK(caught_up(*tent, "away"));
  }
}

TEST_CASE("one key may have so much of a site's disk, and a group of it so much") {
  DiskQuota quota(100);
  CHECK(quota.may_grow("unknown", 10).ok());
  quota.set("a", "one", 60);
  quota.set("b", "two", 1000);
  quota.set("c", "", 1000);
  CHECK(quota.may_grow("a", 0).ok());
  CHECK(quota.may_grow("a", 61).ok());
  CHECK(quota.may_grow("a", 60).code() == Code::kNoSpace);
  CHECK(quota.may_grow("b", 0).code() == Code::kNoSpace);
  CHECK(quota.may_grow("c", 0).ok());  // nobody's: no key's limit counts it
  quota.set("d", "one", 40);
  CHECK(quota.may_grow("a", 0).code() == Code::kNoSpace);
  quota.set("d", "one", 39);
  CHECK(quota.may_grow("a", 0).ok());
  quota.set("a", "two", 60);
  CHECK(quota.may_grow("d", 0).ok());
  quota.set("b", "two", 39);
  CHECK(quota.may_grow("b", 0).ok());
}

TEST_CASE("a copy that is as large as it may be takes no more, says why, and goes on when the limit is raised") {
  Keys keys;
  SiteOptions options = keys.options();
  const bool by_key = GENERATE(false, true);
  if (by_key) {
    options.key_bytes_max = 2u << 20;
  } else {
    options.group_bytes_max = [](const std::string& name) -> uint64_t { return name == "shop" ? 2u << 20 : 0; };
  }
  auto shop = make_primary(keys.work / "p");
  auto other = make_primary(keys.work / "o", "other");
  fill(*shop, 6u << 20, 1);
  auto site = std::make_unique<LocalSite>(options);
  options.listen = site->endpoint();
  auto shipping = start_shipping(*shop, {keys.pair(site->endpoint(), "writer")});
  REQUIRE(fails_with(*shop, by_key ? "max_key_bytes" : "max_group_bytes"));
  CHECK((*site)->find("shop")->log().bytes() <= (4u << 20));
  CHECK((*site)->find("shop")->log().bytes() >= (1u << 20));
  auto shipping_other = start_shipping(*other, {keys.pair(site->endpoint(), "writer")});
  if (by_key) {
    CHECK(eventually([&] { return progress(*other, "away").last_error.find("max_key_bytes") != std::string::npos; }));
  } else {
    CHECK(caught_up(*other, "away"));
  }
  site.reset();
  options.key_bytes_max = 0;
  options.group_bytes_max = nullptr;
  site = std::make_unique<LocalSite>(options);
  CHECK(caught_up(*shop, "away"));
  CHECK(caught_up(*other, "away"));
  check_equal(*shop, *(*site)->find("shop"));
}

TEST_CASE("who breaks rules is not forgiven because thousands of others do") {
  StrikeBook book;
  const auto all_open = [](int, uint64_t) { return true; };
  int64_t now = 0;
  for (int i = 0; i < 15; ++i) CHECK(book.add("he", 1, 1, ++now, all_open).count == static_cast<uint32_t>(i + 1));
  for (int i = 0; i < 3 * static_cast<int>(kStrikesKeptMax); ++i) {
    book.add("other" + std::to_string(i), 2, 2, ++now, all_open);
    if (i % 1000 == 0) CHECK(book.add("he", 1, 1, ++now, all_open).count == static_cast<uint32_t>(16 + i / 1000));
  }
  CHECK(book.size() <= kStrikesKeptMax);
  // What belongs to connections that are gone goes first.
  book.add("late", 3, 3, ++now, [](int, uint64_t connection) { return connection == 1; });
  CHECK(book.size() == 2);
}
