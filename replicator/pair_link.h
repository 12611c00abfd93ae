// One pair at work: a thread that keeps a connection to its site, ships what is durable here and takes the acks.
#pragma once

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "replicator/connection.h"
#include "replicator/pair.h"

namespace tidemark {

// States as people see them (docs/REPLICATION.md).
namespace pair_state {
inline constexpr std::string_view kSimplex = "simplex";
inline constexpr std::string_view kCopying = "copying";
inline constexpr std::string_view kDuplex = "duplex";
inline constexpr std::string_view kFailed = "failure-suspended";
}  // namespace pair_state

// Pauses between attempts: doubling, each a random part shorter so that pairs do not come in step.
class Backoff {
 public:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLongest{5000};
  std::chrono::milliseconds next();
  void reset() { current_ = kFirst; }

 private:
  std::chrono::milliseconds current_ = kFirst;
  std::minstd_rand random_{std::random_device{}()};
};

class PairLink {
 public:
  PairLink(Group& group, PairConfig config, ZmqContext& context);
  ~PairLink();  // stops
  PairLink(const PairLink&) = delete;
  PairLink& operator=(const PairLink&) = delete;

  [[nodiscard]] const std::string& site() const { return config_.site; }
  // More may be durable. Any thread.
  void poke() { work_.wake(); }
  // Asks the thread to end; the destructor waits for it.
  void stop();
  // Newest seq durable at the site, as far as acknowledged.
  [[nodiscard]] Seq durable() const { return Seq(acked_durable_.load()); }
  // The site refuses this history for good: waiting for it is in vain.
  [[nodiscard]] bool refused() const { return refused_; }
  [[nodiscard]] std::string last_error();

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;

  void run();
  Status attempt();                      // one connection, from connect to loss
  Status agree(Connection& connection);  // HELLO … BEGIN
  Status ship(Connection& connection);
  Status send_ready(Connection& connection);
  Status take_messages(Connection& connection);
  Status take_ack(Bytes body);
  Status heartbeat(Connection& connection);
  void publish(std::string_view state, bool connected, std::string_view error);
  void failed(const Status& status);
  [[nodiscard]] bool may_send() const;

  Group& group_;
  const PairConfig config_;
  ZmqContext& context_;
  WakeFd work_;  // something is durable, or stop
  WakeFd halt_;  // stop; never cleared
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> acked_durable_{0};
  std::atomic<bool> refused_{false};

  // Of the thread alone.
  std::unique_ptr<LogCursor> cursor_;
  uint64_t session_ = 0;
  uint32_t window_bytes_ = 0;
  uint32_t window_frames_ = 0;
  uint64_t sent_bytes_ = 0;
  uint64_t sent_frames_ = 0;
  Ack acked_;
  Seq sent_;
  Seq goal_;  // durable here when the session began: copying until it is durable there
  SteadyTime heard_;
  SteadyTime spoke_;
  Backoff backoff_;
  SiteProgress shown_;
  bool ever_connected_ = false;

  Mutex error_mutex_;
  std::string last_error_ TM_GUARDED_BY(error_mutex_);
  std::thread thread_;
};

}  // namespace tidemark
