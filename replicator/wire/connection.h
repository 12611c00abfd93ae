// A client's connection to a site: one DEALER socket, watched, so that a refused key, a dead peer and a closed port each say
// what they are. It never reconnects by itself: a session does not survive its connection.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "replicator/wire/keys.h"
#include "replicator/wire/protocol.h"
#include "replicator/wire/socket.h"

namespace tidemark {

struct ConnectTarget {
  std::string endpoint;  // as libzmq takes it
  ClientKeys keys;
};

// What opening one may take: the handshake, and a little.
inline constexpr std::chrono::milliseconds kConnectMax = kHandshakeMax + std::chrono::milliseconds(500);

class Connection {
 public:
  // Connected, and the security handshake done. kUnreachable, kTimeout, kNotAuthorised, kInvalid; kInterrupted if `wake` fires.
  static Result<std::unique_ptr<Connection>> open(ZmqContext& context, const ConnectTarget& target,
                                                  std::chrono::milliseconds timeout, WakeFd* wake);

  ~Connection() { socket_.stop_monitor(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Waits until a message can be taken, `want_write` and one can be sent, `wake` fires, or the time is over. kUnreachable,
  // kNotAuthorised: the connection is gone.
  Status wait(std::chrono::milliseconds timeout, bool want_write, WakeFd* wake);

  // Nothing where none is there yet. kCorrupt: more than one frame.
  Result<std::optional<Message>> try_receive();
  // False where the queue is full.
  Result<bool> try_send(Message& message) { return socket_.try_send(message); }
  // For the last word before closing: lets it go out within a moment.
  void send_last(std::string&& message);

  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }

 private:
  Connection() = default;
  // One attempt. `shut_out`: the other side closed the connection in the handshake, without a reason.
  static Result<std::unique_ptr<Connection>> try_open(ZmqContext& context, const ConnectTarget& target,
                                                      std::chrono::milliseconds timeout, WakeFd* wake, bool* shut_out);
  Status set_up(ZmqContext& context, const ConnectTarget& target);
  Status take_events();
  Status lost(std::string_view why, Code code = Code::kUnreachable) const;
  Status lost_before_ready() const;
  [[nodiscard]] bool shut_out() const { return connected_ && !ready_; }

  std::string endpoint_;
  bool secured_ = false;
  Socket socket_;
  Socket monitor_;
  bool connected_ = false;  // the transport
  bool ready_ = false;      // the handshake
};

// Sends, waiting for room in the queue. kTimeout, and what wait() can say; kInterrupted if `wake` fires.
Status send_within(Connection& connection, Message& message, std::chrono::steady_clock::time_point deadline, WakeFd* wake);

// A message and what it says.
struct Received {
  Message message;
  WireHeader header;
  Bytes body;  // in `message`
};
// Which requests an answer may be to: `count` of them from `first` on.
struct Awaited {
  MessageType answer{};
  uint64_t first = 0;
  uint64_t count = 1;
};
// Waits for the answer to any of them: a message of that type that repeats the request. Others are skipped. An ERROR that
// repeats one comes back as `failure`. kTimeout, and what wait() can say; kInterrupted if `wake` fires.
struct Answer {
  uint64_t request = 0;
  Received received;
  WireError failure;  // its status is ok where there is an answer
};
Result<Answer> await_answer(Connection& connection, const Awaited& awaited, std::chrono::steady_clock::time_point deadline,
                            WakeFd* wake);

// HELLO and its answer. `session`: what to put into every message from now on.
struct Greeted {
  Welcome welcome;
  uint64_t session = 0;
};
Result<Greeted> say_hello(Connection& connection, const Hello& hello, std::chrono::steady_clock::time_point deadline,
                          WakeFd* wake, Retry* retry);

// Who we are, for the other side's messages: host name and process id.
std::string own_identity();

}  // namespace tidemark
