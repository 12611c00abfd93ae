#include "replicator/wire/connection.h"

#include <unistd.h>

#include <array>
#include <cstring>
#include <thread>

namespace tidemark {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr int kWatched = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                         ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                         ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
constexpr int kClientQueueMax = static_cast<int>(kWindowFrames) + 16;  // messages, each way
constexpr int kLastWordMs = 200;
constexpr std::chrono::milliseconds kSecondTryPause{50};

std::chrono::milliseconds until(SteadyTime deadline) {
  return std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
}

int milliseconds(std::chrono::milliseconds time) { return static_cast<int>(time.count()); }

}  // namespace

Status Connection::lost(std::string_view why, Code code) const {
  return Status(code, "site at " + endpoint_ + ": " + std::string(why));
}

Status Connection::lost_before_ready() const {
  if (!connected_) return lost("cannot connect; is 'tidemark serve' running there?");
  return lost(secured_ ? "closed the connection in the handshake; is this the site's public key?"
                       : "closed the connection in the handshake; it may want keys (its public key and a pair of our own)",
              Code::kNotAuthorised);
}

Status Connection::set_up(ZmqContext& context, const ConnectTarget& target) {
  endpoint_ = target.endpoint;
  secured_ = target.keys.present();
  TM_ASSIGN(socket_, Socket::open(context, ZMQ_DEALER));
  TM_TRY(socket_.set(ZMQ_LINGER, 0));
  TM_TRY(socket_.set(ZMQ_IMMEDIATE, 1));  // nothing is queued for a connection that may never be
  TM_TRY(socket_.set(ZMQ_RECONNECT_IVL, -1));
  TM_TRY(socket_.set(ZMQ_SNDHWM, kClientQueueMax));
  TM_TRY(socket_.set(ZMQ_RCVHWM, kClientQueueMax));
  TM_TRY(socket_.set(ZMQ_MAXMSGSIZE, int64_t{kWireMax}));
  TM_TRY(socket_.set(ZMQ_CONNECT_TIMEOUT, milliseconds(kHandshakeMax)));
  TM_TRY(socket_.set(ZMQ_HANDSHAKE_IVL, milliseconds(kHandshakeMax)));
  TM_TRY(socket_.set(ZMQ_HEARTBEAT_IVL, milliseconds(kHeartbeatInterval)));
  TM_TRY(socket_.set(ZMQ_HEARTBEAT_TIMEOUT, milliseconds(kPeerSilenceMax)));
  if (endpoint_.find('[') != std::string::npos) TM_TRY(socket_.set(ZMQ_IPV6, 1));
  if (secured_) {
    TM_TRY(socket_.set(ZMQ_CURVE_SERVERKEY, target.keys.server_key));
    TM_TRY(socket_.set(ZMQ_CURVE_PUBLICKEY, target.keys.own.public_key));
    TM_TRY(socket_.set(ZMQ_CURVE_SECRETKEY, target.keys.own.secret_key));
  }
  std::string events = context.unique_name("tidemark.connection.");
  TM_TRY(socket_.monitor(events, kWatched));
  TM_ASSIGN(monitor_, Socket::open(context, ZMQ_PAIR));
  TM_TRY(monitor_.set(ZMQ_LINGER, 0));
  TM_TRY(monitor_.connect(events));
  return socket_.connect(endpoint_);
}

Result<std::unique_ptr<Connection>> Connection::open(ZmqContext& context, const ConnectTarget& target,
                                                     std::chrono::milliseconds timeout, WakeFd* wake) {
  SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
  bool shut_out = false;
  auto connection = try_open(context, target, timeout, wake, &shut_out);
  if (connection.ok() || !shut_out) return connection;
  // A key that does not fit, or a site that has just died? The second cannot be connected to again.
  std::this_thread::sleep_for(kSecondTryPause);
  return try_open(context, target, until(deadline), wake, &shut_out);
}

Result<std::unique_ptr<Connection>> Connection::try_open(ZmqContext& context, const ConnectTarget& target,
                                                         std::chrono::milliseconds timeout, WakeFd* wake, bool* shut_out) {
  std::unique_ptr<Connection> connection(new Connection);
  TM_TRY(connection->set_up(context, target));
  SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
  while (!connection->ready_) {
    std::chrono::milliseconds left = until(deadline);
    if (left.count() <= 0) return connection->lost("no answer to the connection attempt in time", Code::kTimeout);
    std::array<zmq_pollitem_t, 2> items{poll_item(connection->monitor_, ZMQ_POLLIN), zmq_pollitem_t{}};
    if (wake != nullptr) items[1] = poll_item(*wake);
    TM_TRY(poll_items(std::span(items).first(wake == nullptr ? 1 : 2), left));
    if (wake != nullptr && items[1].revents != 0) return connection->lost("interrupted", Code::kInterrupted);
    Status events = connection->take_events();
    *shut_out = connection->shut_out();
    TM_TRY(events);
  }
  return connection;
}

Status Connection::take_events() {
  for (;;) {
    Message event;
    TM_ASSIGN(bool got, monitor_.try_receive(event));
    if (!got) return Status();
    if (event.more()) {
      Message address;
      TM_TRY(monitor_.try_receive(address).status());
    }
    Bytes bytes = event.bytes();
    if (bytes.size() < 6) continue;
    switch (load_le<uint16_t>(bytes.data())) {
      case ZMQ_EVENT_CONNECTED: connected_ = true; break;
      case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: ready_ = true; break;
      case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return lost("refused our key: it is not on the site's allow-list", Code::kNotAuthorised);
      case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return lost(secured_ ? "does not accept the handshake: it may run without keys, or this is not its public key"
                             : "does not accept the handshake: it wants keys (its public key and a pair of our own)",
                    Code::kNotAuthorised);
      case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        if (load_le<uint32_t>(bytes.data() + 2) == ETIMEDOUT) return lost("does not answer", Code::kTimeout);
        return lost_before_ready();
      case ZMQ_EVENT_CLOSED:
      case ZMQ_EVENT_DISCONNECTED: return ready_ ? lost("the connection is gone") : lost_before_ready();
      default: break;
    }
  }
}

Status Connection::wait(std::chrono::milliseconds timeout, bool want_write, WakeFd* wake) {
  short events = static_cast<short>(ZMQ_POLLIN | (want_write ? ZMQ_POLLOUT : 0));
  std::array<zmq_pollitem_t, 3> items{poll_item(socket_, events), poll_item(monitor_, ZMQ_POLLIN), zmq_pollitem_t{}};
  if (wake != nullptr) items[2] = poll_item(*wake);
  TM_TRY(poll_items(std::span(items).first(wake == nullptr ? 2 : 3), timeout));
  if (items[1].revents == 0) return Status();
  // What came before the end is still to be read: an ERROR says more than a closed connection.
  if (items[0].revents & ZMQ_POLLIN) return Status();
  return take_events();
}

Result<std::optional<Message>> Connection::try_receive() {
  Message message;
  TM_ASSIGN(bool got, socket_.try_receive(message));
  if (!got) return std::optional<Message>();
  if (!message.more()) return std::optional<Message>(std::move(message));
  // Part by part, so that nothing of it is kept.
  for (bool more = true; more;) {
    Message part;
    TM_ASSIGN(bool part_there, socket_.try_receive(part));
    more = part_there && part.more();
  }
  return lost("sent a message of several parts", Code::kCorrupt);
}

void Connection::send_last(std::string&& message) {
  Message last = Message::own(std::move(message));
  // A failure to say good-bye changes nothing: the site notices the end of the connection as well.
  Result<bool> sent = socket_.try_send(last);
  if (sent.ok() && *sent) static_cast<void>(socket_.set(ZMQ_LINGER, kLastWordMs).ok());
}

namespace {
Status check_wake(WakeFd* wake) {
  if (wake == nullptr) return Status();
  zmq_pollitem_t item = poll_item(*wake);
  TM_TRY(poll_items(std::span(&item, 1), std::chrono::milliseconds(0)));
  return item.revents == 0 ? Status() : Status(Code::kInterrupted, "stopped");
}
}  // namespace

Status send_within(Connection& connection, Message& message, SteadyTime deadline, WakeFd* wake) {
  for (;;) {
    TM_ASSIGN(bool sent, connection.try_send(message));
    if (sent) return Status();
    std::chrono::milliseconds left = until(deadline);
    if (left.count() <= 0) return Status(Code::kTimeout, "site at " + connection.endpoint() + " accepts no data");
    TM_TRY(connection.wait(left, true, wake));
    TM_TRY(check_wake(wake));
  }
}

namespace {
// The message as an answer; nothing where it is to a request nobody waits for any more.
Result<std::optional<Answer>> read_answer(Message message, const Awaited& awaited) {
  Answer answer;
  answer.received.message = std::move(message);
  TM_ASSIGN(answer.received.header, open_message(answer.received.message.bytes(), answer.received.body));
  answer.request = answer.received.header.request;
  if (answer.request < awaited.first || answer.request - awaited.first >= awaited.count) return std::optional<Answer>();
  if (answer.received.header.type == MessageType::kError) {
    TM_ASSIGN(answer.failure, decode_error(answer.received.body));
  } else if (answer.received.header.type != awaited.answer) {
    return Status(Code::kCorrupt, "answered with another type of message");
  }
  return std::optional<Answer>(std::move(answer));
}
}  // namespace

Result<Answer> await_answer(Connection& connection, const Awaited& awaited, SteadyTime deadline, WakeFd* wake) {
  for (;;) {
    TM_ASSIGN(std::optional<Message> message, connection.try_receive());
    if (message.has_value()) {
      Result<std::optional<Answer>> answer = read_answer(std::move(*message), awaited);
      if (!answer.ok()) return answer.status().within("site at " + connection.endpoint());
      if (answer->has_value()) return std::move(**answer);
      continue;
    }
    std::chrono::milliseconds left = until(deadline);
    if (left.count() <= 0) return Status(Code::kTimeout, "site at " + connection.endpoint() + " did not answer in time");
    TM_TRY(connection.wait(left, false, wake));
    TM_TRY(check_wake(wake));
  }
}

Result<Greeted> say_hello(Connection& connection, const Hello& hello, SteadyTime deadline, WakeFd* wake, Retry* retry) {
  Message message = Message::own(encode_hello(hello));
  TM_TRY(send_within(connection, message, deadline, wake));
  if (retry != nullptr) *retry = Retry::kLater;
  TM_ASSIGN(Answer answer, await_answer(connection, {MessageType::kWelcome, 0, 1}, deadline, wake));
  if (!answer.failure.status.ok()) {
    if (retry != nullptr) *retry = answer.failure.retry;
    return answer.failure.status;
  }
  Greeted greeted;
  TM_ASSIGN(greeted.welcome, decode_welcome(answer.received.body));
  greeted.session = answer.received.header.session;
  if (greeted.welcome.role != hello.role || greeted.session == 0) {
    return Status(Code::kCorrupt, "site at " + connection.endpoint() + " answered HELLO with another session");
  }
  return greeted;
}

std::string own_identity() {
  std::array<char, 128> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) std::strcpy(host.data(), "unknown");
  return std::string(host.data()) + "/" + std::to_string(getpid());
}

}  // namespace tidemark
