// How much of a site's disk the copies of each key's groups take, and may take. What counts is what the logs and packs have in bytes; an
// index, which is a cache, comes on top.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/mutex.h"
#include "base/status.h"

namespace tidemark {

class DiskQuota {
 public:
  explicit DiskQuota(uint64_t key_bytes_max) : key_bytes_max_(key_bytes_max) {}

  // The group has so many bytes now, and belongs to this key ("": to nobody, so that no key's limit counts it).
  void set(const std::string& group, const std::string& key, uint64_t bytes) TM_EXCLUDES(mutex_);
  // kNoSpace: the group, or all those of its key, have what they may have (`group_bytes_max`; 0: no limit).
  [[nodiscard]] Status may_grow(const std::string& group, uint64_t group_bytes_max) const TM_EXCLUDES(mutex_);

 private:
  struct Use {
    std::string key;
    uint64_t bytes = 0;
  };
  const uint64_t key_bytes_max_;  // 0: no limit
  mutable Mutex mutex_;           // a leaf
  std::map<std::string, Use> groups_ TM_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> keys_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
