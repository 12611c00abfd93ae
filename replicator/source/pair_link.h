// One pair at work: a thread that keeps a connection to its site and runs the pair's state machine over it.
#pragma once

#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "replicator/source/lines.h"
#include "replicator/source/pair_core.h"
#include "replicator/wire/connection.h"

namespace tidemark {

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
  PairLink(Group& group, const Pair& pair, ZmqContext& context, PairCore::Persist persist);
  ~PairLink();  // stops
  PairLink(const PairLink&) = delete;
  PairLink& operator=(const PairLink&) = delete;

  // The log has come further. Any thread; takes no lock.
  void poke(LogProgress progress);
  // Now and then, on any thread: while ours is in a read that takes long, a heartbeat says for it that we live. Quick.
  void beat();
  // As PairCore's; kNotFound after end(). Any thread.
  Status suspend();
  Status resume();
  Status park(const std::string& cause);
  // Asks the thread to end.
  void stop();
  // Waits for that: nothing of the pair is saved or shown any more. For one caller, once.
  void end();
  // How it stands, for those who wait for it. Any thread.
  struct Progress {
    Seq durable;
    bool hopeless = false;  // suspended, or refused for good: waiting is in vain
    std::string last_error;
  };
  [[nodiscard]] Progress progress();

 private:
  void run();
  Status attempt();  // one session, from connect to loss
  Status converse(Connection& connection, Lines& lines);
  Status take_messages(Connection& connection) TM_REQUIRES(mutex_);
  // Reads, with no lock of the pair.
  Result<PairMessage> read(const PairReading& wanted, Connection& connection, Lines& lines);
  Status command(const std::function<Status()>& change) TM_REQUIRES(mutex_);

  // The connection, while our thread reads and does not use it.
  struct Lent {
    Connection* connection = nullptr;
    Lines* lines = nullptr;
    uint64_t session = 0;
    int64_t spoke_ns = 0;
    bool tells = false;  // what is settled
  };

  Group& group_;
  ZmqContext& context_;
  const PairConfig config_;
  WakeFd work_;  // something is durable, a command, or stop
  WakeFd halt_;  // stop; never cleared
  std::atomic<bool> stopping_{false};
  std::atomic<bool> early_{false};   // as PairCore::early(), when our thread looked last
  std::atomic<bool> prompt_{false};  // as PairCore::prompt(), likewise
  Mutex mutex_;                      // not held while the thread waits
  PairCore core_ TM_GUARDED_BY(mutex_);
  bool ended_ TM_GUARDED_BY(mutex_) = false;
  Mutex lent_mutex_;  // a leaf
  Lent lent_ TM_GUARDED_BY(lent_mutex_);
  Backoff backoff_;       // of the thread alone, as is the next
  size_t main_line_ = 0;  // which line to try first
  std::thread thread_;
};

}  // namespace tidemark
