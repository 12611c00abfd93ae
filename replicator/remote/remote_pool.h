// Connections of one reader to one group at a site. A call takes one for itself, so threads do not wait for one another.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "replicator/remote/remote.h"
#include "replicator/wire/connection.h"
#include "replicator/wire/read_protocol.h"

namespace tidemark {

inline constexpr size_t kRemoteConnectionsMax = 64;  // a reader; more callers wait for one

class RemotePool {
 public:
  // Says hello once, so that what is wrong is known now.
  static Result<std::shared_ptr<RemotePool>> connect(const RemoteAddress& address, const RemoteOptions& options);

  // Sends a request of reading and waits for its answer. Everything read is without effect there, so a lost connection is
  // made again and the request repeated, until the time is over. Failures of the site come back as they are; kUnreachable and
  // kTimeout name the endpoint.
  Result<Received> call(MessageType type, std::string_view body);
  // The same for what is not to be repeated, and may take `timeout`.
  Result<Received> call_once(MessageType type, std::string_view body, std::chrono::milliseconds timeout);
  // Several at once on one connection, answered in order: hides the distance.
  Result<std::vector<Received>> call_many(MessageType type, const std::vector<std::string>& bodies);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Link {
    std::unique_ptr<Connection> connection;
    uint64_t session = 0;
    uint64_t next_request = 1;
  };

  RemotePool(ConnectTarget target, RemoteAddress address, std::chrono::milliseconds timeout)
      : target_(std::move(target)), address_(std::move(address)), timeout_(timeout) {}
  Result<std::unique_ptr<Link>> open_link(SteadyTime deadline, Retry* retry);
  Result<std::unique_ptr<Link>> take_link(SteadyTime deadline, Retry* retry);
  void give_back(std::unique_ptr<Link> link);  // null: it is lost
  static Result<std::vector<Received>> exchange(Link& link, MessageType type, const std::vector<std::string>& bodies,
                                                SteadyTime deadline, Retry* retry, bool* keep);

  const ConnectTarget target_;
  const RemoteAddress address_;
  const std::chrono::milliseconds timeout_;
  ZmqContext context_;
  Mutex mutex_;
  CondVar returned_;
  std::vector<std::unique_ptr<Link>> idle_ TM_GUARDED_BY(mutex_);  // the last one given back is taken first
  size_t links_ TM_GUARDED_BY(mutex_) = 0;                         // idle or in use
};

}  // namespace tidemark
