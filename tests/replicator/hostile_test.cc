// Peers that break every rule: they lose their session and in the end their connection; the site, its other peers and its
// memory are as before.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <random>

#include "log/read/cursor.h"
#include "replicator/wire/read_protocol.h"
#include "tests/replicator/raw_peer.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

// ZMTP by hand, up to where messages may be sent.
class RawTcp {
 public:
  explicit RawTcp(const std::string& endpoint) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    std::string greeting("\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL", 16);
    greeting.resize(64, '\0');
    std::string ready = std::string("\x04\0\x05READY\x0bSocket-Type\0\0\0\x06", 24) + "DEALER";
    ready[1] = static_cast<char>(ready.size() - 2);
    send(greeting + ready);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ~RawTcp() { ::close(fd_); }
  RawTcp(const RawTcp&) = delete;
  RawTcp& operator=(const RawTcp&) = delete;
  // False once the connection is closed. Waits for room at most a while.
  bool send(const std::string& bytes) const {
    for (size_t done = 0; done < bytes.size();) {
      pollfd item{fd_, POLLOUT | POLLRDHUP, 0};
      if (::poll(&item, 1, 3000) <= 0 || (item.revents & (POLLRDHUP | POLLERR | POLLHUP)) != 0) return false;
      ssize_t sent = ::send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent <= 0) return false;
      done += static_cast<size_t>(sent);
    }
    return true;
  }

 private:
  int fd_;
};

struct Served {
  Served() : primary(make_primary(work / "p")), site(site_process(work / "site")), endpoint(site->first_line()) {
    fill(*primary, 4u << 20, 1);
    shipper = start_shipping(*primary, {{"away", endpoint, "", ""}});
    REQUIRE(caught_up(*primary, "away"));
  }
  // Shipping and reading go on as if nothing had been.
  void check_unharmed() {
    touch(*primary, "after" + std::to_string(++count), "x");
    REQUIRE(primary->sync().ok());
    CHECK(caught_up(*primary, "away"));
    auto remote = RemoteGroup::connect({endpoint, "shop"}, {});
    INFO(remote.status().text());
    REQUIRE(remote.ok());
    CHECK((*remote)->info()->newest == primary->log().tail_position());
  }
  Scratch work;
  std::unique_ptr<Group> primary;
  std::unique_ptr<Process> site;
  std::string endpoint;
  std::unique_ptr<Shipper> shipper;
  int count = 0;
};

}  // namespace

TEST_CASE("random frames, in any number and shape") {
  Served served;
  std::mt19937_64 random(20261120);
  for (int peer = 0; peer < 8; ++peer) {
    RawPeer hostile(served.endpoint, 200);
    uint64_t session = peer % 2 ? hostile.hello(reader_hello()) : 0;
    for (int i = 0; i < 200; ++i) {
      std::string bytes(random() % 400, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      switch (random() % 4) {
        case 0: hostile.send(bytes); break;
        case 1: hostile.send(sealed(static_cast<MessageType>(random() % 256), session, bytes)); break;
        case 2: hostile.send(sealed(static_cast<MessageType>(random() % 32), random(), bytes)); break;
        default:
          for (uint64_t parts = random() % 5; parts > 0; --parts) hostile.send(bytes, true);
          hostile.send(bytes);
      }
    }
  }
  served.check_unharmed();
}

TEST_CASE("a broken rule ends the session and says which") {
  Served served;
  {
    RawPeer peer(served.endpoint);
    peer.send("not ours");
    CHECK(peer.receive_error().status.code() == Code::kCorrupt);
    std::string other = encode_hello(reader_hello());
    other[4] = 9;
    peer.send(other);
    WireError version = peer.receive_error();
    CHECK(version.status.code() == Code::kUnsupported);
    CHECK(version.retry == Retry::kNever);
    uint64_t session = peer.hello(reader_hello());
    peer.send(sealed(MessageType::kInfo, session, ""));
    CHECK(!peer.receive().empty());
    peer.send("part", true);
    peer.send("another");
    CHECK(peer.receive_error().status.code() == Code::kInvalid);
    peer.send(sealed(MessageType::kInfo, session, ""));
    CHECK(peer.receive_error().retry == Retry::kHello);
    // Another's session is not to be had by guessing or by hearing of it.
    RawPeer thief(served.endpoint);
    uint64_t own = peer.hello(reader_hello());
    thief.send(sealed(MessageType::kInfo, own, ""));
    CHECK(thief.receive_error().retry == Retry::kHello);
  }
  {
    RawPeer peer(served.endpoint);
    uint64_t session = peer.hello(reader_hello());
    peer.send(sealed(MessageType::kData, session, std::string(200, 'x')));
    CHECK(peer.receive_error().status.code() == Code::kInvalid);  // a reader does not ship
    session = peer.hello(reader_hello());
    peer.send(sealed(MessageType::kInfo, session, std::string(2000, 'x')));
    CHECK(peer.receive_error().status.code() == Code::kTooLarge);
  }
  served.check_unharmed();
}

TEST_CASE("a peer that goes on breaking rules loses its connection") {
  Served served;
  RawPeer peer(served.endpoint);
  int errors = 0;
  for (int i = 0; i < 40; ++i) {
    peer.send("rubbish");
    if (!peer.receive(100).empty()) ++errors;
  }
  CHECK(errors < 40);
  served.check_unharmed();
}

TEST_CASE("records that do not verify end the shipper's session and leave the replica as it was") {
  Served served;
  served.shipper.reset();
  Group& primary = *served.primary;
  touch(primary, "next", "content");
  REQUIRE(primary.sync().ok());
  RawPeer peer(served.endpoint);
  Position stands;
  auto begin = [&] {
    peer.send(encode_hello(shipper_hello(primary)));
    std::string text = peer.receive();
    Bytes body;
    auto header = open_message(as_bytes(text), body);
    REQUIRE(header.ok());
    REQUIRE(header->type == MessageType::kWelcome);
    stands = decode_welcome(body)->position;
    peer.send(encode_begin(stands, header->session, 1));
    REQUIRE(!peer.receive().empty());  // ACK
    return header->session;
  };
  auto ship = [&](uint64_t session, Bytes run, uint64_t first) {
    std::string message(kWireHeaderSize + kDataFixed + run.size(), '\0');
    encode_data_message({reinterpret_cast<std::byte*>(message.data()), message.size()}, {Seq(first), Seq(first), run},
                        session, 0);
    peer.send(message);
    return peer.receive_error();
  };
  uint64_t session = begin();
  LogCursor cursor(primary.log(), stands.seq.next());
  auto read = cursor.read(1u << 20, primary.log().durable());
  REQUIRE(read.ok());
  std::string run(as_text(read->bytes));
  for (size_t at : {size_t{3}, size_t{20}, size_t{50}, kRecordHeaderSize + size_t{5}}) {
    std::string damaged = run;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    WireError error = ship(session, as_bytes(damaged), stands.seq.value() + 1);
    INFO(error.status.text());
    CHECK(error.retry == Retry::kHello);
    Position before = stands;
    session = begin();
    CHECK(stands == before);
  }
  CHECK(ship(session, as_bytes(run).first(run.size() - 8), stands.seq.value() + 1).retry == Retry::kHello);
  session = begin();
  // A duplicate of what is there already.
  LogCursor old(primary.log(), Seq(1));
  auto first = old.read(1, primary.log().durable());
  REQUIRE(first.ok());
  CHECK(ship(session, first->bytes, 1).retry == Retry::kHello);
  // And the right one is taken after all that.
  served.shipper = start_shipping(primary, {{"away", served.endpoint, "", ""}});
  served.check_unharmed();
}

TEST_CASE("more than the window allows is not kept") {
  Served served;
  served.shipper.reset();
  RawPeer peer(served.endpoint);
  peer.send(encode_hello(shipper_hello(*served.primary)));
  std::string text = peer.receive();
  Bytes body;
  auto header = open_message(as_bytes(text), body);
  REQUIRE(header.ok());
  uint64_t before = served.site->memory();
  std::string junk(1u << 20, 'j');
  std::string message(kWireHeaderSize + kDataFixed + junk.size(), '\0');
  encode_data_message({reinterpret_cast<std::byte*>(message.data()), message.size()}, {Seq(1), Seq(1), as_bytes(junk)},
                      header->session, 0);
  for (int i = 0; i < 300; ++i) peer.send(message);
  CHECK(peer.receive_error().status.code() == Code::kLimit);
  uint64_t after = served.site->memory();
  WARN("300 MiB of DATA beyond the window: the site's memory went from " << (before >> 20) << " to " << (after >> 20)
                                                                         << " MiB");
  if (kMemoryTells) CHECK(after < before + (128u << 20));
  served.shipper = start_shipping(*served.primary, {{"away", served.endpoint, "", ""}});
  served.check_unharmed();
}

TEST_CASE("huge declared lengths take no memory") {
  Served served;
  uint64_t before = served.site->memory();
  for (int i = 0; i < 20; ++i) {
    RawTcp peer(served.endpoint);
    // A long frame of 2^40 bytes, of which some come.
    peer.send(std::string("\x02\0\0\x01\0\0\0\0\0", 9) + std::string(10000, 'x'));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (kMemoryTells) CHECK(served.site->memory() < before + (16u << 20));
  served.check_unharmed();
}

TEST_CASE("a message of many parts that never ends costs the peer its connection, not the site its memory") {
  Served served;
  uint64_t before = served.site->memory();
  for (size_t size : {size_t{1}, size_t{200}, size_t{60000}}) {
    RawTcp peer(served.endpoint);
    std::string part = size < 256
                           ? std::string("\x01", 1) + static_cast<char>(size)
                           : std::string("\x03\0\0\0\0\0\0", 7) + static_cast<char>(size >> 8) + static_cast<char>(size);
    part += std::string(size, 'p');
    std::string parts;
    while (parts.size() < 200000) parts += part;
    uint64_t highest = before;
    uint64_t sent = 0;
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(4);
    while (std::chrono::steady_clock::now() < deadline && peer.send(parts)) {
      sent += parts.size();
      highest = std::max(highest, served.site->memory());
    }
    WARN("endless message, parts of " << size << ": cut after " << (sent >> 20) << " MiB; the site's memory went from "
                                      << (before >> 20) << " to at most " << (highest >> 20) << " MiB");
    CHECK(std::chrono::steady_clock::now() < deadline);
    if (kMemoryTells) CHECK(highest < before + (500u << 20));
  }
  served.check_unharmed();
}

TEST_CASE("a reader that does not take its answers does not fill the site") {
  Served served;
  uint64_t before = served.site->memory();
  RawPeer peer(served.endpoint);
  REQUIRE(peer.socket().set(ZMQ_RCVHWM, 1).ok());
  uint64_t session = peer.hello(reader_hello());
  std::string body;
  TreeRequest request;
  request.point = served.primary->newest();
  request.ino = Ino(7);
  request.count = kReadMax;
  encode_tree_request(Encoder(body), request);
  for (int i = 0; i < 3000; ++i) peer.send(sealed(MessageType::kRead, session, body));
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  uint64_t after = served.site->memory();
  WARN("3,000 unread answers: the site's memory went from " << (before >> 20) << " to " << (after >> 20) << " MiB");
  if (kMemoryTells) CHECK(after < before + (160u << 20));
  served.check_unharmed();
}
