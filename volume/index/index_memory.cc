#include "volume/index/index_memory.h"

#include <rocksdb/cache.h>
#include <rocksdb/write_buffer_manager.h>

#include "base/mutex.h"

namespace tidemark {

IndexMemory::IndexMemory(uint64_t bytes, uint64_t row_bytes)
    : cache_(rocksdb::NewLRUCache(bytes)),
      row_budget_(std::make_shared<rocksdb::WriteBufferManager>(row_bytes, cache_, /*allow_stall=*/false)) {}

std::shared_ptr<IndexMemory> IndexMemory::of_this_process() {
  static Mutex mutex;
  static std::weak_ptr<IndexMemory> known;
  MutexLock lock(mutex);
  std::shared_ptr<IndexMemory> memory = known.lock();
  if (memory == nullptr) known = memory = std::make_shared<IndexMemory>(kIndexMemoryBytes, kIndexRowBytes);
  return memory;
}

uint64_t IndexMemory::used() const { return cache_->GetUsage(); }
uint64_t IndexMemory::rows() const { return row_budget_->memory_usage(); }

}  // namespace tidemark
