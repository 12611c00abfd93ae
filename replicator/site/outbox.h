// What a site's threads have to say to its peers: one queue, emptied by the only thread that may use the socket.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "replicator/site/replica_core.h"
#include "replicator/wire/protocol.h"
#include "replicator/wire/socket.h"

namespace tidemark {

// One shipper's session, shared by the router thread, the group's ingestion and its committer. The numbers only rise.
struct ShipSession {
  std::string routing_id;
  std::string user;  // who it is, for people
  uint64_t id = 0;
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> durable{0};
  std::atomic<uint64_t> told{0};  // what the shipper said is durable there
  std::atomic<uint64_t> consumed_bytes{0};
  std::atomic<uint64_t> consumed_frames{0};
  std::atomic<bool> several_lines{false};  // its DATA may arrive in another order
  std::atomic<bool> begun{false};          // it ships, or did until nobody else took over
  std::atomic<bool> over{false};           // dropped: its queued messages are not looked at
  std::atomic<bool> ack_queued{false};     // an Outgoing for it is in the outbox
  Claim claim;                             // of the group's ingestion, from HELLO on
  // Of the router thread: DATA and DIFFERENCE that have come, over all lines.
  uint64_t arrived_bytes = 0;
  uint64_t arrived_frames = 0;
};

struct Outgoing {
  std::string routing_id;
  uint64_t session = 0;
  std::string message;  // "": an ACK, made from `acked` when it is sent
  std::shared_ptr<ShipSession> acked;
  bool ends_session = false;           // the router forgets the session after this
  std::shared_ptr<const void> ticket;  // of a reader's request: held until libzmq has sent the answer
};

// Bounded by what its writers are bounded by: one ACK a session, one answer a pending request, one word at a session's end.
class Outbox {
 public:
  void post(Outgoing outgoing);
  // Tells the shipper where its session stands, soon; any number of calls before that are one message.
  void post_ack(const std::shared_ptr<ShipSession>& session);
  void post_error(const ShipSession& session, const Status& status, Retry retry, bool ends_session);
  std::deque<Outgoing> take_all();
  [[nodiscard]] WakeFd& wake() { return wake_; }

 private:
  WakeFd wake_;
  Mutex mutex_;
  std::deque<Outgoing> queue_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
