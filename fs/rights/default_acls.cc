#include "fs/rights/default_acls.h"

#include "fs/rights/acl.h"

namespace tidemark::fs {

Result<std::shared_ptr<const std::string>> DefaultAcls::of(Volume& volume, Ino directory) {
  uint64_t changes = 0;
  {
    MutexLock lock(mutex_);
    if (auto found = known_.find(directory); found != known_.end()) return found->second;
    changes = changes_;
  }
  Result<std::string> value = volume.get_xattr(directory, kDefaultAcl);
  if (!value.ok() && value.status().code() != Code::kNoData) return value.status();
  std::shared_ptr<const std::string> acl;
  if (value.ok()) acl = std::make_shared<const std::string>(std::move(*value));
  MutexLock lock(mutex_);
  if (changes == changes_) {
    if (known_.size() >= kMax) known_.clear();
    known_.emplace(directory, acl);
  }
  return acl;
}

void DefaultAcls::forget(Ino directory) {
  MutexLock lock(mutex_);
  ++changes_;
  known_.erase(directory);
}

}  // namespace tidemark::fs
