// The threads of a site that answer readers, so that a slow read holds up neither shipping nor heartbeats.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "replicator/site/outbox.h"
#include "replicator/site/read_handler.h"
#include "replicator/site/site_groups.h"

namespace tidemark {

inline constexpr size_t kReadThreads = 4;
inline constexpr size_t kReadThreadsPerKeyMax = 3;   // so that slow requests of one key leave a thread to the others
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
  std::string key;              // "" where the site runs without keys
  ReplicaHost* host = nullptr;  // null: a session that only lists groups
  std::shared_ptr<ReadCount> pending = std::make_shared<ReadCount>(0);
  std::shared_ptr<ReadCount> pending_of_key;
};

// Keys take turns, each with its oldest request: who asks much waits for himself.
class ReadService {
 public:
  ReadService(SiteGroups& groups, Outbox& outbox) : groups_(groups), outbox_(outbox) {}
  ~ReadService() { stop(); }
  void start();
  void stop();
  // From the router thread. `message` is whole and its header checked. False: too much is waiting.
  bool post(const ReadSession& session, std::shared_ptr<const AllowList> list, const WireHeader& header, Message message);

 private:
  struct Request {
    std::string routing_id;
    ReplicaHost* host = nullptr;
    Reader reader;
    WireHeader header;
    Message message;
    std::shared_ptr<const ReadTicket> ticket;
  };
  struct OfKey {
    std::deque<Request> waiting;
    size_t at_work = 0;  // threads
  };
  void run();
  bool take_next(Request& request) TM_REQUIRES(mutex_);
  void done(const std::string& key) TM_EXCLUDES(mutex_);

  SiteGroups& groups_;
  Outbox& outbox_;
  Mutex mutex_;
  CondVar work_;
  std::map<std::string, OfKey> keys_ TM_GUARDED_BY(mutex_);  // those with something waiting or at work
  std::deque<std::string> turns_ TM_GUARDED_BY(mutex_);      // those with something waiting, whose turn is next first
  size_t queued_ TM_GUARDED_BY(mutex_) = 0;
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tidemark
