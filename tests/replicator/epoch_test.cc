// Who may raise a group's epoch at a site, when, and what becomes of the session that ships meanwhile.
#include <catch2/catch.hpp>

#include "log/read/cursor.h"
#include "log/write/writer.h"
#include "replicator/site/replica_core.h"
#include "replicator/wire/difference_protocol.h"
#include "tests/replicator/raw_peer.h"
#include "tests/replicator/support.h"
#include "volume/group/sealed_json.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

uint64_t saved_epoch(const std::string& directory) {
  auto content = read_file(posix_file_system(), directory + "/site.json");
  if (!content.ok()) return 0;
  auto json = open_sealed_json(*content, "site.json");
  REQUIRE(json.ok());
  return (*json)["epoch"].get<uint64_t>();
}

// A peer that says it is the primary from `epoch` on, with one record more than the site has.
Hello claim_of(Group& group, uint64_t epoch) {
  Hello hello = shipper_hello(group);
  hello.identity = "claimant";
  hello.epoch = Epoch(epoch);
  hello.position.epoch = Epoch(epoch);
  hello.position.seq = hello.position.seq.next();
  hello.position.chain ^= 1;
  return hello;
}

struct Shipped {
  Shipped()
      : primary(make_primary(work / "p")), site(std::make_unique<LocalSite>(work / "site")), endpoint(site->endpoint()) {
    fill(*primary, 1u << 20, 1);
    shipper = start_shipping(*primary, {{"away", endpoint, "", ""}});
    REQUIRE(caught_up(*primary, "away"));
  }
  Group& copy() { return *(*site)->find("shop"); }
  void write(const std::string& name) {
    touch(*primary, name, "x");
    REQUIRE(primary->sync().ok());
  }
  Scratch work;
  std::unique_ptr<Group> primary;
  std::unique_ptr<LocalSite> site;
  std::string endpoint;
  std::unique_ptr<Shipper> shipper;
};

// What begins as BEGIN says is answered with ACK, else with the error.
Status begin(RawPeer& peer, uint64_t session, const Position& agreed) {
  peer.send(encode_begin(agreed, session, 1));
  for (int messages = 0; messages < 20; ++messages) {
    const std::string text = peer.receive(5000);
    Bytes body;
    auto header = open_message(as_bytes(text), body);
    REQUIRE(header.ok());
    if (header->type == MessageType::kAck) return Status();
    if (header->type == MessageType::kError) return decode_error(body)->status;
  }
  return Status(Code::kTimeout, "no answer to BEGIN");
}

// A whole log as the body of a DATA message, of which the source says that it is durable up to `settled`.
std::string data_of(Group& group, Seq from, Seq settled = Seq()) {
  LogCursor cursor(group.log(), from);
  auto run = cursor.read(kRunMax, group.log().durable());
  REQUIRE(run.ok());
  std::string message(kWireHeaderSize + kDataFixed + run->bytes.size(), '\0');
  encode_data_message({reinterpret_cast<std::byte*>(message.data()), message.size()}, {from, run->last, run->bytes, settled},
                      1, 0);
  return message.substr(kWireHeaderSize);
}

struct Core {
  explicit Core(const std::string& directory) : core("shop", directory, small_options(), nullptr) {}
  ~Core() { CHECK(core.close().ok()); }
  Status hello(const Hello& hello, const Claimant& who = {}) {
    Retry retry{};
    return core.hello(hello, who, retry).status();
  }
  Status begin(const Hello& hello, const Claimant& who = {}) {
    return core.begin({who, hello.epoch, hello.position}, core.group()->log().tail_position());
  }
  ReplicaCore core;
};

// Offers a difference from nothing to a site that takes it: its messages.
std::vector<std::string> offered_pieces(Group& primary, Core& site, size_t bytes_max) {
  auto reader = primary.read_difference(Position());
  INFO(reader.status().text());
  REQUIRE(reader.ok());
  auto accept = site.core.offer(Epoch(1), (*reader)->offer());
  INFO(accept.status().text());
  REQUIRE(accept.ok());
  (*reader)->begin(accept->next_ino, accept->staged);
  std::vector<std::string> pieces;
  for (bool end = false; !end;) {
    DifferencePart part;
    auto piece = (*reader)->next(bytes_max);
    REQUIRE(piece.ok());
    part.piece = *piece;
    if (part.piece.kind == DifferencePiece::Kind::kNothing) continue;
    end = part.piece.kind == DifferencePiece::Kind::kEnd;
    if (end) part.held_marks = (*reader)->held_marks();
    pieces.push_back(encode_difference(part, 1, pieces.size() + 1));
  }
  return pieces;
}

// A site that a pruned primary ships to, and that has nothing yet.
void begin_behind_the_base(Group& primary, Core& site) {
  REQUIRE(primary.sync().ok());
  PruneRequest request;
  request.to = primary.newest();
  REQUIRE(primary.prune(request).ok());
  const Hello hello = shipper_hello(primary);
  REQUIRE(site.hello(hello).ok());
  REQUIRE(site.begin(hello).ok());
}

}  // namespace

TEST_CASE("HELLO raises no epoch, whatever it says, and BEGIN only where the history fits and the step is one") {
  Shipped shipped;
  Group& primary = *shipped.primary;
  const Position at = shipped.copy().log().tail_position();
  const auto refused = [&](const Hello& hello) {
    RawPeer peer(shipped.endpoint);
    const uint64_t session = peer.hello(hello);
    CHECK(saved_epoch(shipped.work / "site/shop") <= 1);
    const Status status = begin(peer, session, at);
    INFO(status.text());
    CHECK(!status.ok());
    CHECK(saved_epoch(shipped.work / "site/shop") <= 1);
    return status.code();
  };
  Hello diverged = shipper_hello(primary);
  diverged.epoch = Epoch(99);
  diverged.position.chain ^= 1;
  CHECK(refused(diverged) == Code::kDiverged);
  Hello unproven = shipper_hello(primary);
  unproven.epoch = Epoch(2);
  CHECK(refused(unproven) == Code::kNotAuthorised);
  Hello behind = shipper_hello(primary);
  behind.epoch = behind.position.epoch = Epoch(2);
  behind.position.seq = Seq(behind.position.seq.value() - 1);
  CHECK(refused(behind) == Code::kDiverged);
  CHECK(refused(claim_of(primary, 2 + kEpochStepMax)) == Code::kNotAuthorised);
  CHECK(refused(claim_of(primary, ~uint64_t{0})) == Code::kNotAuthorised);
  // The primary has not noticed, and ships on in the same session.
  CHECK(progress(primary, "away").last_error.empty());
  CHECK(progress(primary, "away").connected);
  shipped.write("after");
  CHECK(caught_up(primary, "away"));
  check_equal(primary, shipped.copy());
}

TEST_CASE("a higher epoch ends the session below it at once, and for good") {
  Shipped shipped;
  Group& primary = *shipped.primary;
  const Position at = shipped.copy().log().tail_position();
  RawPeer newer(shipped.endpoint);
  const uint64_t session = newer.hello(claim_of(primary, 2));
  REQUIRE(begin(newer, session, at).ok());
  CHECK(saved_epoch(shipped.work / "site/shop") == 2);
  CHECK(eventually([&] { return progress(primary, "away").last_error.find("epoch 2") != std::string::npos; }));
  // The primary has heard of it: there is nothing more to come from it. (What would come is not taken: the next test.)
  CHECK(primary.volume().make_node(kRootIno, "too-late", {.mode = 0100644}).status().code() == Code::kReadOnly);
  CHECK(primary.sync().code() == Code::kReadOnly);
  CHECK(eventually([&] { return primary.superseded() && primary.superseded()->epoch == Epoch(2); }));
  CHECK(shipped.copy().log().tail_position() == at);
  // Also after a restart, with nobody else there.
  shipped.site.reset();
  shipped.site = std::make_unique<LocalSite>(shipped.work / "site", shipped.endpoint);
  CHECK(eventually([&] { return progress(primary, "away").state == "failure-suspended"; }));
  CHECK(shipped.copy().log().tail_position() == at);
  CHECK(progress(primary, "away").last_error.find("epoch 2") != std::string::npos);
}

TEST_CASE("what comes in a session of a lower epoch than promised is not taken") {
  Scratch work;
  auto primary = make_primary(work / "p");
  touch(*primary, "one", "1");
  REQUIRE(primary->sync().ok());
  Core site(work / "copy");
  const Hello old = shipper_hello(*primary);
  REQUIRE(site.hello(old).ok());
  REQUIRE(site.begin(old).ok());
  REQUIRE(site.core.take(Epoch(1), as_bytes(data_of(*primary, Seq(1)))).ok());
  REQUIRE(site.core.commit().ok());
  const Seq next = primary->log().durable().next();
  touch(*primary, "two", "2");
  REQUIRE(primary->sync().ok());
  const std::string more = data_of(*primary, next);

  Hello newer = claim_of(*primary, 2);
  REQUIRE(site.hello(newer).ok());
  CHECK(site.core.highest() == Epoch(1));
  REQUIRE(site.begin(newer).ok());
  CHECK(site.core.highest() == Epoch(2));
  CHECK(site.core.take(Epoch(1), as_bytes(more)).status().code() == Code::kStaleEpoch);
  CHECK(site.core.piece(Epoch(1), 1, as_bytes(more)).status().code() == Code::kStaleEpoch);
  CHECK(site.core.offer(Epoch(1), DifferenceOffer()).status().code() == Code::kStaleEpoch);
  CHECK(site.core.group()->log().appended().next() == next);
  CHECK(site.begin(old).code() == Code::kStaleEpoch);
  CHECK(site.hello(old).code() == Code::kStaleEpoch);
  CHECK(site.core.take(Epoch(2), as_bytes(more)).ok());  // older records, shipped by the newer primary
}

TEST_CASE("a session ships no record of an epoch that it has not claimed") {
  Scratch work;
  auto primary = make_primary(work / "p");
  const Hello old = shipper_hello(*primary);
  REQUIRE(primary->close().ok());
  primary.reset();
  begin_epoch(work / "p", Epoch(2));
  primary = open_group(work / "p", OpenMode::kPrimary);
  Core site(work / "copy");
  REQUIRE(site.hello(old).ok());
  REQUIRE(site.begin(old).ok());
  CHECK(site.core.take(Epoch(1), as_bytes(data_of(*primary, Seq(1)))).status().code() == Code::kInvalid);
  CHECK(site.core.group()->log().appended() == Seq());
  Hello right = shipper_hello(*primary);
  right.epoch = Epoch(2);
  REQUIRE(site.hello(right).ok());
  REQUIRE(site.begin(right).ok());
  CHECK(site.core.take(Epoch(2), as_bytes(data_of(*primary, Seq(1)))).ok());
}

TEST_CASE("a refused HELLO leaves a difference that is running alone") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 1u << 20, 1);
  touch(*primary, "after", "x");
  Core site(work / "copy");
  begin_behind_the_base(*primary, site);
  Hello stale = shipper_hello(*primary);
  stale.epoch = Epoch(0);
  Hello other = shipper_hello(*primary);
  other.group_id[0] ^= std::byte{1};
  uint64_t number = 0;
  for (const std::string& message : offered_pieces(*primary, site, kRunMax)) {
    CHECK(!site.hello(other).ok());
    (void)site.hello(stale);
    const auto taken = site.core.piece(Epoch(1), ++number, as_bytes(message).subspan(kWireHeaderSize));
    INFO(taken.status().text());
    REQUIRE(taken.ok());
  }
  CHECK(site.core.group()->log().tail_position() == primary->log().tail_position());
}

TEST_CASE("a difference of which a piece is lost is not taken") {
  Scratch work;
  auto primary = make_primary(work / "p");
  for (int i = 0; i < 300; ++i) touch(*primary, "file" + std::to_string(i), "x");
  Core site(work / "copy");
  begin_behind_the_base(*primary, site);
  const std::vector<std::string> pieces = offered_pieces(*primary, site, 4096);
  REQUIRE(pieces.size() > 3);
  const size_t lost = pieces.size() - 2;  // names and files that nothing else refers to
  const auto take = [&](size_t i) {
    return site.core.piece(Epoch(1), i + 1, as_bytes(pieces[i]).subspan(kWireHeaderSize)).status();
  };
  for (size_t i = 0; i < lost; ++i) REQUIRE(take(i).ok());
  CHECK(take(lost + 1).code() == Code::kCorrupt);
  CHECK(site.core.group()->log().tail_position() == Position());
}

TEST_CASE("the first key that ships a group owns it; another one needs the right 'own'") {
  Scratch work;
  auto primary = make_primary(work / "p");
  const Hello hello = shipper_hello(*primary);
  const Claimant first{"first key", true, false};
  const Claimant second{"second key", true, false};
  const Claimant heir{"second key", true, true};
  {
    Core site(work / "copy");
    CHECK(site.hello(hello, {"second key", false, false}).code() == Code::kNotAuthorised);  // it may not make a copy
    CHECK(site.core.group() == nullptr);
    REQUIRE(site.hello(hello, first).ok());
    CHECK(site.core.owner() == "first key");
    REQUIRE(site.begin(hello, first).ok());
    const Status refused = site.hello(hello, second);
    CHECK(refused.code() == Code::kNotAuthorised);
    CHECK(refused.text().find("first key") == std::string::npos);
    CHECK(site.begin(claim_of(*primary, 2), second).code() == Code::kNotAuthorised);
    CHECK(site.core.highest() == Epoch(1));
  }
  Core site(work / "copy");
  REQUIRE(site.core.open_existing().ok());
  CHECK(site.core.owner() == "first key");
  CHECK(site.hello(hello, second).code() == Code::kNotAuthorised);
  REQUIRE(site.hello(hello, heir).ok());
  CHECK(site.core.owner() == "first key");  // not before it ships
  REQUIRE(site.begin(hello, heir).ok());
  CHECK(site.core.owner() == "second key");
  CHECK(site.hello(hello, second).ok());  // the right is no longer needed
  CHECK(site.hello(hello, first).code() == Code::kNotAuthorised);
}

TEST_CASE(
    "a copy gives up what its source has lost, and nothing that this said is durable, of another history or of another "
    "epoch") {
  Scratch work;
  auto primary = make_primary(work / "p");
  for (int i = 0; i < 6; ++i) touch(*primary, "f" + std::to_string(i), "content");
  REQUIRE(primary->log_writer().sync(kLatest).ok());
  const Seq end = primary->log().durable();
  Core site(work / "site");
  const Hello hello = shipper_hello(*primary);
  REQUIRE(site.hello(hello).ok());
  REQUIRE(site.begin(hello).ok());
  const Seq settled(4);
  REQUIRE(site.core.take(Epoch(1), as_bytes(data_of(*primary, Seq(1), settled))).ok());
  REQUIRE(site.core.commit().ok());
  const auto at = [&](Seq seq) { return primary->log().position_at(seq).value(); };
  const auto told = [&](std::vector<Position> openings, uint64_t epoch = 1) {
    Hello again = hello;
    again.epoch = Epoch(epoch);
    again.openings = std::move(openings);
    Retry retry{};
    auto welcome = site.core.hello(again, {}, retry);
    return welcome.ok() ? welcome->cut_to : Position();
  };
  Position other = at(Seq(5));
  other.chain ^= 1;
  CHECK(told({}) == Position());
  CHECK(told({at(Seq(1)), at(Seq(3))}) == Position());         // it is settled up to 4
  CHECK(told({other}) == Position());                          // another history
  CHECK(told({at(end)}) == Position());                        // nothing is above
  CHECK(told({at(Seq(5))}, 2) == Position());                  // of another tenure
  CHECK(told({at(Seq(1)), at(Seq(5)), other}) == at(Seq(5)));  // the newest that it holds
  // BEGIN has to say the same.
  Claim claim{{}, Epoch(1), hello.position, {at(Seq(1)), at(Seq(5))}};
  CHECK(site.core.begin(claim, at(Seq(3))).code() == Code::kStale);
  CHECK(site.core.begin(claim, at(Seq(6))).code() == Code::kStale);
  CHECK(site.core.group()->position() == at(end));
  REQUIRE(site.core.begin(claim, at(Seq(5))).ok());
  CHECK(site.core.group()->position() == at(Seq(5)));
  CHECK(site.core.durable() == Seq(5));
  REQUIRE(site.core.take(Epoch(1), as_bytes(data_of(*primary, Seq(6), end))).ok());
  CHECK(site.core.group()->position() == at(end));
}
