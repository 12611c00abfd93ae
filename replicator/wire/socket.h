// libzmq's objects as values that close themselves, with failures as Status. Internal to replicator/.
//
// A socket belongs to one thread at a time; handing it to another needs a full barrier between them (a mutex does). A context
// must be made after the last fork(): its threads do not survive one.
#pragma once

#include <zmq.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace tidemark {

// What libzmq says about errno `error`, as a Status.
Status zmq_status(int error, std::string_view what);

class ZmqContext {
 public:
  ZmqContext();
  ~ZmqContext();  // waits until every socket of it is closed
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  // The one that all who only connect share; it ends with the last of them.
  static std::shared_ptr<ZmqContext> of_this_process();
  [[nodiscard]] void* handle() { return handle_; }
  // A name no other caller of this context gets, for in-process endpoints.
  [[nodiscard]] std::string unique_name(std::string_view prefix);

 private:
  void* handle_;
};

// One frame.
class Message {
 public:
  Message() { zmq_msg_init(&message_); }
  explicit Message(size_t size);
  // Takes the text over without copying it. `held` is let go of when libzmq needs the message no more: it is sent, or its peer is
  // gone; on any thread.
  static Message own(std::string&& text, std::shared_ptr<const void> held = nullptr);
  static Message copy_of(Bytes bytes);
  ~Message() { zmq_msg_close(&message_); }
  Message(Message&& other) noexcept : Message() { zmq_msg_move(&message_, &other.message_); }
  Message& operator=(Message&& other) noexcept {
    zmq_msg_move(&message_, &other.message_);
    return *this;
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  [[nodiscard]] Bytes bytes() const {
    return {static_cast<const std::byte*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
  }
  [[nodiscard]] MutableBytes span() { return {static_cast<std::byte*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)}; }
  [[nodiscard]] bool more() const { return zmq_msg_more(&message_) != 0; }
  // A property of the connection it came over ("User-Id"); "" where there is none.
  [[nodiscard]] std::string property(const char* name) const;
  // The descriptor of the connection it came over, or -1. It may be closed, or another's, by now.
  [[nodiscard]] int source_fd() const;
  [[nodiscard]] zmq_msg_t* raw() { return &message_; }

 private:
  mutable zmq_msg_t message_;  // libzmq's readers take it without const
};

// ZMQ_ZAP_ENFORCE_DOMAIN, which zmq.h shows to builds with the draft API alone; every libzmq from 4.3 on knows it.
inline constexpr int kZapEnforceDomain = 93;

class Socket {
 public:
  Socket() = default;
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      close();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  static Result<Socket> open(ZmqContext& context, int type);
  void close();

  Status set(int option, int value);
  Status set(int option, int64_t value);
  Status set(int option, std::string_view value);
  Status bind(const std::string& endpoint);
  Status connect(const std::string& endpoint);
  Result<std::string> last_endpoint();
  // Tells of the events in `mask` on the in-process endpoint; a PAIR socket connects to it.
  // libzmq waits for room when it has something to tell, so the reader has to stop this before it closes.
  Status monitor(const std::string& endpoint, int mask);
  void stop_monitor();

  // Never wait. send: false where the queue is full; the message is taken only if true. receive: nothing where nothing is there.
  Result<bool> try_send(Message& message, bool more = false);
  Result<bool> try_receive(Message& message);

  [[nodiscard]] void* handle() { return handle_; }

 private:
  explicit Socket(void* handle) : handle_(handle) {}
  void* handle_ = nullptr;
};

// Wakes a thread that sits in zmq_poll.
class WakeFd {
 public:
  WakeFd();
  ~WakeFd();
  WakeFd(const WakeFd&) = delete;
  WakeFd& operator=(const WakeFd&) = delete;
  void wake();   // any thread
  void clear();  // the one that waits
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

inline zmq_pollitem_t poll_item(Socket& socket, short events) { return {socket.handle(), 0, events, 0}; }
inline zmq_pollitem_t poll_item(const WakeFd& wake) { return {nullptr, wake.fd(), ZMQ_POLLIN, 0}; }
// Waits for any of the items; an interrupted wait counts as over. Negative timeouts count as 0.
Status poll_items(std::span<zmq_pollitem_t> items, std::chrono::milliseconds timeout);

}  // namespace tidemark
