// A file system in memory that can lose power, fail and lie: for simulations that run the real code under a seed.
//
// What it models
//  - Every file has what programs see, and what is on disk. write() and truncate() reach the disk only by sync() of that file;
//    creations, renames and removals only by sync_directory() of their directory. Making a directory is durable at once, unless
//    forget_directories() was called: then it takes sync_directory() of its parent, too.
//  - after_crash(seed) is the machine after a power loss at this moment, as a file system of its own: of what was not
//    synced, pieces (down to 8 bytes) are kept or lost independently, in files and directories alike, so that writes are
//    torn and reordered; a file may have any size between its synced and its last one. The same seed gives the same crash.
//    The original is untouched and goes on: destroy or use what runs on it as you like.
//  - after_exit() is the same after the process was killed: the kernel's view survives, and what is synced stays known.
//  - A sync that fails is like Linux's: some of what was unsynced is on disk, the rest never will be, although programs
//    still read it and the next sync succeeds.
//  - set_capacity() runs out of space, a part of the write in question being done. Holes (of whole blocks of 512 bytes) take none.
//
// Counting: operations are write, truncate, punch, sync, sync_directory, open with kCreateNew, make_link, remove and rename, of all files, in
// the order in which they begin. on_operation() sees each before it happens, without a lock held, so it may call
// after_crash(): with every number tried in turn, power fails at every possible moment.
//
// Paths are plain strings; "/" exists. Thread-safe, deterministic under one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/mutex.h"

namespace tidemark::test {

class FaultFileSystem final : public FileSystem {
 public:
  enum class Operation { kWrite, kTruncate, kSync, kSyncDirectory, kCreate, kRemove, kRename, kPunch };
  struct Step {
    uint64_t number = 0;  // 0, 1, 2 … since the file system was made
    Operation operation = Operation::kWrite;
    std::string path;
  };

  FaultFileSystem();
  ~FaultFileSystem() override;

  Result<std::unique_ptr<File>> open(const std::string& path, Open how) override;
  Status make_directory(const std::string& path) override;
  Status remove(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status make_link(const std::string& path, const std::string& target) override;
  Result<std::string> read_link(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<bool> exists(const std::string& path) override;
  Status sync_directory(const std::string& directory) override;
  Result<FileSystemSpace> space(const std::string& path) override;

  [[nodiscard]] std::unique_ptr<FaultFileSystem> after_crash(uint64_t seed) const;
  [[nodiscard]] std::unique_ptr<FaultFileSystem> after_exit() const;

  // Called before each operation; what it returns, unless ok, happens instead: for kSync the half-lost sync described above,
  // for kWrite nothing or a part of it is written.
  void on_operation(std::function<Status(const Step&)> observer);
  [[nodiscard]] uint64_t operations() const;

  // The disk lies: syncs succeed and do nothing. For negative controls.
  void ignore_syncs(bool ignore);
  // From here on a directory that is made may be lost in a crash, with all it holds, until its parent is synced.
  void forget_directories();
  // All files together may hold this many bytes; UINT64_MAX: no limit.
  void set_capacity(uint64_t bytes);
  // Files cannot have holes from here on.
  void refuse_holes();
  // What all files take.
  [[nodiscard]] uint64_t taken() const;

  // Damage that no program did, seen at once and on disk (where all of that file is then).
  void flip_bit(const std::string& path, uint64_t byte, unsigned bit);
  void overwrite(const std::string& path, uint64_t at, std::string_view content);
  // What programs see; "" where there is no such file.
  [[nodiscard]] std::string content(const std::string& path) const;
  void set_content(const std::string& path, std::string_view content);

 private:
  struct Node;
  struct DirectoryChange;
  class OpenFile;
  using Names = std::map<std::string, std::shared_ptr<Node>>;

  Status begin(Operation operation, const std::string& path);
  [[nodiscard]] uint64_t used() const TM_REQUIRES(mutex_);
  Status write_locked(Node& node, uint64_t at, std::span<const iovec> parts, const Status& injected) TM_REQUIRES(mutex_);

  mutable Mutex mutex_;
  Names names_ TM_GUARDED_BY(mutex_);                              // as programs see them
  Names durable_names_ TM_GUARDED_BY(mutex_);                      // as they are on disk
  std::map<std::string, bool> directories_ TM_GUARDED_BY(mutex_);  // whether it is on disk
  std::vector<DirectoryChange> pending_names_ TM_GUARDED_BY(mutex_);
  std::function<Status(const Step&)> observer_ TM_GUARDED_BY(mutex_);
  uint64_t operations_ TM_GUARDED_BY(mutex_) = 0;
  uint64_t capacity_ TM_GUARDED_BY(mutex_) = UINT64_MAX;
  bool ignore_syncs_ TM_GUARDED_BY(mutex_) = false;
  bool forget_directories_ TM_GUARDED_BY(mutex_) = false;
  bool holes_ TM_GUARDED_BY(mutex_) = true;
};

}  // namespace tidemark::test
