// Pairs: which sites a group is copied to, and the shipping of its log to them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "volume/group.h"

namespace tidemark {

struct PairConfig {
  std::string site;        // a name, [A-Za-z0-9._-], at most 63
  std::string endpoint;    // tcp://HOST:PORT or ipc://PATH
  std::string server_key;  // file with the site's public key; "" only for loopback and ipc
  std::string own_key;     // file with our key pair; "" only for loopback and ipc
};

// DIR/pairs.json, written atomically. load: empty if there is none; kCorrupt names line and field.
Result<std::vector<PairConfig>> load_pairs(const std::string& directory);
Status save_pairs(const std::string& directory, const std::vector<PairConfig>& pairs);
// Checks names, endpoint and keys: kInvalid, kNotAuthorised (no key for an endpoint that is not loopback or ipc).
Status check_pair(const PairConfig& pair);

// Ships a group's durable records to its pairs, each on a thread of its own: connects, agrees on a position, sends within the
// credit the site gives, takes durable acks, reconnects with backoff. Progress is in group.watermarks().
// Thread-safe. The group must outlive it. It has threads: start it after the last fork().
class Shipper {
 public:
  static std::unique_ptr<Shipper> start(Group& group, const std::vector<PairConfig>& pairs);
  virtual ~Shipper() = default;  // stops all

  virtual Status add(const PairConfig& pair) = 0;      // kExists. Saved by the caller.
  virtual Status remove(const std::string& site) = 0;  // kNotFound
  // Ships what is durable already and then stops, within `timeout`; for an orderly unmount. kTimeout names who lags.
  virtual Status drain(std::chrono::milliseconds timeout) = 0;
  virtual void stop() = 0;
};

}  // namespace tidemark
