#include "restore/safe_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "log/format/body.h"

namespace tidemark {
namespace {

// A resolution that raced with a rename answers EAGAIN: whoever keeps renaming for this long does it on purpose.
constexpr int kRetriesMax = 128;

int open_piece(int directory, const std::string& path, int flags, Mounts mounts, mode_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (mounts == Mounts::kStay) how.resolve |= RESOLVE_NO_XDEV;
  for (int attempt = 0;; ++attempt) {
    long fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if ((errno != EAGAIN && errno != EINTR) || attempt == kRetriesMax) return -1;
  }
}

}  // namespace

Status check_entry_name(std::string_view name) {
  if (name.empty()) return Status(Code::kCorrupt, "an entry without a name");
  if (name.size() > kNameMax) return Status(Code::kCorrupt, "a name of " + std::to_string(name.size()) + " bytes");
  if (name == "." || name == "..") return Status(Code::kCorrupt, "'" + std::string(name) + "' is not a valid entry name");
  if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos) {
    return Status(Code::kCorrupt, "'" + show_path(name) + "' is not a valid entry name: it contains a '/' or a zero byte");
  }
  return Status();
}

std::string show_path(std::string_view path) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string shown = "/";
  for (char c : path) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      shown += "\\x";
      shown += kDigits[byte >> 4];
      shown += kDigits[byte & 15];
    } else {
      shown += c;
    }
  }
  return shown;
}

std::string_view entry_name(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view parent_path(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

Fd open_beneath(int directory, std::string_view path, int flags, Mounts mounts, mode_t mode) {
  if (path.find('\0') != std::string_view::npos) {
    errno = EINVAL;
    return Fd();
  }
  Fd reached;  // the directory in which the rest of the path is looked up, once it is not `directory` any more
  while (path.size() >= PATH_MAX) {
    size_t slash = path.rfind('/', PATH_MAX - 2);
    if (slash == std::string_view::npos || slash == 0) {
      errno = ENAMETOOLONG;
      return Fd();
    }
    int at = reached.valid() ? reached.get() : directory;
    Fd next(open_piece(at, std::string(path.substr(0, slash)), O_PATH | O_DIRECTORY | O_NOFOLLOW, mounts, 0));
    if (!next.valid()) return Fd();
    reached = std::move(next);
    path.remove_prefix(slash + 1);
  }
  int at = reached.valid() ? reached.get() : directory;
  Fd opened(open_piece(at, path.empty() ? "." : std::string(path), flags, mounts, mode));
  int error = errno;  // survives the closing of what was opened on the way
  reached = Fd();
  errno = error;
  return opened;
}

}  // namespace tidemark
