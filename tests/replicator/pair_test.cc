// Pairs: states on command and by themselves, sync pairs and their fences, chains, and what is remembered of all that.
#include <csignal>

#include <catch2/catch.hpp>

#include "replicator/source/pair_core.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;
using namespace std::chrono_literals;

namespace {

PairConfig pair_to(const std::string& endpoint, PairMode mode = PairMode::kAsync, PairFence fence = PairFence::kNever) {
  return {"away", endpoint, "", "", mode, fence, 0};
}

bool reaches(Group& group, const std::string& state, const std::string& site = "away") {
  bool there = eventually([&] { return progress(group, site).state == state; });
  if (!there) WARN(site << " is " << progress(group, site).state << ": " << progress(group, site).last_error);
  return there;
}

PairStatus saved(Group& group) { return load_pairs(group.directory())->at(0).status; }

// Newest durable record of the site's copy, from the site's own log.
Seq durable_at(Site& site) {
  Group* copy = site.find("shop");
  return copy == nullptr ? Seq(0) : copy->log().durable();
}

}  // namespace

TEST_CASE("which state may follow which") {
  using enum PairState;
  const std::vector<PairState> all{kSimplex, kCopying, kDuplex, kSuspending, kSuspended, kFailed, kResyncing};
  const std::map<PairState, std::vector<PairState>> allowed{
      {kSimplex, {kCopying, kSuspended, kFailed}},
      {kCopying, {kDuplex, kSuspended, kFailed}},
      {kDuplex, {kSuspending, kSuspended, kFailed, kResyncing}},
      {kSuspending, {kSuspended, kFailed, kResyncing}},
      {kSuspended, {kResyncing, kCopying, kFailed}},
      {kFailed, {kResyncing, kCopying, kSuspended}},
      {kResyncing, {kDuplex, kSuspended, kFailed}},
  };
  for (PairState from : all) {
    for (PairState to : all) {
      const auto& list = allowed.at(from);
      bool expected = from == to || std::find(list.begin(), list.end(), to) != list.end();
      INFO(pair_state_name(from) << " -> " << pair_state_name(to));
      CHECK(may_follow(from, to) == expected);
    }
    CHECK(pair_state_from_name(pair_state_name(from)) == from);
  }
  CHECK(!pair_state_from_name("failed"));
}

TEST_CASE("a pair on command: it drains, is suspended, survives a restart so, and goes on with the difference") {
  Scratch work;
  LocalSite site(work / "site");
  auto primary = make_primary(work / "vol");
  fill(*primary, 2 << 20, 1);
  auto shipper = start_shipping(*primary, {pair_to(site.endpoint())});
  REQUIRE(reaches(*primary, "duplex"));
  CHECK(saved(*primary).state == PairState::kDuplex);
  CHECK(saved(*primary).copied);
  CHECK(eventually([&] { return site->source("shop") && site->source("shop")->state == PairState::kDuplex; }));

  touch(*primary, "before", "goes over");
  REQUIRE(shipper->suspend("away").ok());
  Seq drained = primary->log().durable();
  CHECK(drained == primary->newest());
  REQUIRE(reaches(*primary, "suspended"));
  CHECK(durable_at(*site) == drained);
  CHECK(saved(*primary).state == PairState::kSuspended);
  CHECK(eventually([&] { return site->source("shop")->state == PairState::kSuspended; }));
  CHECK(shipper->suspend("away").code() == Code::kInvalid);

  touch(*primary, "after", "stays here");
  REQUIRE(primary->sync().ok());
  shipper.reset();
  shipper = start_shipping(*primary, {pair_to(site.endpoint())});
  std::this_thread::sleep_for(300ms);
  CHECK(progress(*primary, "away").state == "suspended");
  CHECK(durable_at(*site) == drained);

  REQUIRE(shipper->resume("away").ok());
  REQUIRE(reaches(*primary, "duplex"));
  CHECK(durable_at(*site) == primary->log().durable());
  CHECK(shipper->resume("away").code() == Code::kInvalid);
  CHECK(shipper->suspend("nobody").code() == Code::kNotFound);
}

TEST_CASE("a lost site suspends the pair by itself; both ends say so, and it heals by itself") {
  Scratch work;
  auto site = site_process(work / "site");
  auto primary = make_primary(work / "vol");
  auto shipper = start_shipping(*primary, {pair_to(site->first_line())});
  REQUIRE(reaches(*primary, "duplex"));
  std::string endpoint = site->first_line();
  site->kill();
  REQUIRE(reaches(*primary, "failure-suspended"));
  CHECK(saved(*primary).state == PairState::kFailed);
  CHECK(!saved(*primary).cause.empty());
  touch(*primary, "meanwhile", "kept");
  REQUIRE(primary->sync().ok());
  site = site_process(work / "site", endpoint);
  REQUIRE(reaches(*primary, "duplex"));
  CHECK(caught_up(*primary, "away"));
}

TEST_CASE("the target says so when its source is lost without a word, and not when it ends in order") {
  Scratch work;
  LocalSite site(work / "site");
  REQUIRE(make_primary(work / "vol")->close().ok());
  {
    Process source({"primary", work / "vol", "away", site.endpoint()});
    REQUIRE(eventually([&] { return site->source("shop") && site->source("shop")->state == PairState::kDuplex; }));
  }
  REQUIRE(eventually([&] { return site->source("shop")->state == PairState::kFailed; }, 30s));
  CHECK(site->source("shop")->news.state == PairState::kDuplex);
  auto primary = open_group(work / "vol", OpenMode::kPrimary);
  auto shipper = start_shipping(*primary, {pair_to(site.endpoint())});
  REQUIRE(reaches(*primary, "duplex"));
  REQUIRE(eventually([&] { return site->source("shop")->state == PairState::kDuplex; }));
  shipper.reset();
  REQUIRE(eventually([&] { return site->source("shop")->cause.find("stopped") != std::string::npos; }));
  CHECK(site->source("shop")->state == PairState::kDuplex);
}

TEST_CASE("sync: what counts as durable is durable at the site") {
  Scratch work;
  LocalSite site(work / "site");
  auto primary = make_primary(work / "vol");
  fill(*primary, 1 << 20, 2);
  auto shipper = start_shipping(*primary, {pair_to(site.endpoint(), PairMode::kSync)});
  REQUIRE(reaches(*primary, "duplex"));
  for (int i = 0; i < 200; ++i) {
    touch(*primary, "file" + std::to_string(i), "content");
    Seq written = primary->newest();
    REQUIRE(primary->sync().ok());
    REQUIRE(durable_at(*site) >= written);
  }
  MarkRequest mark;
  mark.name = "good";
  auto made = primary->create_mark(mark);
  REQUIRE(made.ok());
  CHECK(durable_at(*site) >= made->seq);
}

TEST_CASE("async: what counts as durable here need not be so at the site") {
  Scratch work;
  auto site = site_process(work / "site");
  auto primary = make_primary(work / "vol");
  auto shipper = start_shipping(*primary, {pair_to(site->first_line())});
  REQUIRE(reaches(*primary, "duplex"));
  site->signal(SIGSTOP);
  touch(*primary, "file", "content");
  REQUIRE(primary->sync().ok());
  CHECK(progress(*primary, "away").durable < primary->log().durable());
  site->signal(SIGCONT);
  CHECK(caught_up(*primary, "away"));
}

TEST_CASE("sync, fence=never: a lost site holds writers up until the loss is on record, and no longer") {
  Scratch work;
  auto site = site_process(work / "site");
  auto primary = make_primary(work / "vol");
  auto shipper = start_shipping(*primary, {pair_to(site->first_line(), PairMode::kSync)});
  REQUIRE(reaches(*primary, "duplex"));
  site->signal(SIGSTOP);  // silent, but the connection stands
  touch(*primary, "file", "content");
  auto began = std::chrono::steady_clock::now();
  REQUIRE(primary->sync().ok());
  CHECK(std::chrono::steady_clock::now() - began > 2s);
  CHECK(saved(*primary).state == PairState::kFailed);  // before sync() returned
  touch(*primary, "alone", "content");
  REQUIRE(primary->sync().ok());
  site->signal(SIGCONT);
  REQUIRE(reaches(*primary, "duplex"));
  CHECK(progress(*primary, "away").durable == primary->log().durable());
  CHECK(progress(*primary, "away").waits);
}

TEST_CASE("sync, fence=data: a lost site stops writing until it is back") {
  Scratch work;
  auto site = site_process(work / "site");
  std::string endpoint = site->first_line();
  auto primary = make_primary(work / "vol");
  PairConfig config = pair_to(endpoint, PairMode::kSync, PairFence::kData);
  auto shipper = start_shipping(*primary, {config});
  REQUIRE(reaches(*primary, "duplex"));
  site->kill();
  REQUIRE(reaches(*primary, "failure-suspended"));
  CHECK(primary->sync().code() == Code::kReadOnly);
  Status refused = primary->volume().make_node(kRootIno, "refused", {.mode = 0100644}).status();
  CHECK(refused.code() == Code::kReadOnly);
  CHECK(refused.text().find("fence=data") != std::string::npos);
  CHECK(primary->view(primary->newest()).ok());  // reading goes on

  SECTION("it comes back") {
    site = site_process(work / "site", endpoint);
    REQUIRE(reaches(*primary, "duplex"));
    touch(*primary, "again", "content");
    CHECK(primary->sync().ok());
  }
  SECTION("the primary is restarted: it is still fenced") {
    shipper.reset();
    REQUIRE(primary->close().ok());
    primary.reset();
    primary = open_group(work / "vol", OpenMode::kPrimary);
    shipper = start_shipping(*primary, {config});
    CHECK(primary->volume().make_node(kRootIno, "refused", {.mode = 0100644}).status().code() == Code::kReadOnly);
  }
  SECTION("an operator decides to go on without it") {
    REQUIRE(shipper->suspend("away").ok());
    touch(*primary, "alone", "content");
    CHECK(primary->sync().ok());
    site = site_process(work / "site", endpoint);
    REQUIRE(shipper->resume("away").ok());
    REQUIRE(reaches(*primary, "duplex"));
  }
}

TEST_CASE("sync: a primary that was duplex when it died acknowledges nothing alone before it knows how the site is") {
  Scratch work;
  auto site = site_process(work / "site");
  auto primary = make_primary(work / "vol");
  PairConfig config = pair_to(site->first_line(), PairMode::kSync, PairFence::kData);
  auto shipper = start_shipping(*primary, {config});
  REQUIRE(reaches(*primary, "duplex"));
  shipper.reset();
  REQUIRE(primary->close().ok());
  primary.reset();
  site->kill();
  primary = open_group(work / "vol", OpenMode::kPrimary);
  shipper = start_shipping(*primary, {config});
  (void)primary->volume().make_node(kRootIno, "early", {.mode = 0100644});
  CHECK(primary->sync().code() == Code::kReadOnly);
  CHECK(saved(*primary).fenced);
}

TEST_CASE("a chain: a site forwards unchanged, and the primary sees how far everybody is") {
  Scratch work;
  LocalSite far(work / "far");
  LocalSite near(work / "near");
  auto primary = make_primary(work / "vol");
  fill(*primary, 2 << 20, 3);
  PairMode second = GENERATE(PairMode::kAsync, PairMode::kSync);
  auto shipper = start_shipping(*primary, {{"near", near.endpoint(), "", "", PairMode::kSync, PairFence::kNever, 0}});
  REQUIRE(reaches(*primary, "duplex", "near"));
  REQUIRE(near->shipper("shop") != nullptr);
  REQUIRE(near->shipper("shop")->create({"far", far.endpoint(), "", "", second, PairFence::kNever, 0}).ok());
  REQUIRE(reaches(*primary, "duplex", "near/far"));
  CHECK(progress(*primary, "near/far").downstream);
  for (int i = 0; i < 20; ++i) {
    touch(*primary, "file" + std::to_string(i), "content");
    Seq written = primary->newest();
    REQUIRE(primary->sync().ok());
    REQUIRE(durable_at(*near) >= written);
    if (second == PairMode::kSync) REQUIRE(durable_at(*far) >= written);
  }
  CHECK(primary->watermarks().wait_durable("near/far", primary->newest(), 20s).ok());
  CHECK(durable_at(*far) >= primary->newest());
  check_equal(*primary, *far->find("shop"));
  REQUIRE(near->shipper("shop")->remove("far").ok());
  CHECK(eventually([&] { return !primary->watermarks().snapshot().contains("near/far"); }));
}

TEST_CASE("a site forwards what it holds after a restart, too") {
  Scratch work;
  LocalSite far(work / "far");
  auto primary = make_primary(work / "vol");
  fill(*primary, 1 << 20, 4);
  std::string endpoint;
  {
    LocalSite near(work / "near");
    endpoint = near.endpoint();
    auto shipper = start_shipping(*primary, {pair_to(endpoint)});
    REQUIRE(caught_up(*primary, "away"));
    REQUIRE(near->shipper("shop")->create({"far", far.endpoint(), "", ""}).ok());
    REQUIRE(eventually([&] { return durable_at(*far) == primary->log().durable(); }));
  }
  touch(*primary, "more", "content");
  REQUIRE(primary->sync().ok());
  LocalSite near(work / "near", endpoint);
  auto shipper = start_shipping(*primary, {pair_to(endpoint)});
  REQUIRE(eventually([&] { return durable_at(*far) == primary->log().durable(); }));
}

TEST_CASE("a bandwidth limit is kept") {
  Scratch work;
  LocalSite site(work / "site");
  auto primary = make_primary(work / "vol");
  fill(*primary, 4 << 20, 5);
  PairConfig config = pair_to(site.endpoint());
  config.bytes_per_second = 2 << 20;
  auto began = std::chrono::steady_clock::now();
  auto shipper = start_shipping(*primary, {config});
  CHECK(eventually([&] { return progress(*primary, "away").copy_bytes > 0; }));
  CHECK(caught_up(*primary, "away"));
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  CHECK(took.count() > 1.2);  // the last message goes whole, 4 MiB need 2 s less that
  CHECK(took.count() < 10);
}

TEST_CASE("a pair that the log limit drops stays dropped, whatever its state was, until it is resumed") {
  Scratch work;
  LocalSite site(work / "site");
  auto primary = make_primary(work / "vol");
  fill(*primary, 1 << 20, 5);
  auto shipper = start_shipping(*primary, {pair_to(site.endpoint())});
  REQUIRE(reaches(*primary, "duplex"));
  CHECK(shipper->park("nobody", "no room").code() == Code::kNotFound);
  for (bool suspended : {false, true}) {
    if (suspended) {
      REQUIRE(shipper->suspend("away").ok());
      REQUIRE(reaches(*primary, "suspended"));
    }
    REQUIRE(shipper->park("away", "no room").ok());
    CHECK(saved(*primary).state == PairState::kFailed);
    CHECK(saved(*primary).parked);
    CHECK(saved(*primary).cause == "no room");
    touch(*primary, suspended ? "meanwhile" : "earlier", "not shipped");
    REQUIRE(primary->sync().ok());
    const Seq there = durable_at(*site);
    std::this_thread::sleep_for(500ms);
    CHECK(progress(*primary, "away").state == "failure-suspended");
    CHECK(durable_at(*site) == there);
    REQUIRE(shipper->suspend("away").ok());  // brings no log back
    CHECK(saved(*primary).parked);
    shipper.reset();
    shipper = start_shipping(*primary, {pair_to(site.endpoint())});
    CHECK(saved(*primary).parked);
    REQUIRE(shipper->resume("away").ok());
    REQUIRE(reaches(*primary, "duplex"));
    CHECK(!saved(*primary).parked);
    CHECK(caught_up(*primary, "away"));
  }
}

TEST_CASE("dropped by the log limit, fence=never: writers go on; fence=data: they are refused until somebody decides") {
  Scratch work;
  LocalSite site(work / "site");
  auto primary = make_primary(work / "vol");
  const bool fences = GENERATE(false, true);
  const PairConfig config = pair_to(site.endpoint(), PairMode::kSync, fences ? PairFence::kData : PairFence::kNever);
  auto shipper = start_shipping(*primary, {config});
  REQUIRE(reaches(*primary, "duplex"));
  REQUIRE(shipper->park("away", "no room").ok());
  const Code expected = fences ? Code::kReadOnly : Code::kOk;
  auto write = [&] { return primary->volume().make_node(kRootIno, "file", {.mode = 0100644}).status().code(); };
  CHECK(write() == expected);
  CHECK(primary->sync().code() == expected);
  shipper.reset();
  primary.reset();
  primary = open_group(work / "vol", OpenMode::kPrimary);
  shipper = start_shipping(*primary, {config});
  CHECK(saved(*primary).parked);
  CHECK(primary->sync().code() == expected);
  if (fences) CHECK(write() == Code::kReadOnly);
  REQUIRE(shipper->resume("away").ok());
  REQUIRE(reaches(*primary, "duplex"));
  touch(*primary, "later", "goes over");
  CHECK(primary->sync().ok());
  CHECK(durable_at(*site) == primary->log().durable());
}

TEST_CASE("a pair that is made anew under the name of one that ends owes it nothing") {
  Scratch work;
  LocalSite site(work / "site");
  auto primary = make_primary(work / "vol");
  auto shipper = start_shipping(*primary, {pair_to(site.endpoint())});
  REQUIRE(reaches(*primary, "duplex"));
  for (int round = 0; round < 40; ++round) {
    // Nobody is there: so what the new one says of itself stays as it is for a while.
    const std::string endpoint = round % 2 == 0 ? "tcp://127.0.0.1:1" : site.endpoint();
    std::thread maker([&] {
      while (!shipper->create(pair_to(endpoint)).ok()) std::this_thread::yield();
    });
    const Status removed = shipper->remove("away");
    maker.join();
    REQUIRE(removed.ok());
    CHECK(primary->watermarks().snapshot().contains("away"));
    if (round % 2 == 0) {
      CHECK(progress(*primary, "away").state == "simplex");
      CHECK(saved(*primary).state == PairState::kSimplex);
      CHECK(!saved(*primary).copied);
    } else {
      REQUIRE(reaches(*primary, "duplex"));
    }
  }
}

TEST_CASE("a pair that is suspended while it connects stays suspended") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  REQUIRE(primary->sync().ok());
  PairCore core(*primary, {pair_to("tcp://127.0.0.1:1"), {}}, system_clock(), [](const PairStatus&) { return Status(); });
  REQUIRE(core.greet().ok());
  REQUIRE(core.suspend().ok());
  Welcome welcome;
  welcome.role = WireRole::kShip;
  welcome.window_bytes = kWindowBytes;
  welcome.window_frames = kWindowFrames;
  welcome.group_id = primary->identity().id;
  const std::string answer = encode_welcome(welcome, 7, 0);
  REQUIRE(core.receive(Message::copy_of(as_bytes(answer))).ok());
  CHECK(core.status().state == PairState::kSuspended);
  CHECK(!core.wants_connection());
}
