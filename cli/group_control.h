// What the control socket of a group can be asked: the operations, apart from how they travel.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cli/control.h"
#include "fs/mount.h"
#include "replicator/pair.h"
#include "volume/group.h"

namespace tidemark::cli {

// The pairs of a mounted group: what is configured, what runs and what is in DIR/pairs.json change together. Thread-safe.
class PairKeeper {
 public:
  PairKeeper(std::string directory, std::vector<PairConfig> pairs, Shipper& shipper)
      : directory_(std::move(directory)), shipper_(shipper), pairs_(std::move(pairs)) {}
  Status add(const PairConfig& pair) TM_EXCLUDES(mutex_);      // kExists
  Status remove(const std::string& site) TM_EXCLUDES(mutex_);  // kNotFound
  [[nodiscard]] std::vector<PairConfig> list() const TM_EXCLUDES(mutex_);

 private:
  const std::string directory_;
  Shipper& shipper_;
  mutable Mutex mutex_;
  std::vector<PairConfig> pairs_ TM_GUARDED_BY(mutex_);
};

// The same on pairs.json alone, for a group that is not mounted.
Status add_pair_to_file(const std::string& directory, const PairConfig& pair);
Status remove_pair_from_file(const std::string& directory, const std::string& site);

// Who answers. Everything outlives the control server; `mount` and `pairs` are null at a site.
struct ControlledGroup {
  Group* group = nullptr;
  Mount* mount = nullptr;
  PairKeeper* pairs = nullptr;
  std::string mountpoint;
};
ControlHandler control_handler(const ControlledGroup& controlled);

[[nodiscard]] Json pair_to_json(const PairConfig& pair);
[[nodiscard]] PairConfig pair_from_json(const Json& json);

}  // namespace tidemark::cli
