// Who may write in a group's directory: the lock DIR/lock, and what it says of its holder.
//
// Locked are bytes of that file, by locks of the open file (F_OFD_SETLK), which the kernel gives back when a process dies and which others
// can ask about without taking them:
//   byte 0  the holder's
//   byte 1  the holder's, once the file says who it is
//   byte 2  shared by all who wait to become the holder: readers, which need the lock for a moment, then stand back
// The holder has the whole file locked by flock(2) as well, which is all that versions before this one know, and all there is on a file system
// without the other kind.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tidemark {

struct Holder {
  int pid = 0;          // 0: it has not said yet who it is
  std::string purpose;  // likewise ""
};
// Who holds a directory's lock; nullopt if nobody does. Takes nothing, not even for a moment.
Result<std::optional<Holder>> lock_holder(const std::string& directory);

// What a reader that recovers the group says of itself (opening.h).
inline constexpr std::string_view kReadingPurpose = "reading";

// Somebody waits to become the holder.
bool is_lock_wanted(const std::string& directory);

// The exclusive right to write in a group's directory; given back by the destructor (and by the kernel when the process dies).
class DirectoryLock {
 public:
  // kBusy names the holder. `purpose` is what others are told. With `patience`, whoever is about to let go is waited for: a reader, and a
  // process that is dying; any other is named at once.
  static Result<std::unique_ptr<DirectoryLock>> take(const std::string& directory, const std::string& purpose,
                                                     std::chrono::milliseconds patience = {});
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace tidemark
