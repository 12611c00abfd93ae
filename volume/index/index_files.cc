#include "volume/index/index_files.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace tidemark {
namespace {

using rocksdb::DataVerificationInfo;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// Used by one thread at a time, as every file RocksDB writes.
class LateFailingFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return later([&] { return target()->Append(data, options, debug); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const DataVerificationInfo& info,
                  IODebugContext* debug) override {
    return later([&] { return target()->Append(data, options, info, debug); });
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t at, const IOOptions& options, IODebugContext* debug) override {
    return later([&] { return target()->PositionedAppend(data, at, options, debug); });
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t at, const IOOptions& options, const DataVerificationInfo& info,
                            IODebugContext* debug) override {
    return later([&] { return target()->PositionedAppend(data, at, options, info, debug); });
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    return later([&] { return target()->Flush(options, debug); });
  }
  IOStatus RangeSync(uint64_t at, uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    return later([&] { return target()->RangeSync(at, size, options, debug); });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return failed_.ok() ? target()->Sync(options, debug) : failed_;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return failed_.ok() ? target()->Fsync(options, debug) : failed_;
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    IOStatus closed = target()->Close(options, debug);
    return failed_.ok() ? closed : failed_;
  }

 private:
  template <class Action>
  IOStatus later(Action&& action) {
    if (failed_.ok()) failed_ = action();
    return IOStatus::OK();
  }

  IOStatus failed_;
};

class LateFailingFiles final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;

  const char* Name() const override { return "tidemark.index-files"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* made, IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    IOStatus status = target()->NewWritableFile(path, options, &file, debug);
    if (status.ok()) *made = std::make_unique<LateFailingFile>(std::move(file));
    return status;
  }
};

}  // namespace

rocksdb::Env* index_env() {
  // Never destroyed: RocksDB's threads may outlive every other object.
  static rocksdb::Env* const env = [] {
    rocksdb::Env* made =
        rocksdb::NewCompositeEnv(std::make_shared<LateFailingFiles>(rocksdb::FileSystem::Default())).release();
    made->SetBackgroundThreads(kIndexFlushers, rocksdb::Env::Priority::HIGH);
    made->SetBackgroundThreads(kIndexCompactors, rocksdb::Env::Priority::LOW);
    return made;
  }();
  return env;
}

}  // namespace tidemark
