// Bounds what a peer can make libzmq hold. ZMQ_MAXMSGSIZE bounds one frame, not a message of many, and such a message is kept
// until its last frame comes: one that never ends grows until memory is gone, a byte on the wire costing twenty here. So the
// bytes of each connection are measured: more of them than one message may have, and still no message, closes the connection.
// TCP only; an ipc socket is open to its owner alone.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "replicator/wire/protocol.h"
#include "replicator/wire/socket.h"

namespace tidemark {

inline constexpr size_t kConnectionsMax = 2048;  // a site; more are closed as they come
inline constexpr std::chrono::milliseconds kMeterInterval{100};
inline constexpr uint64_t kMeterSlack = 64u << 10;             // framing, encryption, handshake
inline constexpr uint64_t kMeterBytesASecond = 256;            // ZMTP's own heartbeats
inline constexpr std::chrono::minutes kConnectionIdleMax{10};  // without any message; clients connect again by themselves
inline constexpr std::chrono::seconds kFirstMessageMax{30};    // likewise before the first

// Of the thread that owns the watched socket.
class ConnectionMeter {
 public:
  // Before the socket binds.
  Status watch(ZmqContext& context, Socket& socket);
  // Before either of the two goes.
  void stop(Socket& socket);
  // There may be something to check() now.
  [[nodiscard]] zmq_pollitem_t item() { return poll_item(monitor_, ZMQ_POLLIN); }
  // A whole message came over this connection (-1: one that cannot be followed). Which one it is: descriptors are used again.
  uint64_t message(int fd);
  // That connection is there, as far as is known.
  [[nodiscard]] bool is_open(int fd, uint64_t which) const;
  // When bytes last came over that connection, more of them than ZMTP's own heartbeats are; 0: never. A long message on a slow line
  // is a sign of life long before it is whole.
  [[nodiscard]] int64_t moved_ns(int fd, uint64_t which) const;
  // Closes that connection, unless it is gone already.
  Status shut(int fd, uint64_t which);
  // Follows what came and went; looks, at most once an interval, and closes what breaks the rule.
  Status check();

 private:
  struct Meter {
    uint64_t which = 0;
    bool heard = true;        // a message since the last look
    bool spoke = false;       // a message at all
    uint64_t base_bytes = 0;  // taken from the wire at the first look after the last message
    int64_t base_ns = 0;
    uint64_t looked_bytes = 0;  // taken from the wire at the last look whether something moves
    int64_t looked_ns = 0;
    int64_t moved_ns = 0;
  };
  Status take_events();
  static void look(Meter& meter, uint64_t taken, int64_t now_ns);
  static bool over_limit(Meter& meter, uint64_t taken, int64_t now_ns);

  Socket monitor_;
  std::unordered_map<int, Meter> meters_;
  int64_t checked_ns_ = 0;
  uint64_t next_which_ = 1;
};

}  // namespace tidemark
