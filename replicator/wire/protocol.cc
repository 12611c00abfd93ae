#include "replicator/wire/protocol.h"

#include <array>
#include <optional>
#include <utility>

#include "base/hash.h"
#include "log/format/position.h"

namespace tidemark {
namespace {

Status malformed(std::string_view what) { return Status(Code::kCorrupt, "malformed " + std::string(what) + " message"); }

void put_group_id(Encoder& to, const GroupId& id) { to.put_raw(as_text(Bytes(id))); }
GroupId get_group_id(Decoder& from) {
  GroupId id{};
  Bytes raw = from.get_raw(id.size());
  if (raw.size() == id.size()) std::memcpy(id.data(), raw.data(), id.size());
  return id;
}

uint64_t message_check(Bytes message) {
  return hash64(message.subspan(kWireHeaderSize), hash64(message.first(kWireHeaderSize - 8)));
}

// Codes on the wire: numbers of their own, so that the enumeration may change. Never reuse one.
constexpr std::array<std::pair<Code, uint16_t>, 29> kWireCodes{{
    {Code::kNotFound, 1},       {Code::kNoSuchPoint, 2}, {Code::kExists, 3},      {Code::kNotDirectory, 4},
    {Code::kIsDirectory, 5},    {Code::kNotEmpty, 6},    {Code::kInvalid, 7},     {Code::kNameTooLong, 8},
    {Code::kTooLarge, 9},       {Code::kNoData, 10},     {Code::kRange, 11},      {Code::kTooManyLinks, 12},
    {Code::kPermission, 13},    {Code::kAccess, 14},     {Code::kReadOnly, 15},   {Code::kNoSpace, 16},
    {Code::kBusy, 17},          {Code::kIo, 18},         {Code::kPoisoned, 19},   {Code::kCorrupt, 20},
    {Code::kUnsupported, 21},   {Code::kStale, 22},      {Code::kTimeout, 23},    {Code::kUnreachable, 24},
    {Code::kNotAuthorised, 25}, {Code::kDiverged, 26},   {Code::kStaleEpoch, 27}, {Code::kInterrupted, 28},
    {Code::kLimit, 29},
}};

uint16_t to_wire(Code code) {
  for (const auto& [known, number] : kWireCodes) {
    if (known == code) return number;
  }
  return 18;  // kIo: says "failed" to every version
}
std::optional<Code> from_wire(uint16_t number) {
  for (const auto& [code, known] : kWireCodes) {
    if (known == number) return code;
  }
  return std::nullopt;
}

}  // namespace

void seal_message(MutableBytes message, const WireHeader& header) {
  CHECK_INVARIANT(message.size() >= kWireHeaderSize);
  std::byte* at = message.data();
  store_le(at, kWireMagic);
  store_le(at + 4, header.version);
  store_le(at + 5, static_cast<uint8_t>(header.type));
  store_le(at + 6, uint16_t{0});
  store_le(at + 8, header.session);
  store_le(at + 16, header.request);
  store_le(at + 24, message_check(message));
}

Result<WireHeader> open_message(Bytes message, Bytes& body) {
  if (message.size() < kWireHeaderSize) return Status(Code::kCorrupt, "message shorter than its header");
  if (message.size() > kWireMax) return Status(Code::kCorrupt, "message longer than allowed");
  if (load_le<uint32_t>(message.data()) != kWireMagic) return Status(Code::kCorrupt, "not a Tidemark message");
  WireHeader header;
  header.version = load_le<uint8_t>(message.data() + 4);
  if (header.version != kWireVersion) {
    return Status(Code::kUnsupported, "protocol version " + std::to_string(header.version) + "; this side speaks version " +
                                          std::to_string(kWireVersion));
  }
  if (load_le<uint16_t>(message.data() + 6) != 0) return Status(Code::kCorrupt, "message header is damaged");
  if (load_le<uint64_t>(message.data() + 24) != message_check(message)) {
    return Status(Code::kCorrupt, "message checksum is wrong");
  }
  header.type = static_cast<MessageType>(load_le<uint8_t>(message.data() + 5));
  header.session = load_le<uint64_t>(message.data() + 8);
  header.request = load_le<uint64_t>(message.data() + 16);
  body = message.subspan(kWireHeaderSize);
  return header;
}

std::string MessageWriter::finish(MessageType type, uint64_t session, uint64_t request) {
  WireHeader header;
  header.type = type;
  header.session = session;
  header.request = request;
  seal_message({reinterpret_cast<std::byte*>(text_.data()), text_.size()}, header);
  return std::move(text_);
}

std::string encode_hello(const Hello& hello) {
  MessageWriter writer;
  Encoder body = writer.body();
  body.put(static_cast<uint8_t>(hello.role)).put(uint8_t{0}).put(uint16_t{0});
  put_group_id(body, hello.group_id);
  body.put_text16(hello.group).put_text16(hello.identity.substr(0, kIdentityMax)).put(hello.epoch.value());
  put_position(body, hello.position);
  CHECK_INVARIANT(hello.openings.size() <= kOpeningsMax);
  body.put(static_cast<uint16_t>(hello.openings.size()));
  for (const Position& each : hello.openings) put_position(body, each);
  return writer.finish(MessageType::kHello, 0, 0);
}

Result<Hello> decode_hello(Bytes bytes) {
  Decoder body(bytes);
  Hello hello;
  uint8_t role = body.get<uint8_t>();
  bool zeros = body.get<uint8_t>() == 0;
  zeros = body.get<uint16_t>() == 0 && zeros;
  hello.group_id = get_group_id(body);
  hello.group = body.get_text16();
  hello.identity = body.get_text16();
  hello.epoch = Epoch(body.get<uint64_t>());
  hello.position = get_position(body);
  const size_t openings = body.get<uint16_t>();
  if (openings > kOpeningsMax) return malformed("HELLO");
  for (size_t i = 0; i < openings && !body.failed(); ++i) hello.openings.push_back(get_position(body));
  bool known_role = role == static_cast<uint8_t>(WireRole::kShip) || role == static_cast<uint8_t>(WireRole::kRead);
  if (!body.finished() || !zeros || !known_role) return malformed("HELLO");
  if (hello.group.size() > kGroupNameMax || hello.identity.size() > kIdentityMax) return malformed("HELLO");
  hello.role = static_cast<WireRole>(role);
  return hello;
}

std::string_view position_case_name(PositionCase which) {
  switch (which) {
    case PositionCase::kUnknownGroup: return "unknown group";
    case PositionCase::kEmpty: return "empty";
    case PositionCase::kBehind: return "behind";
    case PositionCase::kEqual: return "equal";
    case PositionCase::kDiverged: return "diverged";
    case PositionCase::kAhead: return "ahead";
  }
  return "unknown";
}

std::string encode_welcome(const Welcome& welcome, uint64_t session, uint64_t request) {
  MessageWriter writer;
  Encoder body = writer.body();
  body.put(static_cast<uint8_t>(welcome.role)).put(static_cast<uint8_t>(welcome.which)).put(uint16_t{0});
  body.put(welcome.window_bytes).put(welcome.window_frames);
  put_group_id(body, welcome.group_id);
  put_position(body, welcome.position);
  body.put(welcome.durable.value()).put(welcome.highest.value());
  put_position(body, welcome.cut_to);
  return writer.finish(MessageType::kWelcome, session, request);
}

Result<Welcome> decode_welcome(Bytes bytes) {
  Decoder body(bytes);
  Welcome welcome;
  uint8_t role = body.get<uint8_t>();
  uint8_t which = body.get<uint8_t>();
  const bool zeros = body.get<uint16_t>() == 0;
  welcome.window_bytes = body.get<uint32_t>();
  welcome.window_frames = body.get<uint32_t>();
  welcome.group_id = get_group_id(body);
  welcome.position = get_position(body);
  welcome.durable = Seq(body.get<uint64_t>());
  welcome.highest = Epoch(body.get<uint64_t>());
  welcome.cut_to = get_position(body);
  bool known = (role == 1 || role == 2) && which >= 1 && which <= static_cast<uint8_t>(PositionCase::kAhead);
  if (!body.finished() || !zeros || !known) return malformed("WELCOME");
  welcome.role = static_cast<WireRole>(role);
  welcome.which = static_cast<PositionCase>(which);
  return welcome;
}

std::string encode_begin(const Position& agreed, uint64_t session, uint64_t request) {
  MessageWriter writer;
  Encoder body = writer.body();
  put_position(body, agreed);
  return writer.finish(MessageType::kBegin, session, request);
}

Result<Position> decode_begin(Bytes bytes) {
  Decoder body(bytes);
  Position agreed = get_position(body);
  if (!body.finished()) return malformed("BEGIN");
  return agreed;
}

void encode_data_message(MutableBytes message, const DataHeader& data, uint64_t session, uint64_t request) {
  CHECK_INVARIANT(message.size() == kWireHeaderSize + kDataFixed + data.run.size());
  store_le(message.data() + kWireHeaderSize, data.first.value());
  store_le(message.data() + kWireHeaderSize + 8, data.last.value());
  store_le(message.data() + kWireHeaderSize + 16, data.settled.value());
  std::memcpy(message.data() + kWireHeaderSize + kDataFixed, data.run.data(), data.run.size());
  WireHeader header;
  header.type = MessageType::kData;
  header.session = session;
  header.request = request;
  seal_message(message, header);
}

Result<DataHeader> decode_data_message(Bytes bytes) {
  Decoder body(bytes);
  DataHeader data;
  data.first = Seq(body.get<uint64_t>());
  data.last = Seq(body.get<uint64_t>());
  data.settled = Seq(body.get<uint64_t>());
  data.run = body.rest();
  if (body.failed() || data.run.size() > kRunMax || data.run.size() < kRecordHeaderSize) return malformed("DATA");
  if (data.first == Seq(0) || data.last < data.first) return malformed("DATA");
  return data;
}

std::string encode_ack(const Ack& ack, uint64_t session) {
  MessageWriter writer;
  writer.body().put(ack.received.value()).put(ack.durable.value()).put(ack.consumed_bytes).put(ack.consumed_frames);
  return writer.finish(MessageType::kAck, session, 0);
}

Result<Ack> decode_ack(Bytes bytes) {
  Decoder body(bytes);
  Ack ack;
  ack.received = Seq(body.get<uint64_t>());
  ack.durable = Seq(body.get<uint64_t>());
  ack.consumed_bytes = body.get<uint64_t>();
  ack.consumed_frames = body.get<uint64_t>();
  if (!body.finished() || ack.durable > ack.received) return malformed("ACK");
  return ack;
}

std::string encode_heartbeat(Seq durable, uint64_t session) {
  MessageWriter writer;
  writer.body().put(durable.value());
  return writer.finish(MessageType::kHeartbeat, session, 0);
}

Result<Seq> decode_heartbeat(Bytes bytes) {
  Decoder body(bytes);
  Seq durable(body.get<uint64_t>());
  if (!body.finished()) return malformed("HEARTBEAT");
  return durable;
}

std::string encode_line(uint64_t session) { return MessageWriter().finish(MessageType::kLine, session, 0); }

std::string encode_bye(uint64_t session) { return MessageWriter().finish(MessageType::kBye, session, 0); }

namespace {
// It ends up on somebody's terminal.
void make_printable(std::string& text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
}

bool known_pair(uint8_t mode, uint8_t state) {
  return (mode == 1 || mode == 2) && state >= 1 && state <= static_cast<uint8_t>(PairState::kResyncing);
}
}  // namespace

std::string encode_pair_news(const PairNews& news, uint64_t session) {
  MessageWriter writer;
  writer.body()
      .put(static_cast<uint8_t>(news.mode))
      .put(static_cast<uint8_t>(news.fence))
      .put(static_cast<uint8_t>(news.state))
      .put(uint8_t{0})
      .put(news.since_ns)
      .put_text16(std::string_view(news.source).substr(0, kIdentityMax))
      .put_text16(std::string_view(news.cause).substr(0, kCauseMax));
  return writer.finish(MessageType::kPairNews, session, 0);
}

Result<PairNews> decode_pair_news(Bytes bytes) {
  Decoder body(bytes);
  PairNews news;
  uint8_t mode = body.get<uint8_t>();
  uint8_t fence = body.get<uint8_t>();
  uint8_t state = body.get<uint8_t>();
  bool zeros = body.get<uint8_t>() == 0;
  news.since_ns = body.get<int64_t>();
  news.source = body.get_text16();
  news.cause = body.get_text16();
  if (!body.finished() || !zeros || !known_pair(mode, state) || (fence != 1 && fence != 2)) return malformed("PAIR_NEWS");
  if (news.source.size() > kIdentityMax || news.cause.size() > kCauseMax) return malformed("PAIR_NEWS");
  make_printable(news.source);
  make_printable(news.cause);
  news.mode = static_cast<PairMode>(mode);
  news.fence = static_cast<PairFence>(fence);
  news.state = static_cast<PairState>(state);
  return news;
}

std::string encode_downstream(const std::vector<DownstreamSite>& sites, uint64_t session) {
  CHECK_INVARIANT(sites.size() <= kDownstreamMax);
  MessageWriter writer;
  Encoder body = writer.body();
  body.put(static_cast<uint32_t>(sites.size()));
  for (const DownstreamSite& site : sites) {
    body.put_text16(site.name);
    body.put(static_cast<uint8_t>(site.mode)).put(static_cast<uint8_t>(site.state));
    body.put(static_cast<uint8_t>(site.connected)).put(uint8_t{0});
    body.put(site.durable.value()).put(site.acked_ns);
  }
  return writer.finish(MessageType::kDownstream, session, 0);
}

Result<std::vector<DownstreamSite>> decode_downstream(Bytes bytes) {
  Decoder body(bytes);
  uint32_t count = body.get<uint32_t>();
  if (count > kDownstreamMax) return malformed("DOWNSTREAM");
  std::vector<DownstreamSite> sites;
  for (uint32_t i = 0; i < count; ++i) {
    DownstreamSite site;
    site.name = body.get_text16();
    uint8_t mode = body.get<uint8_t>();
    uint8_t state = body.get<uint8_t>();
    uint8_t connected = body.get<uint8_t>();
    bool zeros = body.get<uint8_t>() == 0;
    site.durable = Seq(body.get<uint64_t>());
    site.acked_ns = body.get<int64_t>();
    if (!known_pair(mode, state) || connected > 1 || !zeros) return malformed("DOWNSTREAM");
    if (site.name.empty() || site.name.size() > kDownstreamNameMax) return malformed("DOWNSTREAM");
    make_printable(site.name);
    site.mode = static_cast<PairMode>(mode);
    site.state = static_cast<PairState>(state);
    site.connected = connected == 1;
    sites.push_back(std::move(site));
  }
  if (!body.finished()) return malformed("DOWNSTREAM");
  return sites;
}

std::string encode_fetch(const FetchRequest& request, uint64_t session, uint64_t number) {
  MessageWriter writer;
  writer.body()
      .put(uint8_t{request.packed})
      .put(uint8_t{0})
      .put(uint16_t{0})
      .put(request.bytes_max)
      .put(request.from.value());
  return writer.finish(MessageType::kFetch, session, number);
}

Result<FetchRequest> decode_fetch(Bytes bytes) {
  Decoder body(bytes);
  FetchRequest request;
  const auto packed = body.get<uint8_t>();
  bool zeros = body.get<uint8_t>() == 0;
  zeros = body.get<uint16_t>() == 0 && zeros;
  request.packed = packed == 1;
  request.bytes_max = body.get<uint32_t>();
  request.from = Seq(body.get<uint64_t>());
  if (!body.finished() || !zeros || packed > 1 || request.bytes_max > kRunMax || request.from == Seq()) {
    return malformed("FETCH");
  }
  return request;
}

std::string encode_fetched(std::string_view run, uint64_t session, uint64_t number) {
  CHECK_INVARIANT(run.size() <= kRunMax);
  MessageWriter writer;
  writer.body().put_raw(run);
  return writer.finish(MessageType::kFetched, session, number);
}

Result<std::string> decode_fetched(Bytes body) {
  if (body.size() > kRunMax) return malformed("FETCHED");
  return std::string(as_text(body));
}

std::string encode_error(const Status& status, Retry retry, uint64_t session, uint64_t request) {
  CHECK_INVARIANT(!status.ok());
  MessageWriter writer;
  std::string_view text = status.text();
  writer.body()
      .put(to_wire(status.code()))
      .put(static_cast<uint8_t>(retry))
      .put(uint8_t{0})
      .put(static_cast<uint32_t>(status.sys_errno()))
      .put_text16(text.substr(0, kErrorTextMax));
  return writer.finish(MessageType::kError, session, request);
}

Result<WireError> decode_error(Bytes bytes) {
  Decoder body(bytes);
  uint16_t code = body.get<uint16_t>();
  uint8_t retry = body.get<uint8_t>();
  bool zeros = body.get<uint8_t>() == 0;
  uint32_t sys_errno = body.get<uint32_t>();
  std::string text(body.get_text16());
  if (!body.finished() || !zeros || retry > static_cast<uint8_t>(Retry::kHello) || text.size() > kErrorTextMax) {
    return malformed("ERROR");
  }
  make_printable(text);
  WireError error;
  error.retry = static_cast<Retry>(retry);
  error.status = Status(from_wire(code).value_or(Code::kIo), std::move(text), static_cast<int>(sys_errno & 0xffff));
  return error;
}

}  // namespace tidemark
