// The allow-list of a running site: read again when its file changes, so that a key is let in or shut out without a restart.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "replicator/wire/keys.h"

namespace tidemark {

inline constexpr std::chrono::milliseconds kAllowLookEvery{500};

class AllowFile {
 public:
  // As AllowList::load.
  static Result<std::unique_ptr<AllowFile>> open(const std::string& path);

  // The list that holds now. From any thread.
  [[nodiscard]] std::shared_ptr<const AllowList> now() const TM_EXCLUDES(mutex_);
  // Looks at the file, no more often than every kAllowLookEvery. One that has changed is read when it has rested from one look to the
  // next (whoever writes it may be in the middle), or `at_once`. True: another list holds now. One that is not right is logged, and
  // the old list stays; one without any key shuts everybody out. From one thread.
  bool look(bool at_once) TM_EXCLUDES(mutex_);

 private:
  // Whether a file is still the one it was.
  struct Version {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    bool operator==(const Version&) const = default;
  };
  explicit AllowFile(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] Version version() const;
  bool read_again() TM_EXCLUDES(mutex_);

  const std::string path_;
  Version taken_;  // what the list, or the last complaint, is made from
  Version seen_;   // at the last look
  int64_t looked_ns_ = 0;
  mutable Mutex mutex_;
  std::shared_ptr<const AllowList> list_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
