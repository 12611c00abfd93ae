#include "volume/index/index.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/file_checksum.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "base/buffer.h"
#include "base/descriptors.h"
#include "base/file.h"
#include "base/logging.h"
#include "base/pinned.h"
#include "volume/index/index_files.h"

namespace tidemark {
namespace {

constexpr size_t kOpenTablesMin = 24;
constexpr size_t kOpenTablesMax = size_t{1} << 16;

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view text(const rocksdb::Slice& bytes) { return {bytes.data(), bytes.size()}; }

Status to_status(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return Status();
  const std::string why = std::string(what) + ": " + say_where(status.ToString());
  if (status.IsCorruption()) return Status(Code::kCorrupt, why + "; remove DIR/index to have it rebuilt from the log");
  if (status.IsNoSpace()) return Status(Code::kNoSpace, why, ENOSPC);
  // RocksDB keeps the errno of other failures in its text alone.
  for (int error : {EROFS, EACCES, EMFILE, ENFILE, ENOMEM}) {
    if (why.find(std::strerror(error)) != std::string::npos) return errno_status(error, why);
  }
  return Status(Code::kIo, why, EIO);
}

// Groups an as-of row with all others of its subject, for the filters.
class SubjectPrefix final : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "tidemark.subject"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override { return slice(subject_of(text(key))); }
  bool InDomain(const rocksdb::Slice& key) const override { return is_as_of(text(key)); }
};

// An index takes memory for its rows in steps of this size: hundreds may have a few rows each.
constexpr uint64_t kRowsStep = uint64_t{128} << 10;

// RocksDB's messages go where ours go; a file of its own would be one more that can fail.
class Messages final : public rocksdb::Logger {
 public:
  Messages() : Logger(rocksdb::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const char* format, va_list values) override { Logv(rocksdb::WARN_LEVEL, format, values); }
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list values) override {
    if (level < GetInfoLogLevel() || level == rocksdb::HEADER_LEVEL) return;
    char line[512];
    std::vsnprintf(line, sizeof line, format, values);
    log_info(say_where(std::string("index: ") + line));
  }
};

rocksdb::Options rocksdb_options(const IndexOptions& options, const IndexMemory& memory,
                                 std::shared_ptr<rocksdb::EventListener> watch) {
  rocksdb::Options made;
  made.env = index_env();
  made.create_if_missing = !options.read_only;
  made.write_buffer_size = options.write_buffer_bytes;
  made.max_write_buffer_number = 4;
  made.arena_block_size = std::min<uint64_t>(kRowsStep, options.write_buffer_bytes / 8);
  made.write_buffer_manager = memory.row_budget();
  made.paranoid_checks = true;
  made.file_checksum_gen_factory = rocksdb::GetFileChecksumGenCrc32cFactory();  // over whole tables, kept in the manifest
  made.max_background_jobs = 2;
  // A reader in another process keeps every table open, even those compacted away meanwhile. Whoever owns the index goes on for long and has
  // other files beside it.
  made.max_open_files = options.read_only ? -1 : static_cast<int>(descriptors_for(4, kOpenTablesMin, kOpenTablesMax));
  made.prefix_extractor = std::make_shared<SubjectPrefix>();
  // A dozen bits for a row of the usual size; taken as soon as the index is open.
  made.memtable_prefix_bloom_size_ratio = 0.0125;
  made.compression = rocksdb::kLZ4Compression;
  made.level_compaction_dynamic_level_bytes = true;
  made.bytes_per_sync = 1 << 20;
  made.info_log = std::make_shared<Messages>();
  made.max_manifest_file_size = 16 << 20;
  made.manifest_preallocation_size = 64 << 10;   // RocksDB takes 4 MiB for each open index otherwise; a site has hundreds
  made.allow_concurrent_memtable_write = false;  // the engine writes from one thread at a time
  made.avoid_unnecessary_blocking_io = true;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = memory.cache();
  table.cache_index_and_filter_blocks = true;  // else all of them stay in memory, and count nowhere
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = true;
  table.format_version = 5;
  made.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  made.avoid_flush_during_shutdown = true;  // whoever closes decides whether the log is fit to be followed
  made.listeners.push_back(std::move(watch));
  return made;
}

}  // namespace

// Listens to RocksDB: the log first, then the index; and whether the disk is full.
class Index::Watch final : public rocksdb::EventListener {
 public:
  explicit Watch(std::function<Status()> before_flush) : before_flush_(std::move(before_flush)) {}

  // A flush that must not be cannot be refused here; but what it wrote is dropped when the database is said to be closing.
  void OnFlushBegin(rocksdb::DB* db, const rocksdb::FlushJobInfo&) override {
    if (before_flush_ && !before_flush_().ok()) rocksdb::CancelAllBackgroundWork(db, false);
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    const bool stops = error->severity() >= rocksdb::Status::kHardError;
    if (stops) log_warning("the index cannot be written: " + say_where(error->ToString()));
    if (stops && error->IsNoSpace()) full_ = true;
  }
  void OnErrorRecoveryCompleted(rocksdb::Status) override {
    if (full_.exchange(false)) log_info("the index can be written again");
  }

  [[nodiscard]] bool full() const { return full_; }

 private:
  const std::function<Status()> before_flush_;
  std::atomic<bool> full_{false};
};

IndexBatch::IndexBatch() : batch_(std::make_unique<rocksdb::WriteBatch>()) {}
IndexBatch::~IndexBatch() = default;
// Putting into a batch in memory cannot fail short of a broken batch.
void IndexBatch::put(std::string_view key, std::string_view value) {
  CHECK_INVARIANT(batch_->Put(slice(key), slice(value)).ok());
}
void IndexBatch::remove(std::string_view key) { CHECK_INVARIANT(batch_->Delete(slice(key)).ok()); }
void IndexBatch::clear() { batch_->Clear(); }
size_t IndexBatch::bytes() const { return batch_->GetDataSize(); }

IndexScan::IndexScan(std::unique_ptr<rocksdb::Iterator> rows) : rows_(std::move(rows)) {}
IndexScan::~IndexScan() = default;
IndexScan::IndexScan(IndexScan&&) noexcept = default;
void IndexScan::seek(std::string_view key) { rows_->Seek(slice(key)); }
bool IndexScan::valid() const { return rows_->Valid(); }
std::string_view IndexScan::key() const { return text(rows_->key()); }
std::string_view IndexScan::value() const { return text(rows_->value()); }
void IndexScan::next() { rows_->Next(); }
Status IndexScan::status() const { return to_status(rows_->status(), "reading the index"); }

Index::~Index() {
  if (db_) (void)db_->Close();
}

Result<std::unique_ptr<Index>> Index::open(const std::string& directory, const IndexOptions& options) {
  rocksdb::DB* opened = nullptr;
  auto watch = std::make_shared<Watch>(options.before_flush);
  const std::shared_ptr<IndexMemory> memory = options.memory != nullptr ? options.memory : IndexMemory::of_this_process();
  const rocksdb::Options settings = rocksdb_options(options, *memory, watch);
  const std::string path = through_pins(directory);
  const rocksdb::Status status =
      options.read_only ? rocksdb::DB::OpenForReadOnly(settings, path, &opened) : rocksdb::DB::Open(settings, path, &opened);
  if (!status.ok()) return to_status(status, "opening the index " + where_now(directory));
  std::unique_ptr<Index> made(new Index());
  made->directory_ = directory;
  made->before_write_ = options.before_write;
  made->memory_ = memory;
  made->watch_ = std::move(watch);
  made->db_.reset(opened);
  return made;
}

Status Index::destroy(const std::string& directory) {
  return to_status(rocksdb::DestroyDB(through_pins(directory), rocksdb::Options()),
                   "removing the index " + where_now(directory));
}

Status Index::writable() const {
  if (!watch_->full()) return Status();
  return Status(Code::kNoSpace,
                "the disk is full: the index cannot be written; it continues automatically once there is space", ENOSPC);
}

Status Index::write(IndexBatch& batch) {
  if (before_write_) TM_TRY(before_write_());
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return to_status(db_->Write(options, batch.batch_.get()), "writing to the index");
}

Result<std::optional<std::string>> Index::get(std::string_view key) {
  std::string value;
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), slice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return to_status(status, "reading the index");
  return std::optional<std::string>(std::move(value));
}

Result<std::optional<AsOfRow>> Index::newest(const std::string& subject, Seq at) {
  IndexScan rows = scan_subject();
  rows.seek(as_of_key(subject, at));
  if (!rows.valid()) {
    TM_TRY(rows.status());
    return std::optional<AsOfRow>();
  }
  if (subject_of(rows.key()) != subject) return std::optional<AsOfRow>();
  return std::optional<AsOfRow>(AsOfRow{seq_of(rows.key()), std::string(rows.value())});
}

IndexScan Index::scan_subject() {
  rocksdb::ReadOptions options;
  options.prefix_same_as_start = true;
  return IndexScan(std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options)));
}

IndexScan Index::scan() {
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  return IndexScan(std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options)));
}

namespace {

// The sum of a table's bytes as they are on disk now.
Result<std::string> file_sum(const std::string& path) {
  TM_ASSIGN(const auto file, posix_file_system().open(path, FileSystem::Open::kRead));
  rocksdb::FileChecksumGenContext context;
  context.file_name = path;
  auto sum = rocksdb::GetFileChecksumGenCrc32cFactory()->CreateFileChecksumGenerator(context);
  Buffer buffer(size_t{1} << 20);
  for (uint64_t at = 0;;) {
    TM_ASSIGN(const size_t got, file->read(at, buffer.span()));
    if (got == 0) break;
    sum->Update(reinterpret_cast<const char*>(buffer.data()), got);
    at += got;
  }
  sum->Finalize();
  return sum->GetChecksum();
}

}  // namespace

Result<std::vector<std::string>> Index::check_tables(bool in_use) {
  std::vector<rocksdb::LiveFileMetaData> tables;
  db_->GetLiveFilesMetaData(&tables);
  std::vector<std::string> damage;
  bool unsummed = false;
  for (const rocksdb::LiveFileMetaData& table : tables) {
    const std::string name = table.relative_filename;
    auto sum = file_sum(directory_ + "/" + name);
    if (sum.status().code() == Code::kNotFound && in_use) continue;
    if (!sum.ok()) {
      damage.push_back(name + ": " + sum.status().text());
    } else if (table.file_checksum.empty()) {
      unsummed = true;
    } else if (*sum != table.file_checksum) {
      damage.push_back(name + ": its checksum is wrong");
    }
  }
  // Tables of an older version: RocksDB's own sums cover all of them but the padding.
  if (unsummed && damage.empty()) {
    if (const rocksdb::Status sound = db_->VerifyChecksum(); !sound.ok()) damage.push_back("tables: " + sound.ToString());
  }
  return damage;
}

Status Index::flush() {
  rocksdb::FlushOptions options;
  options.wait = true;
  return to_status(db_->Flush(options), "flushing the index");
}

Result<bool> Index::flush_soon() {
  uint64_t waiting = 0;
  if (db_->GetIntProperty(rocksdb::DB::Properties::kNumImmutableMemTable, &waiting) && waiting > 0) return false;
  rocksdb::FlushOptions options;
  options.wait = false;
  options.allow_write_stall = true;
  TM_TRY(to_status(db_->Flush(options), "flushing the index"));
  return true;
}

}  // namespace tidemark
