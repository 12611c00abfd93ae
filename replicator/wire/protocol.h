// The wire: what one message is, its limits, and the messages between a shipper and a site. Knows nothing of sockets.
// docs/PROTOCOL.md is the other half of this file.
//
//   byte  size  field
//      0     4  magic     "TMK1"
//      4     1  version   of this header and of all that follows
//      5     1  type      MessageType
//      6     2  zero
//      8     8  session   as given in WELCOME; 0 before
//     16     8  request   chosen by the client, rising; an answer repeats it
//     24     8  check     XXH3-64 of the body, seeded with XXH3-64 of bytes 0..23
//     32        body
//
// A message is exactly one ZeroMQ frame.
#pragma once

#include <tidemark/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "log/format/body.h"
#include "replicator/site/source_record.h"
#include "volume/difference/difference.h"
#include "volume/group/openings.h"

namespace tidemark {

inline constexpr uint32_t kWireMagic = 0x314b4d54;  // "TMK1"
inline constexpr uint8_t kWireVersion = 4;
inline constexpr size_t kWireHeaderSize = 32;

// Limits. Each is checked before memory is taken or time is spent.
inline constexpr size_t kRunMax = 1u << 20;            // bytes of records in one DATA or READ_LOG
inline constexpr size_t kReadMax = 1u << 20;           // bytes of one READ
inline constexpr size_t kWireMax = (1u << 20) + 4096;  // bytes of any message, header included (ZMQ_MAXMSGSIZE)
inline constexpr size_t kGroupNameMax = 63;
inline constexpr size_t kIdentityMax = 255;  // who a client says it is; for messages to people only
inline constexpr size_t kErrorTextMax = 2048;
inline constexpr uint32_t kWindowBytes = 32u << 20;  // DATA not yet consumed by the site, a session: 1 Gbit/s at 250 ms
inline constexpr uint32_t kWindowFrames = 64;        // likewise, in messages

// Time.
inline constexpr std::chrono::milliseconds kHeartbeatInterval{1000};
inline constexpr std::chrono::milliseconds kPeerSilenceMax{4000};  // then the other side counts as dead
inline constexpr std::chrono::milliseconds kHandshakeMax{3000};    // connect and CURVE handshake
inline constexpr std::chrono::milliseconds kHelloMax{10000};       // for the answer to HELLO and BEGIN

enum class MessageType : uint8_t {
  kHello = 1,        // client → site
  kWelcome = 2,      // site → client
  kError = 3,        // site → client
  kBegin = 4,        // shipper → site: the position is agreed, DATA follows
  kData = 5,         // shipper → site
  kAck = 6,          // site → shipper
  kHeartbeat = 7,    // shipper → site; answered by ACK
  kBye = 8,          // client → site: the session is over
  kPairNews = 9,     // shipper → site: how the pair stands, seen from its source
  kDownstream = 10,  // site → shipper: how far the sites have come to which it forwards
  kOffer = 11,       // shipper → site, after BEGIN: what you lack I no longer hold; take a difference
  kAccept = 12,      // site → shipper: what of it is here already
  kDifference = 13,  // shipper → site: a piece of it; counts against the window as DATA does
  kLine = 14,        // shipper → site, on a further connection: it belongs to the session named; answered by ACK
  kFetch = 15,       // site → shipper: these records again, they are damaged here
  kFetched = 143,    // shipper → site: the answer
  // Reading: each is answered by the same type + kReplyBit, or by ERROR.
  kInfo = 16,
  kListGroups = 17,
  kResolve = 18,
  kListMarks = 19,
  kGetAttr = 20,
  kLookup = 21,
  kList = 22,
  kReadLink = 23,
  kRead = 24,
  kDataRanges = 25,
  kGetXattr = 26,
  kListXattr = 27,
  kReadLog = 28,
  kBlockSums = 29,
  kPrune = 30,
  kReadPacked = 31,
  kStatus = 32,
};
inline constexpr uint8_t kReplyBit = 0x80;
constexpr MessageType reply_to(MessageType type) { return static_cast<MessageType>(static_cast<uint8_t>(type) | kReplyBit); }
// True for the requests of reading.
constexpr bool is_read_request(MessageType type) { return type >= MessageType::kInfo && type <= MessageType::kStatus; }

struct WireHeader {
  uint8_t version = kWireVersion;
  MessageType type{};
  uint64_t session = 0;
  uint64_t request = 0;
};

// Fills the header of `message`, whose body is already in place behind it.
void seal_message(MutableBytes message, const WireHeader& header);
// kCorrupt: too short, wrong magic, wrong check; kUnsupported: another version. `body` is a view into `message`.
Result<WireHeader> open_message(Bytes message, Bytes& body);

// A message being written: put() the body, then finish().
class MessageWriter {
 public:
  MessageWriter() : text_(kWireHeaderSize, '\0') {}
  [[nodiscard]] Encoder body() { return Encoder(text_); }
  [[nodiscard]] std::string& text() { return text_; }  // header included
  [[nodiscard]] std::string finish(MessageType type, uint64_t session, uint64_t request);

 private:
  std::string text_;
};

enum class WireRole : uint8_t { kShip = 1, kRead = 2 };

struct Hello {
  WireRole role = WireRole::kRead;
  GroupId group_id{};    // kShip; zeros in kRead
  std::string group;     // kRead: may be "", for a session that only lists groups
  std::string identity;  // who asks, for people
  Epoch epoch;           // kShip: of the shipper's newest record
  Position position;     // kShip: of the shipper's newest durable record
  // kShip: where a primary's log ended when its volume was opened, rising; at most kOpeningsMax. What the site holds behind one of these
  // and the shipper does not have, the shipper has lost, and never promised to anybody.
  std::vector<Position> openings;
};
std::string encode_hello(const Hello& hello);
Result<Hello> decode_hello(Bytes body);

// How the site's history stands to the shipper's. The site says what it can tell; the shipper, who has the longer log in every
// case but two, has the last word (position_case.h).
enum class PositionCase : uint8_t {
  kUnknownGroup = 1,  // the site has just made the replica; it holds nothing
  kEmpty = 2,         // the site holds nothing
  kBehind = 3,        // the site holds a beginning of the shipper's history
  kEqual = 4,         // same epoch, seq and chain
  kDiverged = 5,      // same seq, another history
  kAhead = 6,         // the site holds records the shipper does not have
};
std::string_view position_case_name(PositionCase which);

struct Welcome {
  WireRole role = WireRole::kRead;
  PositionCase which = PositionCase::kEmpty;
  uint32_t window_bytes = 0;
  uint32_t window_frames = 0;
  GroupId group_id{};
  Position position;  // of the newest record the site holds
  Seq durable;        // there
  // The newest of the shipper's openings that the site holds, where it would give up what it holds behind that: BEGIN says which of the
  // two it is. Zeros: there is none.
  Position cut_to;
  Epoch highest;  // highest epoch the site has heard of for this group
};
std::string encode_welcome(const Welcome& welcome, uint64_t session, uint64_t request);
Result<Welcome> decode_welcome(Bytes body);

std::string encode_begin(const Position& agreed, uint64_t session, uint64_t request);
Result<Position> decode_begin(Bytes body);

// DATA: three seqs, then the run of records as it lies in the log.
inline constexpr size_t kDataFixed = 24;
struct DataHeader {
  Seq first;
  Seq last;
  Bytes run;
  Seq settled;  // records up to here are durable at the shipper
};
// Writes a DATA message; `message` has kWireHeaderSize + kDataFixed + run.size() bytes.
void encode_data_message(MutableBytes message, const DataHeader& data, uint64_t session, uint64_t request);
Result<DataHeader> decode_data_message(Bytes body);

// Progress of one session at the site; all rise and none ever falls.
struct Ack {
  Seq received;  // appended and applied there
  Seq durable;
  uint64_t consumed_bytes = 0;  // of DATA messages since BEGIN; frees that much of the window
  uint64_t consumed_frames = 0;
};
std::string encode_ack(const Ack& ack, uint64_t session);
Result<Ack> decode_ack(Bytes body);

std::string encode_heartbeat(Seq durable, uint64_t session);
Result<Seq> decode_heartbeat(Bytes body);

std::string encode_bye(uint64_t session);
std::string encode_line(uint64_t session);

// The target keeps the newest. The cause is cut to kCauseMax bytes, the source to kIdentityMax.
inline constexpr size_t kCauseMax = 512;
std::string encode_pair_news(const PairNews& news, uint64_t session);
Result<PairNews> decode_pair_news(Bytes body);

// A site to which the one that says so forwards, directly or not.
inline constexpr size_t kDownstreamMax = 64;       // in one message
inline constexpr size_t kDownstreamNameMax = 255;  // "NEAR/FAR": as the sites on the way call them
struct DownstreamSite {
  std::string name;
  PairMode mode = PairMode::kAsync;
  PairState state = PairState::kSimplex;
  bool connected = false;
  Seq durable;
  int64_t acked_ns = 0;  // wall time there; 0: never
  bool operator==(const DownstreamSite&) const = default;
};
std::string encode_downstream(const std::vector<DownstreamSite>& sites, uint64_t session);
Result<std::vector<DownstreamSite>> decode_downstream(Bytes body);

// Records that a site wants again, because its own are damaged: of the log from `from` on, or of what is kept of pruned segments.
inline constexpr std::chrono::seconds kFetchAnswerMax{10};
struct FetchRequest {
  bool packed = false;
  uint32_t bytes_max = 0;  // a longer record comes whole
  Seq from;
};
std::string encode_fetch(const FetchRequest& request, uint64_t session, uint64_t number);
Result<FetchRequest> decode_fetch(Bytes body);
// The answer: as many whole records as the source has of it and likes to send; none where it has none, or its own are damaged.
std::string encode_fetched(std::string_view run, uint64_t session, uint64_t number);
Result<std::string> decode_fetched(Bytes body);

// What a client should do about an error.
enum class Retry : uint8_t {
  kNever = 0,  // the same request will be answered the same until a person changes something
  kLater = 1,  // the site cannot now (disk full, log failed, busy)
  kHello = 2,  // the session is gone: say hello again
};
struct WireError {
  Retry retry = Retry::kNever;
  Status status;
};
std::string encode_error(const Status& status, Retry retry, uint64_t session, uint64_t request);
Result<WireError> decode_error(Bytes body);

}  // namespace tidemark
