// A client of a site that says what it likes, for tests of what the site makes of it.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "replicator/wire/keys.h"
#include "replicator/wire/protocol.h"
#include "replicator/wire/socket.h"
#include "volume/group/group.h"

namespace tidemark::test {

// A peer that says what it likes.
class RawPeer {
 public:
  explicit RawPeer(const std::string& endpoint, int64_t linger_ms = 0) : RawPeer(nullptr, endpoint, {}, linger_ms) {}
  // One of many: in a context that they share, which must outlive it.
  RawPeer(ZmqContext* shared, const std::string& endpoint, const ClientKeys& keys, int64_t linger_ms = 0)
      : own_(shared == nullptr ? std::make_unique<ZmqContext>() : nullptr) {
    auto made = Socket::open(shared == nullptr ? *own_ : *shared, ZMQ_DEALER);
    REQUIRE(made.ok());
    socket_ = std::move(*made);
    REQUIRE(socket_.set(ZMQ_LINGER, static_cast<int>(linger_ms)).ok());
    REQUIRE(socket_.set(ZMQ_SNDHWM, 0).ok());
    if (keys.present()) {
      REQUIRE(socket_.set(ZMQ_CURVE_SERVERKEY, keys.server_key).ok());
      REQUIRE(socket_.set(ZMQ_CURVE_PUBLICKEY, keys.own.public_key).ok());
      REQUIRE(socket_.set(ZMQ_CURVE_SECRETKEY, keys.own.secret_key).ok());
    }
    REQUIRE(socket_.connect(endpoint).ok());
  }
  void send(std::string bytes, bool more = false) {
    Message message = Message::own(std::move(bytes));
    REQUIRE(*socket_.try_send(message, more));
  }
  // The next message, or "" if none comes.
  std::string receive(int timeout_ms = 2000) {
    zmq_pollitem_t item = poll_item(socket_, ZMQ_POLLIN);
    REQUIRE(poll_items(std::span(&item, 1), std::chrono::milliseconds(timeout_ms)).ok());
    Message message;
    if (!*socket_.try_receive(message)) return "";
    return std::string(as_text(message.bytes()));
  }
  WireError receive_error() {
    std::string text = receive();
    Bytes body;
    auto header = open_message(as_bytes(text), body);
    REQUIRE(header.ok());
    REQUIRE(header->type == MessageType::kError);
    auto error = decode_error(body);
    REQUIRE(error.ok());
    return std::move(*error);
  }
  uint64_t hello(const Hello& hello) {
    send(encode_hello(hello));
    std::string text = receive(5000);
    Bytes body;
    auto header = open_message(as_bytes(text), body);
    REQUIRE(header.ok());
    INFO((header->type == MessageType::kError ? decode_error(body)->status.text() : ""));
    REQUIRE(header->type == MessageType::kWelcome);
    return header->session;
  }
  Socket& socket() { return socket_; }

 private:
  std::unique_ptr<ZmqContext> own_;
  Socket socket_;
};

inline std::string sealed(MessageType type, uint64_t session, const std::string& body) {
  MessageWriter writer;
  writer.body().put_raw(body);
  return writer.finish(type, session, 1);
}

inline Hello reader_hello() {
  Hello hello;
  hello.group = "shop";
  hello.identity = "hostile";
  return hello;
}

inline Hello shipper_hello(Group& group) {
  Hello hello;
  hello.role = WireRole::kShip;
  hello.group_id = group.identity().id;
  hello.group = group.identity().name;
  hello.epoch = Epoch(1);
  hello.position = group.log().tail_position();
  return hello;
}

}  // namespace tidemark::test
