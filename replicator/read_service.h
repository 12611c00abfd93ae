// The threads of a site that answer readers, so that a slow read holds up neither shipping nor heartbeats.
#pragma once

#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "replicator/outbox.h"
#include "replicator/site_groups.h"

namespace tidemark {

inline constexpr size_t kReadThreads = 3;
inline constexpr size_t kReadsQueuedMax = 512;       // requests of all readers
inline constexpr uint32_t kReadsPerSessionMax = 16;  // requests of one reader whose answers are not on the wire yet
inline constexpr uint32_t kReadsPerKeyMax = 128;     // likewise of all sessions of one key: as many MiB of answers at most

using ReadCount = std::atomic<uint32_t>;
// Counts a request for as long as it costs the site anything: until its answer is on the wire, or nobody is there to take it.
class ReadTicket {
 public:
  ReadTicket(std::shared_ptr<ReadCount> session, std::shared_ptr<ReadCount> key)
      : session_(std::move(session)), key_(std::move(key)) {
    session_->fetch_add(1);
    key_->fetch_add(1);
  }
  ~ReadTicket() {
    session_->fetch_sub(1);
    key_->fetch_sub(1);
  }
  ReadTicket(const ReadTicket&) = delete;
  ReadTicket& operator=(const ReadTicket&) = delete;

 private:
  std::shared_ptr<ReadCount> session_;
  std::shared_ptr<ReadCount> key_;
};

struct ReadSession {
  std::string routing_id;
  uint64_t id = 0;
  ReplicaHost* host = nullptr;  // null: a session that only lists groups
  std::shared_ptr<ReadCount> pending = std::make_shared<ReadCount>(0);
  std::shared_ptr<ReadCount> pending_of_key;
};

class ReadService {
 public:
  ReadService(SiteGroups& groups, Outbox& outbox) : groups_(groups), outbox_(outbox) {}
  ~ReadService() { stop(); }
  void start();
  void stop();
  // From the router thread. `message` is whole and its header checked. False: too much is waiting.
  bool post(const ReadSession& session, const WireHeader& header, Message message);

 private:
  struct Request {
    std::string routing_id;
    ReplicaHost* host = nullptr;
    WireHeader header;
    Message message;
    std::shared_ptr<const ReadTicket> ticket;
  };
  void run();

  SiteGroups& groups_;
  Outbox& outbox_;
  Mutex mutex_;
  CondVar work_;
  std::deque<Request> queue_ TM_GUARDED_BY(mutex_);
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tidemark
