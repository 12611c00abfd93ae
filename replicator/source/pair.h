// Pairs: which sites a group is copied to, how each copy stands, and the shipping of the group's log to them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "replicator/source/pair_state.h"
#include "volume/group/group.h"

namespace tidemark {

struct PairConfig {
  std::string site;        // a name, [A-Za-z0-9._-], at most 63
  std::string endpoint;    // tcp://HOST:PORT or ipc://PATH; several lines to the site with commas between (parse_lines)
  std::string server_key;  // file with the site's public key; "" only for loopback and ipc
  std::string own_key;     // file with our key pair; "" only for loopback and ipc
  PairMode mode = PairMode::kAsync;
  PairFence fence = PairFence::kNever;  // of a sync pair
  uint64_t bytes_per_second = 0;        // at most this much is sent; 0: no limit, else at least 64 KiB
};

struct Pair {
  PairConfig config;
  PairStatus status;
};

// DIR/pairs.json, written atomically. load: empty if there is none; kCorrupt names line and field.
Result<std::vector<Pair>> load_pairs(const std::string& directory, FileSystem& files = posix_file_system());
Result<std::vector<Pair>> parse_pairs(std::string_view content, const std::string& path);  // the file's text
Status save_pairs(const std::string& directory, const std::vector<Pair>& pairs, FileSystem& files = posix_file_system());
// Checks names, endpoint, keys and limits: kInvalid, kNotAuthorised (no key for an endpoint that is not loopback or ipc).
Status check_pair(const PairConfig& pair);

// Changes pairs.json of a group that no process holds, under its lock: kBusy names the holder. Nothing is written if `change`
// fails.
Status edit_pairs(const std::string& directory, const std::function<Status(std::vector<Pair>&)>& change);
// Changes to a list of pairs: kExists, kNotFound, kInvalid (the state does not allow it).
Status add_pair(std::vector<Pair>& pairs, const PairConfig& config);
Status remove_pair(std::vector<Pair>& pairs, const std::string& site);
Status suspend_pair(std::vector<Pair>& pairs, const std::string& site, int64_t wall_ns);
Status resume_pair(std::vector<Pair>& pairs, const std::string& site, int64_t wall_ns);

// Ships a group's durable records to its pairs, each on a thread of its own: connects, agrees on a position, sends within the
// credit the site gives, takes durable acks, reconnects with backoff. Progress is in group.watermarks(), the state of each pair
// also in DIR/pairs.json: written before it counts.
// Thread-safe. The group must outlive it. It has threads: start it after the last fork().
class Shipper {
 public:
  // Runs the pairs of group.directory()'s pairs.json.
  static Result<std::unique_ptr<Shipper>> start(Group& group);
  virtual ~Shipper() = default;  // stops all

  [[nodiscard]] virtual std::vector<Pair> list() const = 0;
  // Durable on return.
  virtual Status create(const PairConfig& pair) = 0;   // kExists, what check_pair() says
  virtual Status remove(const std::string& site) = 0;  // kNotFound
  // From duplex an async pair drains first (suspending) and is suspended by itself later; any other is suspended on return.
  virtual Status suspend(const std::string& site) = 0;  // kNotFound, kInvalid
  virtual Status resume(const std::string& site) = 0;   // kNotFound, kInvalid (it is not suspended)
  // The log can no longer be kept for this pair: failure-suspended until resume(), and saved as such. `cause` is for people.
  virtual Status park(const std::string& site, const std::string& cause) = 0;  // kNotFound
  // Ships what is durable already and then stops, within `timeout`; for an orderly unmount. kTimeout names who lags.
  virtual Status drain(std::chrono::milliseconds timeout) = 0;
  virtual void stop() = 0;
};

}  // namespace tidemark
