// Messages between sites: the envelope, and every body behind a right one.
#include "replicator/wire/difference_protocol.h"
#include "replicator/wire/protocol.h"
#include "replicator/wire/read_protocol.h"
#include "replicator/wire/status_protocol.h"
#include "tests/fuzz/fuzz.h"

namespace tidemark::fuzz {
namespace {

void body(uint8_t type, Bytes bytes) {
  switch (type) {
    case 0: (void)decode_hello(bytes); break;
    case 1: (void)decode_welcome(bytes); break;
    case 2: (void)decode_begin(bytes); break;
    case 3: (void)decode_data_message(bytes); break;
    case 4: (void)decode_ack(bytes); break;
    case 5: (void)decode_heartbeat(bytes); break;
    case 6: (void)decode_error(bytes); break;
    case 7: (void)decode_tree_request(bytes); break;
    case 8: (void)decode_list(bytes); break;
    case 9: (void)decode_ranges(bytes); break;
    case 10: (void)decode_texts(bytes); break;
    case 11: (void)decode_marks(bytes); break;
    case 12: (void)decode_info(bytes); break;
    case 13: (void)decode_marks_request(bytes); break;
    case 14: (void)decode_log_request(bytes); break;
    case 17: (void)decode_prune_request(bytes); break;
    case 18: (void)decode_prune(bytes); break;
    case 19: (void)decode_offer(bytes); break;
    case 20: (void)decode_accept(bytes); break;
    case 21: (void)decode_difference(bytes); break;
    case 22: (void)decode_sums(bytes); break;
    case 23: (void)decode_report(bytes); break;
    default: {
      Decoder decoder(bytes);
      (void)decode_attr(decoder);
    }
  }
}

std::string body_of(const std::string& message) { return message.substr(kWireHeaderSize); }

}  // namespace

void fuzz_one(Bytes bytes) {
  Bytes inside;
  (void)open_message(bytes, inside);
  Input input(bytes);
  body(input.byte() % 24, input.rest());
  std::string sealed(kWireHeaderSize, '\0');
  sealed += as_text(input.rest());
  MutableBytes message(reinterpret_cast<std::byte*>(sealed.data()), sealed.size());
  seal_message(message, {kWireVersion, MessageType::kHello, 1, 2});
  CHECK_INVARIANT(open_message(message, inside).ok());
  CHECK_INVARIANT(as_text(inside) == as_text(input.rest()));
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  const auto add = [&](char type, const std::string& body) { seeds.push_back(std::string(1, type) + body); };
  Hello hello;
  hello.role = WireRole::kShip;
  hello.group = "shop";
  hello.identity = "host";
  hello.epoch = Epoch(1);
  add(0, encode_hello(hello));
  Welcome welcome;
  welcome.role = WireRole::kShip;
  seeds.push_back(encode_welcome(welcome, 1, 2));
  add(1, body_of(encode_welcome(welcome, 1, 2)));
  add(2, body_of(encode_begin({Epoch(1), Seq(2), 3}, 1, 2)));
  add(4, body_of(encode_ack({Seq(1), Seq(1), 10, 1}, 1)));
  add(5, body_of(encode_heartbeat(Seq(9), 1)));
  add(19, body_of(encode_offer({{Epoch(1), Seq(2), 3}, {}}, 1)));
  add(20, body_of(encode_accept({Ino(5), Seq(7)}, 1)));
  DifferencePart end;
  end.piece.kind = DifferencePiece::Kind::kEnd;
  end.held_marks = {MarkId(1), MarkId(4)};
  add(21, body_of(encode_difference(end, 1, 1)));
  add(6, body_of(encode_error(Status(Code::kCorrupt, "text"), Retry::kLater, 1, 2)));
  const auto encoded = [&](char type, auto&& encode) {
    std::string out;
    encode(Encoder(out));
    add(type, out);
  };
  encoded(7, [](Encoder out) { encode_tree_request(out, {Seq(5), kRootIno, 1, 2, 3, true, "name"}); });
  encoded(17, [](Encoder out) { encode_prune_request(out, {Seq(5), true}); });
  encoded(18, [](Encoder out) {
    RemotePrune pruned;
    pruned.report.stopped_by = "a view";
    pruned.report.marks.resize(2);
    encode_prune(out, pruned);
  });
  encoded(8, [](Encoder out) {
    out.put(uint32_t{1});
    encode_list_entry(out, {{"name", Ino(3), 0100000}, true, Attr{}});
  });
  encoded(9, [](Encoder out) { encode_ranges(out, {{0, 4096}, {8192, 4096}}); });
  encoded(10, [](Encoder out) { encode_texts(out, {"a", "bc"}); });
  encoded(11, [](Encoder out) {
    out.put(uint32_t{1});
    encode_mark(out, {MarkId(1), "mark", Seq(2), 3, "app", 4, 5, "note", true});
  });
  encoded(12, [](Encoder out) { encode_info(out, {GroupId{}, "shop", {}, Seq(1), Seq(2), 3, 4}); });
  encoded(22, [](Encoder out) { encode_sums(out, {1, 2}); });
  encoded(23, [](Encoder out) {
    SiteReport report;
    report.source.emplace().news.source = "vm/1";
    report.source->state = report.source->news.state = PairState::kDuplex;
    report.sites.resize(2);
    for (auto& [name, site] : report.sites) name = "far";
    encode_report(out, report);
  });
  encoded(15, [](Encoder out) { encode_attr(out, Attr{}); });
  return seeds;
}

}  // namespace tidemark::fuzz
