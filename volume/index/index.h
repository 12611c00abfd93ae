// The index: ordered rows in RocksDB, without its write-ahead log (our log is that). A cache: what is lost is rebuilt.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "volume/index/index_memory.h"
#include "volume/index/keys.h"

namespace rocksdb {
class DB;
class Iterator;
class WriteBatch;
}  // namespace rocksdb

namespace tidemark {

struct IndexOptions {
  std::shared_ptr<IndexMemory> memory;      // null: that of this process
  uint64_t write_buffer_bytes = 64u << 20;  // rows that this index holds before it begins to bring them to disk
  bool read_only = false;
  // Called before rows reach the disk: makes the log durable, so that the index never knows more than the log. Where that fails
  // nothing reaches the disk any more until the index is opened anew.
  std::function<Status()> before_flush;
  // Asked before rows are written; what it answers but ok is the answer. For tests: a disk that fills up between two records.
  std::function<Status()> before_write;
};

// Rows that reach the index together or not at all.
class IndexBatch {
 public:
  IndexBatch();
  ~IndexBatch();
  void put(std::string_view key, std::string_view value);
  void remove(std::string_view key);
  void clear();
  [[nodiscard]] size_t bytes() const;

 private:
  friend class Index;
  std::unique_ptr<rocksdb::WriteBatch> batch_;
};

struct AsOfRow {
  Seq seq;
  std::string value;  // empty: a tombstone
};

// Walks rows in key order. Sees the index as it was when made. Not thread-safe; the index must outlive it.
class IndexScan {
 public:
  ~IndexScan();
  IndexScan(IndexScan&&) noexcept;
  void seek(std::string_view key);
  [[nodiscard]] bool valid() const;
  [[nodiscard]] std::string_view key() const;  // until the next move
  [[nodiscard]] std::string_view value() const;
  void next();
  Status status() const;  // why valid() is false: ok at the end, else a read failure

 private:
  friend class Index;
  explicit IndexScan(std::unique_ptr<rocksdb::Iterator> rows);
  std::unique_ptr<rocksdb::Iterator> rows_;
};

// Thread-safe. kCorrupt: RocksDB found damage. kNoSpace: the disk is full; RocksDB looks every few seconds whether it still is, and
// goes on by itself. kIo: it could not write, and will not until it is opened anew.
class Index {
 public:
  static Result<std::unique_ptr<Index>> open(const std::string& directory, const IndexOptions& options);
  // Removes every file of an index; the directory goes as well. ok if there is none.
  static Status destroy(const std::string& directory);
  ~Index();  // what was not flushed is forgotten

  // ok, or why write() would fail: asked before something is logged that the index cannot take.
  [[nodiscard]] Status writable() const;
  Status write(IndexBatch& batch);
  Result<std::optional<std::string>> get(std::string_view key);
  // The newest row of `subject` at or before `at`, tombstone or not; nullopt if there is none.
  Result<std::optional<AsOfRow>> newest(const std::string& subject, Seq at);
  // Rows with the prefix of one as-of subject only (quick, uses the filters).
  IndexScan scan_subject();
  // Any rows.
  IndexScan scan();
  // Everything written is on disk on return.
  Status flush();
  // Begins to bring everything written to disk, and does not wait. False: that is going on already, and was not begun anew.
  Result<bool> flush_soon();
  // Reads every byte of every table on disk and checks it against the sum taken when it was written. One line for each file that
  // differs: its name in the index's directory, ": " and what is wrong. `in_use`: tables that are gone by now are no damage.
  Result<std::vector<std::string>> check_tables(bool in_use);

 private:
  class Watch;
  Index() = default;
  std::string directory_;
  std::function<Status()> before_write_;
  std::shared_ptr<IndexMemory> memory_;
  std::shared_ptr<Watch> watch_;  // before db_, whose threads call it
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace tidemark
