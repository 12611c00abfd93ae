// The memory that the indexes of a process share: blocks of their tables, and rows that are not in tables yet.
#pragma once

#include <cstdint>
#include <memory>

namespace rocksdb {
class Cache;
class WriteBufferManager;
}  // namespace rocksdb

namespace tidemark {

inline constexpr uint64_t kIndexMemoryBytes = uint64_t{512} << 20;  // all of it, for one volume as for hundreds of copies
inline constexpr uint64_t kIndexRowBytes = uint64_t{256} << 20;     // of that, at most about so much for rows

// What rows take is charged to the cache, so blocks have what rows leave. Where rows reach their bound, the index that is written to next
// brings its own to disk; nobody waits for another one's disk. Thread-safe.
class IndexMemory {
 public:
  IndexMemory(uint64_t bytes, uint64_t row_bytes);
  // The one of every index that is not given another; it goes with the last of them.
  static std::shared_ptr<IndexMemory> of_this_process();

  [[nodiscard]] uint64_t used() const;  // bytes, rows included
  [[nodiscard]] uint64_t rows() const;  // bytes of rows
  [[nodiscard]] const std::shared_ptr<rocksdb::Cache>& cache() const { return cache_; }
  [[nodiscard]] const std::shared_ptr<rocksdb::WriteBufferManager>& row_budget() const { return row_budget_; }

 private:
  const std::shared_ptr<rocksdb::Cache> cache_;
  const std::shared_ptr<rocksdb::WriteBufferManager> row_budget_;
};

}  // namespace tidemark
