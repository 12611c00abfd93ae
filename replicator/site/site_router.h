// The one thread of a site that owns its socket: takes every message, decides whose it is and who deals with it, sends what
// the other threads have to say. Never waits for work: what it cannot answer at once it hands on.
//
// Trust: who a peer is comes from the handshake (ZAP's User-Id) and is compared on every message; a session's number is a
// random one that only its peer was told. A message that breaks a rule ends its session; a peer that goes on loses its
// connection.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>

#include "replicator/site/allow_file.h"
#include "replicator/site/outbox.h"
#include "replicator/site/read_service.h"
#include "replicator/site/site_groups.h"
#include "replicator/site/strikes.h"
#include "replicator/site/warning_budget.h"
#include "replicator/wire/connection_meter.h"
#include "replicator/wire/socket.h"

namespace tidemark {

inline constexpr size_t kSessionsMax = 1024;
inline constexpr size_t kSessionsPerKeyMax = 256;                // so that no peer takes them all; without keys all are one
inline constexpr uint64_t kDataPerKeyMax = uint64_t{512} << 20;  // DATA of all sessions of one key that is not consumed yet
inline constexpr uint64_t kDataUnshared = 256u << 10;            // of one session that is not held against that
inline constexpr int kSiteQueueMax = static_cast<int>(kWindowFrames) + 16;  // messages a peer, each way
inline constexpr std::chrono::minutes kReaderIdleMax{10};                   // then a reader has to say hello again
inline constexpr uint32_t kStrikesMax = 16;                                 // broken rules until the connection goes

class SiteRouter {
 public:
  // `allow`: null where the site runs without keys.
  SiteRouter(Socket socket, ConnectionMeter meter, AllowFile* allow, SiteGroups& groups, ReadService& reads, Outbox& outbox)
      : socket_(std::move(socket)),
        meter_(std::move(meter)),
        allow_(allow),
        groups_(groups),
        reads_(reads),
        outbox_(outbox) {}

  ~SiteRouter() { meter_.stop(socket_); }
  SiteRouter(const SiteRouter&) = delete;
  SiteRouter& operator=(const SiteRouter&) = delete;

  Status run();            // until stop()
  void stop();             // any thread
  void read_allow_list();  // at once; any thread

 private:
  struct Peer {
    std::string user;
    std::string group;  // "": a reader that only lists groups
    int fd = -1;
    uint64_t connection = 0;
    uint64_t session = 0;
    int64_t heard_ns = 0;
    std::shared_ptr<ShipSession> ship;  // one of the two
    ReplicaHost* host = nullptr;
    bool line = false;  // a further connection of the session `ship`
    [[nodiscard]] uint64_t unconsumed() const {
      return ship == nullptr || line ? 0 : ship->arrived_bytes - ship->consumed_bytes;
    }
    std::unique_ptr<ReadSession> read;
  };
  // Where a message came from.
  struct Origin {
    std::string routing_id;
    std::string user;
    int fd = -1;
    uint64_t connection = 0;  // ConnectionMeter's word for it
  };

  Status drain_socket();
  void drain_outbox();
  void dispatch(const Origin& origin, Message message);
  void handle_hello(const Origin& origin, Bytes body, const WireHeader& header);
  void handle_line(const Origin& origin, const WireHeader& header);
  // What comes over a further connection; false: it may not.
  bool handle_on_line(const Origin& origin, Peer& peer, const WireHeader& header);
  // ok: it has a session. Else why not.
  Status greet(const Origin& origin, const Hello& hello);
  Status greet_shipper(const Origin& origin, const Hello& hello, const Rights& rights);
  Status greet_reader(const Origin& origin, const Hello& hello, const Rights& rights);
  void handle_session(const Origin& origin, Peer& peer, const WireHeader& header, Bytes body, Message message);
  void handle_ship(const Origin& origin, Peer& peer, const WireHeader& header, Bytes body, Message message);
  void handle_read(const Origin& origin, Peer& peer, const WireHeader& header, Message message);
  // The peer broke a rule: it is told, its session is over, and if it goes on its connection is closed.
  void strike(const Origin& origin, const Status& status, uint64_t request);
  void drop(const std::string& routing_id, bool orderly = false);
  // A message that is long for its line is on its way from this shipper: that counts as heard, and the shipper hears that it does.
  void note_movement(const std::string& routing_id, Peer& peer);
  void expire();
  // The allow-list is another one: who may no longer do what it does loses its session, who is no longer on it its connection.
  void enforce_rights();
  Peer& add_peer(const Origin& origin, uint64_t session, const std::string& group);
  bool send(const std::string& routing_id, std::string&& message, std::shared_ptr<const void> held = nullptr);
  [[nodiscard]] size_t sessions_of(const std::string& user) const;
  [[nodiscard]] uint64_t data_of(const std::string& user) const;
  std::shared_ptr<ReadCount> reads_of(const std::string& user);
  // With group "": with any group.
  [[nodiscard]] Rights rights_of(const std::string& user, const std::string& group) const;

  Socket socket_;
  ConnectionMeter meter_;
  AllowFile* allow_;
  SiteGroups& groups_;
  ReadService& reads_;
  Outbox& outbox_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> read_list_{false};
  std::unordered_map<std::string, Peer> peers_;                         // by routing id; only those with a session
  StrikeBook strikes_;                                                  // by routing id
  std::unordered_map<std::string, std::weak_ptr<ReadCount>> reads_of_;  // by key
  LogBudget warnings_;
  int64_t expired_ns_ = 0;
};

}  // namespace tidemark
