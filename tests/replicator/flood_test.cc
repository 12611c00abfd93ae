// A client that is on the list and wants everything: it gets its share, and the others go on. What it may cost the site is named.
#include <catch2/catch.hpp>
#include <vector>

#include "replicator/site/read_service.h"
#include "replicator/site/site_router.h"
#include "replicator/wire/read_protocol.h"
#include "tests/replicator/keyring.h"
#include "tests/replicator/raw_peer.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

struct Flooded {
  Flooded() : primary(make_primary(keys.work / "p")) {
    fill(*primary, 8u << 20, 1);
    keys.allow(keys.line("writer", "append,create") + keys.line("reader", "read") + keys.line("pruner", "read") +
               keys.line("stranger", "append,create,read"));
    site = std::make_unique<Process>(std::vector<std::string>{"site", keys.work / "groups", "tcp://127.0.0.1:*",
                                                              keys.work / "site", keys.work / "allow"});
    endpoint = site->first_line();
    shipper = start_shipping(*primary, {keys.pair(endpoint, "writer")});
    REQUIRE(caught_up(*primary, "away"));
  }
  RawPeer flooding(const std::string& who) { return RawPeer(&context, endpoint, client(who)); }
  [[nodiscard]] ClientKeys client(const std::string& who) const {
    return {*load_public_key(keys.work / "site.pub"), *load_key_pair(keys.work / who)};
  }
  // Others ship and read meanwhile.
  void check_unharmed() {
    touch(*primary, "after" + std::to_string(++count), "x");
    REQUIRE(primary->sync().ok());
    CHECK(caught_up(*primary, "away"));
    auto remote = RemoteGroup::connect({endpoint, "shop"}, keys.reading("pruner"));
    INFO(remote.status().text());
    REQUIRE(remote.ok());
    CHECK((*remote)->info()->newest == primary->log().tail_position());
    auto view = (*remote)->view(kLatest);
    INFO(view.status().text());
    REQUIRE(view.ok());
    CHECK((*view)->list(kRootIno, "", 100).ok());
  }
  // Reports, and holds against what is named.
  void check_memory(const std::string& what, uint64_t before, uint64_t highest, uint64_t bound) const {
    WARN(what << ": the site's memory went from " << (before >> 20) << " to " << (highest >> 20) << " MiB; bound "
              << (bound >> 20) << " MiB more");
    if (kMemoryTells) CHECK(highest < before + bound);
  }
  Keys keys;
  std::unique_ptr<Group> primary;
  std::unique_ptr<Process> site;
  std::string endpoint;
  std::unique_ptr<Shipper> shipper;
  ZmqContext context;
  int count = 0;
};

std::string answer_of(RawPeer& peer) {
  std::string text = peer.receive(5000);
  Bytes body;
  auto header = open_message(as_bytes(text), body);
  REQUIRE(header.ok());
  return header->type == MessageType::kError ? decode_error(body)->status.text() : "";
}

}  // namespace

TEST_CASE("one key gets so many sessions and no more, and what it leaves behind is free again") {
  Flooded flooded;
  {
    std::vector<RawPeer> peers;
    for (size_t i = 0; i < kSessionsPerKeyMax; ++i) {
      peers.push_back(flooded.flooding("reader"));
      peers.back().hello(reader_hello());
    }
    RawPeer more = flooded.flooding("reader");
    more.send(encode_hello(reader_hello()));
    CHECK(answer_of(more).find("its limit of 256 sessions") != std::string::npos);
    flooded.check_unharmed();
    // Hello again on a connection replaces its session.
    peers.back().hello(reader_hello());
  }
  const bool free_again = eventually(
      [&] {
        RawPeer one = flooded.flooding("reader");
        one.send(encode_hello(reader_hello()));
        return answer_of(one).empty();
      },
      std::chrono::seconds(10));
  CHECK(free_again);
}

TEST_CASE("answers that one key does not take are no more than named, over all its sessions") {
  Flooded flooded;
  const uint64_t before = flooded.site->memory();
  Ino large;
  {
    auto remote = RemoteGroup::connect({flooded.endpoint, "shop"}, flooded.keys.reading("pruner"));
    REQUIRE(remote.ok());
    auto view = (*remote)->view(kLatest);
    REQUIRE(view.ok());
    auto found = resolve_path(**view, "dir1/sub/file8");
    INFO(found.status().text());
    REQUIRE(found.ok());
    REQUIRE(found->size >= kReadMax);
    large = found->ino;
  }
  std::string body;
  TreeRequest request;
  request.point = flooded.primary->newest();
  request.ino = large;
  request.count = kReadMax;
  encode_tree_request(Encoder(body), request);
  std::vector<RawPeer> peers;
  std::vector<uint64_t> sessions;
  for (size_t i = 0; i < 20; ++i) {
    peers.push_back(flooded.flooding("reader"));
    REQUIRE(peers.back().socket().set(ZMQ_RCVHWM, 1).ok());
    sessions.push_back(peers.back().hello(reader_hello()));
  }
  uint64_t highest = before;
  for (int round = 0; round < 60; ++round) {  // one by one, so that each finds the one before answered
    for (size_t i = 0; i < peers.size(); ++i) peers[i].send(sealed(MessageType::kRead, sessions[i], body));
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    highest = std::max(highest, flooded.site->memory());
  }
  flooded.check_unharmed();
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    highest = std::max(highest, flooded.site->memory());
  }
  // As many answers as are counted, the blocks they were made from in caches, and what TCP holds.
  flooded.check_memory("1,200 unread answers of 1 MiB to 20 sessions of one key", before, highest,
                       (uint64_t{kReadsPerKeyMax} << 20) + (128u << 20));
}

TEST_CASE("DATA that many sessions of one key send at once is no more than named") {
  Flooded flooded;
  const uint64_t before = flooded.site->memory();
  const std::string junk(1u << 20, 'j');
  std::vector<RawPeer> peers;
  uint64_t highest = before;
  size_t refused = 0;
  for (size_t i = 0; i < kDataPerKeyMax / (kWindowBytes - (1u << 20)) + 8; ++i) {
    peers.push_back(flooded.flooding("stranger"));
    Hello hello = shipper_hello(*flooded.primary);
    hello.group = "its-own";  // the other belongs to who ships it
    hello.group_id[0] ^= std::byte{1};
    const uint64_t session = peers.back().hello(hello);
    std::string message(kWireHeaderSize + kDataFixed + junk.size(), '\0');
    encode_data_message({reinterpret_cast<std::byte*>(message.data()), message.size()}, {Seq(1), Seq(1), as_bytes(junk)},
                        session, 0);
    for (size_t sent = 0; sent + message.size() < kWindowBytes; sent += message.size()) peers.back().send(message);
    highest = std::max(highest, flooded.site->memory());
  }
  for (RawPeer& peer : peers) refused += peer.receive(50).empty() ? 0 : 1;
  CHECK(refused > 0);
  CHECK(refused < peers.size() / 2);
  flooded.check_memory("DATA of " + std::to_string(peers.size()) + " sessions of one key", before, highest,
                       kDataPerKeyMax + (64u << 20));
  flooded.check_unharmed();
}
