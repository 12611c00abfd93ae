// Keys: who gets in, and with which right.
#include <atomic>
#include <catch2/catch.hpp>

#include "base/file.h"
#include "replicator/wire/keys.h"
#include "replicator/wire/zap.h"
#include "tests/replicator/keyring.h"
#include "tests/replicator/raw_peer.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

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

TEST_CASE("where nothing answers libzmq's questions about keys, nobody gets in") {
  Keys keys;
  const KeyPair own = *load_key_pair(keys.work / "site");
  const ClientKeys client{own.public_key, *load_key_pair(keys.work / "writer")};
  for (const bool insists : {false, true}) {
    ZmqContext context;  // without a handler
    auto server = Socket::open(context, ZMQ_ROUTER);
    REQUIRE(server.ok());
    if (insists) {
      REQUIRE(insist_on_zap(*server, own.secret_key).ok());
    } else {  // what a domain alone is worth
      REQUIRE(server->set(ZMQ_CURVE_SERVER, 1).ok());
      REQUIRE(server->set(ZMQ_CURVE_SECRETKEY, own.secret_key).ok());
      REQUIRE(server->set(ZMQ_ZAP_DOMAIN, kZapDomain).ok());
    }
    REQUIRE(server->bind("tcp://127.0.0.1:*").ok());
    RawPeer peer(&context, *server->last_endpoint(), client);
    peer.send("hello");
    const bool let_in = eventually(
        [&] {
          Message message;
          return *server->try_receive(message);
        },
        insists ? std::chrono::milliseconds(1500) : std::chrono::seconds(20));
    CHECK(let_in == !insists);
  }
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
  SECTION("a key that may only prune") {
    CHECK(error_of(*primary, keys.pair(site.endpoint(), "pruner"), &text).ok());
    CHECK(text.find("append") != std::string::npos);
    auto remote = RemoteGroup::connect({site.endpoint(), "shop"}, keys.reading("pruner"));
    REQUIRE(remote.ok());
    CHECK((*remote)->info().status().code() == Code::kNotAuthorised);
    CHECK((*remote)->read_log(Seq(1), 100).status().code() == Code::kNotAuthorised);
    CHECK((*remote)->view(Seq(1)).status().code() == Code::kNotAuthorised);
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

TEST_CASE("somebody in between with a key of his own gets nothing, though he lets everybody in") {
  Keys keys;
  auto primary = make_primary(keys.work / "p");
  fill(*primary, 1u << 20, 1);
  SiteOptions options = keys.options();
  options.key = keys.work / "other-site";
  LocalSite between(options);
  std::string text;
  CHECK(error_of(*primary, keys.pair(between.endpoint(), "writer"), &text).ok());
  CHECK(text.find("public key") != std::string::npos);
  CHECK(RemoteGroup::connect({between.endpoint(), "shop"}, keys.reading("reader")).status().code() == Code::kNotAuthorised);
  CHECK(between->groups().empty());
  // The same one is taken by who was given that key: it is the key that makes the difference.
  CHECK(RemoteGroup::connect({between.endpoint(), ""}, keys.reading("reader", "other-site")).ok());
}

TEST_CASE("the allow-list is read again when it changes: who is taken off it is out within seconds, and comes back") {
  Keys keys;
  auto primary = make_primary(keys.work / "p");
  fill(*primary, 1u << 20, 1);
  LocalSite site(keys.options());
  auto shipper = start_shipping(*primary, {keys.pair(site.endpoint(), "writer")});
  REQUIRE(caught_up(*primary, "away"));
  auto remote = RemoteGroup::connect({site.endpoint(), "shop"}, keys.reading("reader"));
  REQUIRE(remote.ok());
  auto write_more = [&, count = 0]() mutable {
    touch(*primary, "more" + std::to_string(++count), "x");
    REQUIRE(primary->sync().ok());
  };
  const auto in_state = [&](const std::string& state) {
    return eventually([&] { return progress(*primary, "away").state == state; }, std::chrono::seconds(6));
  };

  SECTION("taken off the list") {
    keys.allow(keys.line("reader", "read"));
    CHECK(in_state("failure-suspended"));
    CHECK(eventually([&] { return progress(*primary, "away").last_error.find("allow-list") != std::string::npos; }));
    const Seq there = site->find("shop")->newest();
    write_more();
    CHECK(!caught_up(*primary, "away", std::chrono::seconds(1)));
    CHECK(site->find("shop")->newest() == there);
    CHECK((*remote)->info().ok());  // who stayed on it notices nothing
    keys.allow(keys.line("writer", "append") + keys.line("reader", "read"));
    CHECK(caught_up(*primary, "away"));
  }
  SECTION("a right taken away") {
    keys.allow(keys.line("writer", "read") + keys.line("reader", "read"));
    CHECK(in_state("failure-suspended"));
    CHECK(eventually([&] { return progress(*primary, "away").last_error.find("append") != std::string::npos; }));
    CHECK((*remote)->info().ok());
  }
  SECTION("a reader") {
    keys.allow(keys.line("writer", "append"));
    CHECK(eventually([&] { return (*remote)->info().status().code() == Code::kNotAuthorised; }, std::chrono::seconds(6)));
    write_more();
    CHECK(caught_up(*primary, "away"));
  }
  SECTION("nobody is left") {
    keys.allow("");
    CHECK(in_state("failure-suspended"));
    CHECK(eventually([&] { return (*remote)->info().status().code() == Code::kNotAuthorised; }, std::chrono::seconds(6)));
  }
  SECTION("at once when told to") {
    // A file that is written over and over never rests: by itself the site waits.
    std::atomic<bool> writing{true};
    Status written;  // of the thread until it has ended
    std::thread writer([&, list = keys.line("writer", "append")] {
      for (; writing && written.ok(); std::this_thread::sleep_for(std::chrono::milliseconds(20))) {
        written = write_file_atomically(posix_file_system(), keys.work / "allow", list);
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    CHECK((*remote)->info().ok());
    site->read_allow_list();
    CHECK(eventually([&] { return (*remote)->info().status().code() == Code::kNotAuthorised; }, std::chrono::seconds(6)));
    writing = false;
    writer.join();
    CHECK(written.ok());
  }
  SECTION("a list that is not right, or not there, changes nothing") {
    keys.allow(keys.line("reader", "read") + "rubbish\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(1700));
    site->read_allow_list();
    REQUIRE(posix_file_system().remove(keys.work / "allow").ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(1700));
    write_more();
    CHECK(caught_up(*primary, "away"));
    CHECK(progress(*primary, "away").state == "duplex");
    CHECK((*remote)->info().ok());
    keys.allow(keys.line("reader", "read"));  // and the next that is right counts
    CHECK(in_state("failure-suspended"));
  }
}

TEST_CASE("a remote history is pruned by a key with that right alone, one at a time, and never by who writes it") {
  Keys keys;
  auto primary = make_primary(keys.work / "p");
  fill(*primary, 1u << 20, 1);
  touch(*primary, "behind the mark", "x");
  REQUIRE(primary->sync().ok());
  std::atomic<bool> hold{false};
  std::atomic<bool> held{false};
  SiteOptions options = keys.options();
  options.group.before_index_write = [&] {
    held = hold.load();
    while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return Status();
  };
  LocalSite site(options);
  auto shipper = start_shipping(*primary, {keys.pair(site.endpoint(), "writer")});
  REQUIRE(caught_up(*primary, "away"));
  const Seq newest = primary->log().durable();
  const auto as = [&](const std::string& who) {
    auto remote = RemoteGroup::connect({site.endpoint(), "shop"}, keys.reading(who));
    INFO(remote.status().text());
    REQUIRE(remote.ok());
    return std::move(*remote);
  };
  for (const char* who : {"writer", "reader"}) {
    INFO(who);
    CHECK(as(who)->prune(newest, false).status().code() == Code::kNotAuthorised);
    CHECK(as(who)->prune(newest, true).status().code() == Code::kNotAuthorised);
  }
  CHECK(site->find("shop")->base() <= Seq(1));
  REQUIRE(as("reader")->view(Seq(2)).ok());
  auto pruner = as("pruner");
  auto seq = pruner->resolve("latest");
  REQUIRE(seq.ok());
  CHECK(*seq == newest);
  // What somebody has just looked at is held for him, but not for ever.
  auto plan = pruner->prune(*seq, true);
  REQUIRE(plan.ok());
  CHECK(plan->report.base == Seq(2));
  CHECK(!plan->report.stopped_by.empty());
  CHECK(eventually([&] { return pruner->prune(*seq, true)->report.base == newest; }, std::chrono::seconds(30)));
  CHECK(site->find("shop")->base() <= Seq(1));

  hold = true;
  Result<RemotePrune> slow = Status(Code::kIo, "not yet");
  std::thread waiting([&] { slow = pruner->prune(newest, false); });
  REQUIRE(eventually([&] { return held.load(); }));
  CHECK(as("pruner")->prune(newest, false).status().code() == Code::kBusy);
  CHECK(as("reader")->info().ok());  // reading goes on meanwhile
  hold = false;
  waiting.join();
  INFO(slow.status().text());
  REQUIRE(slow.ok());
  CHECK(slow->report.base == newest);
  CHECK(slow->report.marks.size() == 1);
  CHECK(slow->base_time_ns != 0);
  CHECK(site->find("shop")->base() == newest);
  CHECK(primary->base() <= Seq(1));
  CHECK(as("reader")->info()->base == newest);
  touch(*primary, "after", "x");
  REQUIRE(primary->sync().ok());
  CHECK(caught_up(*primary, "away"));
}

TEST_CASE("without keys everybody reads and writes, and nobody prunes") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 1u << 20, 1);
  SiteOptions options;
  options.directory = work / "groups";
  options.listen = "tcp://127.0.0.1:*";
  options.group = small_options();
  LocalSite site(options);
  auto shipper = start_shipping(*primary, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  auto remote = RemoteGroup::connect({site.endpoint(), "shop"}, {});
  REQUIRE(remote.ok());
  CHECK((*remote)->prune(primary->log().durable(), false).status().code() == Code::kNotAuthorised);
  CHECK(site->find("shop")->base() <= Seq(1));
}
