#include "base/pinned.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <vector>

#include "base/mutex.h"

namespace tidemark {
namespace {

struct Pin {
  std::string path;
  int fd = -1;
};

// Few: one per group that this process has open.
struct Pins {
  SharedMutex mutex;
  std::vector<Pin> all TM_GUARDED_BY(mutex);
};

Pins& pins() {
  static Pins* const made = new Pins();  // never destroyed: files outlive other objects of their kind
  return *made;
}

std::string place_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

bool same_directory(int one, int other) {
  struct stat first {};
  struct stat second {};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

bool lies_below(const std::string& path, const std::string& directory) {
  return path.size() >= directory.size() && path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// The innermost; -1 where there is none. `rest` gets what follows it.
int pinned_above(const std::string& path, std::string& rest) {
  Pins& known = pins();
  SharedLock lock(known.mutex);
  const Pin* best = nullptr;
  for (const Pin& each : known.all) {
    if (lies_below(path, each.path) && (best == nullptr || each.path.size() > best->path.size())) best = &each;
  }
  if (best == nullptr) return -1;
  rest = path.substr(best->path.size());
  return best->fd;
}

// False where another directory is known by this path.
bool enter(const std::string& path, int fd) {
  Pins& known = pins();
  ExclusiveLock lock(known.mutex);
  const bool other = std::any_of(known.all.begin(), known.all.end(),
                                 [&](const Pin& each) { return each.path == path && !same_directory(each.fd, fd); });
  if (!other) known.all.push_back({path, fd});
  return !other;
}

// "" where it has been removed, or cannot be told.
std::string path_of(int fd) {
  std::array<char, PATH_MAX> target;
  const ssize_t size = ::readlink(place_of(fd).c_str(), target.data(), target.size());
  if (size <= 0 || target[0] != '/') return "";
  std::string path(target.data(), static_cast<size_t>(size));
  struct stat there {};
  struct stat own {};
  const bool same = ::stat(path.c_str(), &there) == 0 && ::fstat(fd, &own) == 0 && there.st_dev == own.st_dev &&
                    there.st_ino == own.st_ino;
  return same ? path : "";
}

}  // namespace

Result<std::shared_ptr<PinnedDirectory>> PinnedDirectory::pin(const std::string& path) {
  int fd = ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return Status(Code::kNotFound, "opening " + path + ": no such directory", ENOENT);
    return errno_status(errno, "opening " + path);
  }
  struct stat about {};
  if (::stat((place_of(fd) + "/.").c_str(), &about) != 0) {
    ::close(fd);
    fd = -1;
  }
  std::shared_ptr<PinnedDirectory> made(new PinnedDirectory(path, fd));
  if (fd < 0 || enter(path, fd)) return made;
  return Status(Code::kBusy, "this process still has the directory open that was " + path +
                                 " before it was moved; stop the process first");
}

PinnedDirectory::~PinnedDirectory() {
  if (fd_ < 0) return;
  {
    Pins& known = pins();
    ExclusiveLock lock(known.mutex);
    std::erase_if(known.all, [this](const Pin& each) { return each.fd == fd_; });
  }
  ::close(fd_);
}

std::string through_pins(const std::string& path) {
  std::string rest;
  const int fd = pinned_above(path, rest);
  return fd < 0 ? path : place_of(fd) + rest;
}

std::string where_now(const std::string& path) {
  std::string rest;
  const int fd = pinned_above(path, rest);
  const std::string now = fd < 0 ? "" : path_of(fd);
  return now.empty() ? path : now + rest;
}

std::string say_where(std::string text) {
  std::vector<Pin> known;
  {
    SharedLock lock(pins().mutex);
    known = pins().all;
  }
  for (const Pin& each : known) {
    const std::string place = place_of(each.fd) + "/";
    const std::string now = where_now(each.path) + "/";
    for (size_t at = text.find(place); at != std::string::npos; at = text.find(place, at + now.size())) {
      text.replace(at, place.size(), now);
    }
  }
  return text;
}

}  // namespace tidemark
