// The default ACLs of directories, remembered: every creation asks for its parent's, and nearly always there is none.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "base/mutex.h"
#include "volume/tree/volume.h"

namespace tidemark::fs {

// Thread-safe. True as long as every change of a default ACL is told to forget().
class DefaultAcls {
 public:
  // The xattr's value; null where the directory has none.
  Result<std::shared_ptr<const std::string>> of(Volume& volume, Ino directory);
  // After the ACL was changed or removed, before that is acknowledged.
  void forget(Ino directory);

 private:
  static constexpr size_t kMax = 8192;  // directories
  Mutex mutex_;
  uint64_t changes_ TM_GUARDED_BY(mutex_) = 0;
  std::unordered_map<Ino, std::shared_ptr<const std::string>> known_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark::fs
