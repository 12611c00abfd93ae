#include "volume/group/housekeeping.h"

namespace tidemark {

std::shared_ptr<TaskPool> housekeeping() {
  static Mutex mutex;
  static std::weak_ptr<TaskPool> known;
  MutexLock lock(mutex);
  std::shared_ptr<TaskPool> pool = known.lock();
  if (pool == nullptr) known = pool = TaskPool::make("housekeeper", kHousekeepersMax);
  return pool;
}

}  // namespace tidemark
