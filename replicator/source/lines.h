// Further connections of one session to a site: DATA goes over all of them in turn, everything else over the first. What arrives in
// another order is put in order there. A line that is lost may have taken DATA with it: then the session ends, and the next one
// continues from what has arrived.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "replicator/wire/connection.h"

namespace tidemark {

// Not thread-safe; connecting goes on in the background.
class Lines {
 public:
  // `work` is told when a line is there.
  Lines(ZmqContext& context, ClientKeys keys, WakeFd& work) : context_(context), keys_(std::move(keys)), work_(work) {}
  ~Lines();
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  void add(const std::string& endpoint) { lines_.push_back({endpoint, {}, {}, false, 0, 0, 0}); }
  // Connects, joins them to `session`, looks whether they live. 0: there is no session yet. kUnreachable, kTimeout: one is lost.
  Status keep(uint64_t session);
  // A heartbeat over each further line that has been quiet for long.
  void beat(uint64_t session);
  // False where every queue is full.
  Result<bool> try_send(Connection& first, Message& message);

 private:
  struct Line {
    std::string endpoint;
    std::future<Result<std::unique_ptr<Connection>>> opening;
    std::unique_ptr<Connection> connection;
    bool joined = false;
    int64_t next_attempt_ns = 0;
    int64_t heard_ns = 0;
    int64_t spoke_ns = 0;
  };
  void begin(Line& line);
  void take_over(Line& line, uint64_t session);
  Status look(Line& line, uint64_t session);
  static Status beat(Line& line, uint64_t session);

  ZmqContext& context_;
  const ClientKeys keys_;
  WakeFd& work_;
  WakeFd cancel_;  // of what is being connected; never cleared
  std::vector<Line> lines_;
  size_t turn_ = 0;
};

}  // namespace tidemark
