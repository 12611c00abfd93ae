// A group's directory on disk: its parts, who it is, who holds it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "volume/group.h"

namespace tidemark {

inline std::string log_directory(const std::string& directory) { return directory + "/log"; }
inline std::string index_directory(const std::string& directory) { return directory + "/index"; }

Status check_group_name(std::string_view name);
// Makes DIR and DIR/log, writes group.json last: a directory without it is not (yet) a group.
Status make_group_directory(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options);
Result<GroupId> random_group_id();

// The exclusive right to write in a group's directory; given back by the destructor (and by the kernel when the process dies).
class DirectoryLock {
 public:
  // kBusy names the holder. `purpose` is what others are told.
  static Result<std::unique_ptr<DirectoryLock>> take(const std::string& directory, const std::string& purpose);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace tidemark
