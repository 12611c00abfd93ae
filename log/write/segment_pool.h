// Segments that lie elsewhere: directories that are taken into use where the log's own has no room for another segment. The segment is
// a file there, and a symbolic link with its name in the log's directory; so whoever reads knows nothing of it.
//
//   DIR/log/00000000000000012345.seg -> POOL/GROUP-PLACE-00000000000000012345.seg
//
// GROUP is the group's id, PLACE a sum over the path of DIR/log: two copies of a group may share a pool directory.
//
// In this order things become durable: the file's name, then the link; and for removal: the link has gone, then the file. So a link
// always leads somewhere, and what a crash leaves over is a file without a link, which the next open removes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/mutex.h"
#include "log/log_types.h"

namespace tidemark {

// What the writer of a log takes for its file system. Thread-safe.
class SegmentPool final : public FileSystem {
 public:
  // Removes what earlier crashes left over. kNotFound, kIo: a directory of the pool that cannot be used, by name.
  static Result<std::shared_ptr<SegmentPool>> open(FileSystem& files, const std::string& directory,
                                                   const LogOptions& options);

  // A new segment would not go where the newest one lies, and has room there.
  bool room_elsewhere();
  [[nodiscard]] std::vector<PoolUse> use();

  Result<std::unique_ptr<File>> open(const std::string& path, Open how) override;
  Status make_directory(const std::string& path) override { return files_.make_directory(path); }
  Status remove(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override { return files_.rename(from, to); }
  Status make_link(const std::string& path, const std::string& target) override { return files_.make_link(path, target); }
  Result<std::string> read_link(const std::string& path) override { return files_.read_link(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override { return files_.list(directory); }
  Result<bool> exists(const std::string& path) override { return files_.exists(path); }
  Status sync_directory(const std::string& directory) override { return files_.sync_directory(directory); }
  // Of the log's directory: where its newest segment lies.
  Result<FileSystemSpace> space(const std::string& path) override;

 private:
  struct Place {
    std::string path;
    uint64_t bytes_max = 0;  // of segments there; 0: as many as there is room for
    uint64_t segments = 0;
  };

  SegmentPool(FileSystem& files, std::string directory, const LogOptions& options);
  Status look() TM_REQUIRES(mutex_);
  Status tidy(const Place& place) TM_REQUIRES(mutex_);
  Status clear_left_over(const std::string& target, const std::string& link) TM_REQUIRES(mutex_);
  Result<std::unique_ptr<File>> make_in_pool(const Place& place, const std::string& name) TM_REQUIRES(mutex_);
  [[nodiscard]] bool has_room(const Place& place);
  size_t choose() TM_REQUIRES(mutex_);
  // Which place a path lies in; places_.size(): none of ours.
  size_t place_of(const std::string& path) TM_REQUIRES(mutex_);
  void tell(size_t chosen) TM_REQUIRES(mutex_);

  FileSystem& files_;
  const std::string directory_;
  const std::string prefix_;  // of our files' names in the pool
  const uint32_t segment_bytes_;
  const uint64_t reserve_bytes_;
  Mutex mutex_;
  std::vector<Place> places_ TM_GUARDED_BY(mutex_);  // the first is the log's own directory
  size_t newest_ TM_GUARDED_BY(mutex_) = 0;          // where the newest segment lies
};

}  // namespace tidemark
