// The wire format: what is encoded comes back, and nothing else is accepted. Random bytes never do harm.
#include <catch2/catch.hpp>
#include <functional>
#include <random>

#include "replicator/wire/difference_protocol.h"
#include "replicator/wire/read_protocol.h"

using namespace tidemark;

namespace {

Bytes body_of(const std::string& message) { return as_bytes(message).subspan(kWireHeaderSize); }

Position some_position() { return {Epoch(3), Seq(77), 0xfeedbeef}; }

Hello some_hello() {
  Hello hello;
  hello.role = WireRole::kShip;
  hello.group_id[0] = std::byte{7};
  hello.group = "shop";
  hello.identity = "host/1";
  hello.epoch = Epoch(3);
  hello.position = some_position();
  return hello;
}

Attr some_attr() {
  Attr attr;
  attr.ino = Ino(9);
  attr.mode = 0100644;
  attr.nlink = 2;
  attr.size = 1u << 30;
  attr.blocks = 12;
  attr.mtime = {-5, 999999999};
  attr.parent = Ino(1);
  attr.xattr_count = 3;
  attr.changed = Seq(70);
  return attr;
}

std::string body_text(const std::function<void(Encoder)>& encode) {
  std::string text;
  encode(Encoder(text));
  return text;
}

struct Decodable {
  const char* name;
  std::string body;
  std::function<bool(Bytes)> decode;
  bool open_ended = false;  // the last field takes whatever follows
};

std::vector<Decodable> everything() {
  Welcome welcome;
  welcome.role = WireRole::kShip;
  welcome.which = PositionCase::kBehind;
  welcome.position = some_position();
  std::string data(kWireHeaderSize + kDataFixed + 128, '\0');
  std::string run(128, 'r');
  encode_data_message({reinterpret_cast<std::byte*>(data.data()), data.size()}, {Seq(5), Seq(6), as_bytes(run)}, 1, 2);
  ListEntry entry;
  entry.entry = {"name", Ino(9), 0100000};
  entry.has_attr = true;
  entry.attr = some_attr();
  Mark mark;
  mark.id = MarkId(4);
  mark.name = "good";
  mark.note = "a note";
  RemoteGroupInfo info;
  info.name = "shop";
  info.newest = some_position();
  TreeRequest request;
  request.point = Seq(77);
  request.ino = Ino(9);
  request.name = "x";
  DifferenceOffer offer;
  offer.from = some_position();
  offer.target.base = {Epoch(3), Seq(99), 5};
  DifferencePart end;
  end.piece.kind = DifferencePiece::Kind::kEnd;
  end.held_marks = {MarkId(1), MarkId(4)};
  auto tail = [](const std::string& message) { return message.substr(kWireHeaderSize); };
  return {
      {"hello", tail(encode_hello(some_hello())), [](Bytes b) { return decode_hello(b).ok(); }},
      {"welcome", tail(encode_welcome(welcome, 1, 2)), [](Bytes b) { return decode_welcome(b).ok(); }},
      {"begin", tail(encode_begin(some_position(), 1, 2)), [](Bytes b) { return decode_begin(b).ok(); }},
      {"data", tail(data), [](Bytes b) { return decode_data_message(b).ok(); }, true},
      {"ack", tail(encode_ack({Seq(9), Seq(8), 100, 2}, 1)), [](Bytes b) { return decode_ack(b).ok(); }},
      {"heartbeat", tail(encode_heartbeat(Seq(9), 1)), [](Bytes b) { return decode_heartbeat(b).ok(); }},
      {"error", tail(encode_error(Status(Code::kNoSpace, "full", 28), Retry::kLater, 1, 2)),
       [](Bytes b) { return decode_error(b).ok(); }},
      {"offer", tail(encode_offer(offer, 1)), [](Bytes b) { return decode_offer(b).ok(); }},
      {"accept", tail(encode_accept({Ino(5), Seq(7)}, 1)), [](Bytes b) { return decode_accept(b).ok(); }},
      {"difference", tail(encode_difference(end, 1, 1)), [](Bytes b) { return decode_difference(b).ok(); }},
      {"tree request", body_text([&](Encoder to) { encode_tree_request(to, request); }),
       [](Bytes b) { return decode_tree_request(b).ok(); }},
      {"list", body_text([&](Encoder to) {
         to.put(uint32_t{1});
         encode_list_entry(to, entry);
       }),
       [](Bytes b) { return decode_list(b).ok(); }},
      {"ranges", body_text([](Encoder to) {
         encode_ranges(to, {{0, 4096}, {8192, 5}});
       }),
       [](Bytes b) { return decode_ranges(b).ok(); }},
      {"texts", body_text([](Encoder to) {
         encode_texts(to, {"user.a", "user.b"});
       }),
       [](Bytes b) { return decode_texts(b).ok(); }},
      {"marks", body_text([&](Encoder to) {
         to.put(uint32_t{1});
         encode_mark(to, mark);
       }),
       [](Bytes b) { return decode_marks(b).ok(); }},
      {"info", body_text([&](Encoder to) { encode_info(to, info); }), [](Bytes b) { return decode_info(b).ok(); }},
      {"marks request", body_text([](Encoder to) { to.put(uint64_t{1}).put(uint32_t{2}); }),
       [](Bytes b) { return decode_marks_request(b).ok(); }},
      {"log request", body_text([](Encoder to) { to.put(uint64_t{1}).put(uint32_t{2}); }),
       [](Bytes b) { return decode_log_request(b).ok(); }},
  };
}

}  // namespace

TEST_CASE("messages come back as they were") {
  auto hello = decode_hello(body_of(encode_hello(some_hello())));
  REQUIRE(hello.ok());
  CHECK(hello->role == WireRole::kShip);
  CHECK(hello->group == "shop");
  CHECK(hello->identity == "host/1");
  CHECK(hello->epoch == Epoch(3));
  CHECK(hello->position == some_position());
  CHECK(hello->group_id == some_hello().group_id);

  std::string text = encode_error(Status(Code::kNoSpace, "full \x1b[2J", 28), Retry::kLater, 5, 6);
  auto error = decode_error(body_of(text));
  REQUIRE(error.ok());
  CHECK(error->status.code() == Code::kNoSpace);
  CHECK(error->status.text() == "full ?[2J");
  CHECK(error->status.sys_errno() == 28);
  CHECK(error->retry == Retry::kLater);

  Bytes body;
  auto header = open_message(as_bytes(text), body);
  REQUIRE(header.ok());
  CHECK(header->type == MessageType::kError);
  CHECK(header->session == 5);
  CHECK(header->request == 6);

  std::string listing = everything()[11].body;
  auto listed = decode_list(as_bytes(listing));
  REQUIRE(listed.ok());
  CHECK((*listed)[0].attr == some_attr());
}

TEST_CASE("every code of a status keeps its meaning") {
  for (int i = 1; i <= static_cast<int>(Code::kLimit); ++i) {
    auto code = static_cast<Code>(i);
    auto error = decode_error(body_of(encode_error(Status(code, "x"), Retry::kNever, 0, 0)));
    REQUIRE(error.ok());
    CHECK(error->status.code() == code);
  }
}

TEST_CASE("what is cut short or has something behind it is refused") {
  for (const Decodable& one : everything()) {
    INFO(one.name);
    CHECK(one.decode(as_bytes(one.body)));
    for (size_t size = 0; size < one.body.size(); ++size) {
      if (one.open_ended && size >= kDataFixed + kRecordHeaderSize) break;
      // A copy of exactly that size, so that a sanitizer sees a read past its end.
      std::vector<std::byte> cut(as_bytes(one.body).begin(), as_bytes(one.body).begin() + static_cast<long>(size));
      CHECK(!one.decode(cut));
    }
    if (!one.open_ended) CHECK(!one.decode(as_bytes(one.body + "x")));
  }
}

TEST_CASE("random and damaged bytes are refused or understood, never more") {
  std::mt19937_64 random(20261120);
  auto all = everything();
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 300, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    for (const Decodable& one : all) static_cast<void>(one.decode(as_bytes(bytes)));
    const Decodable& one = all[random() % all.size()];
    std::string damaged = one.body;
    for (int i = 0; i < 3; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    static_cast<void>(one.decode(as_bytes(damaged)));
    Bytes body;
    CHECK(!open_message(as_bytes(bytes), body).ok());
  }
}

TEST_CASE("one flipped bit anywhere in a message is noticed") {
  std::string message = encode_hello(some_hello());
  Bytes body;
  REQUIRE(open_message(as_bytes(message), body).ok());
  for (size_t bit = 0; bit < message.size() * 8; ++bit) {
    std::string flipped = message;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    CHECK(!open_message(as_bytes(flipped), body).ok());
  }
  message[4] = kWireVersion + 1;
  CHECK(open_message(as_bytes(message), body).status().code() == Code::kUnsupported);
}

TEST_CASE("declared counts and lengths are checked before memory is taken") {
  auto with_count = [](uint32_t count) { return body_text([=](Encoder to) { to.put(count).put(uint64_t{0}); }); };
  for (uint32_t count : {2u, 1000u, 0x7fffffffu, 0xffffffffu}) {
    std::string body = with_count(count);
    CHECK(!decode_list(as_bytes(body)).ok());
    CHECK(!decode_ranges(as_bytes(body)).ok());
    CHECK(!decode_marks(as_bytes(body)).ok());
    if (count > 4) CHECK(!decode_texts(as_bytes(body)).ok());
  }
  std::string big(kWireMax + 1, '\0');
  Bytes body;
  CHECK(open_message(as_bytes(big), body).status().code() == Code::kCorrupt);
  Hello hello = some_hello();
  hello.group = std::string(64, 'g');
  CHECK(!decode_hello(body_of(encode_hello(hello))).ok());
}

TEST_CASE("names no directory can hold are not taken from the wire") {
  for (const std::string& name : {std::string(""), std::string("."), std::string(".."), std::string("a/b"),
                                  std::string("a\0b", 3), std::string(256, 'x')}) {
    ListEntry entry;
    entry.entry = {name, Ino(9), 0100000};
    std::string body = body_text([&](Encoder to) {
      to.put(uint32_t{1});
      encode_list_entry(to, entry);
    });
    CHECK(!decode_list(as_bytes(body)).ok());
  }
}

TEST_CASE("a difference comes back as it was, and nothing that cannot be one") {
  DifferenceOffer offer;
  offer.from = some_position();
  offer.target.base = {Epoch(3), Seq(99), 5};
  offer.target.time_ns = 17;
  offer.target.tombstones_from = Seq(70);
  offer.target.next_ino = Ino(12);
  offer.target.next_mark = MarkId(3);
  offer.target.inodes = 8;
  offer.target.group[2] = std::byte{9};
  auto offered = decode_offer(body_of(encode_offer(offer, 1)));
  REQUIRE(offered.ok());
  CHECK(offered->from == offer.from);
  CHECK(offered->target == offer.target);
  offer.target.base.seq = Seq(UINT64_MAX);
  CHECK(!decode_offer(body_of(encode_offer(offer, 1))).ok());

  const std::string rows(100, 'r');
  DifferencePart part;
  part.piece = {DifferencePiece::Kind::kRows, as_bytes(rows)};
  const std::string message = encode_difference(part, 1, 1);
  auto decoded = decode_difference(body_of(message));
  REQUIRE(decoded.ok());
  CHECK(decoded->piece.kind == DifferencePiece::Kind::kRows);
  CHECK(as_text(decoded->piece.bytes) == rows);
  for (const int kind : {0, 4, 17}) {
    CHECK(!decode_difference(as_bytes(std::string(1, static_cast<char>(kind)) + "content")).ok());
  }
  CHECK(!decode_difference(as_bytes(std::string("\1"))).ok());
  std::string many(1, '\3');
  Encoder(many).put(uint8_t{1}).put(uint32_t{0x40000000});
  CHECK(!decode_difference(as_bytes(many)).ok());
}

TEST_CASE("an ack may not claim more durable than received") {
  CHECK(!decode_ack(body_of(encode_ack({Seq(8), Seq(9), 0, 0}, 1))).ok());
}
