// The shipping of a group's log to its pairs.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "replicator/source/pair.h"

namespace tidemark {

class PairLink;
class PairStore;
class ZmqContext;

// Ships a group's durable records to its pairs, each on a thread of its own: connects, agrees on a position, sends within the
// credit the site gives, takes durable acks, reconnects with backoff. Progress is in group.watermarks(), the state of each pair
// also in DIR/pairs.json: written before it counts.
// Thread-safe. The group must outlive it. It has threads: start it after the last fork().
class Shipper {
 public:
  // Runs the pairs of group.directory()'s pairs.json.
  static Result<std::unique_ptr<Shipper>> start(Group& group);
  ~Shipper();  // stops all
  Shipper(const Shipper&) = delete;
  Shipper& operator=(const Shipper&) = delete;

  [[nodiscard]] std::vector<Pair> list() const;
  // Durable on return.
  Status create(const PairConfig& pair);   // kExists, what check_pair() says
  Status remove(const std::string& site);  // kNotFound
  // From duplex an async pair drains first (suspending) and is suspended by itself later; any other is suspended on return.
  Status suspend(const std::string& site);  // kNotFound, kInvalid
  Status resume(const std::string& site);   // kNotFound, kInvalid (it is not suspended)
  // The log can no longer be kept for this pair: failure-suspended until resume(), and saved as such. `cause` is for people.
  Status park(const std::string& site, const std::string& cause);  // kNotFound
  // Ships what is durable already and then stops, within `timeout`; for an orderly unmount. kTimeout names who lags.
  Status drain(std::chrono::milliseconds timeout);
  void stop();

 private:
  Shipper(Group& group, std::unique_ptr<PairStore> store);
  void begin();
  void beat();
  // Whatever is wrong with the pair's keys or address shows in its progress, and goes away when it is put right.
  void run(const Pair& pair) TM_REQUIRES(mutex_);
  // Commands are given without the table's lock: one that has to wait keeps nobody else from anything.
  Result<std::shared_ptr<PairLink>> find(const std::string& site) TM_EXCLUDES(mutex_);
  std::vector<std::shared_ptr<PairLink>> links() TM_EXCLUDES(mutex_);
  // Names of those that lag behind `seq`; `hopeful`: only those that may still catch up.
  std::string lagging(Seq seq, bool hopeful) TM_REQUIRES(mutex_);

  Group& group_;
  std::unique_ptr<PairStore> store_;
  const std::shared_ptr<ZmqContext> context_;
  Mutex mutex_;
  CondVar stopped_;
  CondVar removed_;
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
  std::set<std::string> removing_
      TM_GUARDED_BY(mutex_);  // their links are ending, and may still write what they have to say
  std::map<std::string, std::shared_ptr<PairLink>> links_ TM_GUARDED_BY(mutex_);
  std::thread beats_ TM_GUARDED_BY(mutex_);                                   // from the first pair on
  Mutex poked_mutex_;                                                         // a leaf
  std::vector<std::shared_ptr<PairLink>> poked_ TM_GUARDED_BY(poked_mutex_);  // whom the log wakes: all that are in links_
};

}  // namespace tidemark
