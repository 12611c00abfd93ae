#include "replicator/source/lines.h"

#include "base/clock.h"
#include "base/logging.h"

namespace tidemark {
namespace {

constexpr std::chrono::seconds kAgain{10};  // a line that cannot be had is tried again after this

int64_t now_ns() { return system_clock().steady_ns(); }
int64_t as_ns(std::chrono::nanoseconds time) { return time.count(); }

bool is_data(const Message& message) {
  constexpr size_t kTypeAt = 5;
  return message.bytes().size() > kWireHeaderSize && message.bytes()[kTypeAt] == static_cast<std::byte>(MessageType::kData);
}

}  // namespace

Lines::~Lines() {
  cancel_.wake();
  for (Line& line : lines_) {
    if (line.opening.valid()) line.opening.wait();
  }
}

void Lines::begin(Line& line) {
  line.opening = std::async(std::launch::async, [this, endpoint = line.endpoint] {
    auto opened = Connection::open(context_, {endpoint, keys_}, kConnectMax, &cancel_);
    work_.wake();
    return opened;
  });
}

void Lines::take_over(Line& line, uint64_t session) {
  auto opened = line.opening.get();
  line.next_attempt_ns = now_ns() + as_ns(kAgain);
  if (!opened.ok()) return log_warning("extra line " + line.endpoint + ": " + opened.status().text());
  line.connection = std::move(*opened);
  line.joined = false;
  line.heard_ns = line.spoke_ns = now_ns();
  Message join = Message::own(encode_line(session));
  if (auto sent = line.connection->try_send(join); !sent.ok() || !*sent) line.connection.reset();
}

Status Lines::look(Line& line, uint64_t session) {
  TM_TRY(line.connection->wait(std::chrono::milliseconds(0), false, nullptr));
  for (;;) {
    TM_ASSIGN(std::optional<Message> message, line.connection->try_receive());
    if (!message) break;
    Bytes body;
    TM_ASSIGN(const WireHeader header, open_message(message->bytes(), body));
    if (header.type != MessageType::kAck || header.session != session) {
      return Status(Code::kUnreachable, "the site does not accept an extra line");
    }
    line.heard_ns = now_ns();
    line.joined = true;
  }
  if (now_ns() - line.heard_ns > as_ns(kPeerSilenceMax)) {
    return Status(Code::kTimeout, "the line " + line.endpoint + " has been silent");
  }
  return beat(line, session);
}

Status Lines::beat(Line& line, uint64_t session) {
  if (now_ns() - line.spoke_ns < as_ns(kHeartbeatInterval) || !line.joined) return Status();
  Message heartbeat = Message::own(encode_heartbeat(Seq(), session));
  TM_TRY(line.connection->try_send(heartbeat).status());
  line.spoke_ns = now_ns();
  return Status();
}

void Lines::beat(uint64_t session) {
  for (Line& line : lines_) {
    // A line that is lost is found by keep().
    if (line.connection != nullptr) static_cast<void>(beat(line, session).ok());
  }
}

Status Lines::keep(uint64_t session) {
  for (Line& line : lines_) {
    if (session == 0) continue;
    const bool opened = line.opening.valid() && line.opening.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    if (opened) take_over(line, session);
    if (line.connection == nullptr) {
      if (!line.opening.valid() && now_ns() >= line.next_attempt_ns) begin(line);
      continue;
    }
    Status alive = look(line, session);
    if (alive.ok()) continue;
    const bool carried = line.joined;
    line.connection.reset();
    line.joined = false;
    if (carried) return alive.within("line " + line.endpoint);
    log_warning("extra line " + line.endpoint + ": " + alive.text());
  }
  return Status();
}

Result<bool> Lines::try_send(Connection& first, Message& message) {
  if (!is_data(message)) return first.try_send(message);
  for (size_t tried = 0; tried <= lines_.size(); ++tried) {
    const size_t which = turn_++ % (lines_.size() + 1);
    if (which > 0 && !lines_[which - 1].joined) continue;
    Connection& connection = which == 0 ? first : *lines_[which - 1].connection;
    TM_ASSIGN(const bool sent, connection.try_send(message));
    if (sent) return true;
  }
  return false;
}

}  // namespace tidemark
