// The pairs of a group that is in use: what runs and what DIR/pairs.json says change together. Thread-safe.
#pragma once

#include "base/mutex.h"
#include "replicator/source/pair.h"

namespace tidemark {

class PairStore {
 public:
  static Result<std::unique_ptr<PairStore>> open(const std::string& directory);

  [[nodiscard]] std::vector<Pair> list() const;
  // Applies `change` to a copy and saves that; in memory nothing changes unless both succeed.
  Status edit(const std::function<Status(std::vector<Pair>&)>& change);
  // Durable on return. kNotFound: the pair was removed meanwhile.
  Status set_status(const std::string& site, const PairStatus& status);

 private:
  explicit PairStore(std::string directory) : directory_(std::move(directory)) {}

  const std::string directory_;
  mutable Mutex mutex_;  // held while the file is written: changes of state are rare
  std::vector<Pair> pairs_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
