#include "volume/group/occupied.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>

#include "base/fd.h"
#include "log/format/segment.h"

namespace tidemark {
namespace {

constexpr int kAncestorsMax = PATH_MAX;  // directories above one another: more than a path can name
constexpr size_t kSegmentNameBytes = 24;

struct CloseDir {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Listing = std::unique_ptr<DIR, CloseDir>;

Listing open_listing(int parent, const char* name) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return nullptr;
  Listing listing(::fdopendir(fd));
  if (listing == nullptr) ::close(fd);
  return listing;
}

// Calls visit(name) until it answers true; then true.
bool any_entry(DIR* listing, const std::function<bool(const std::string&)>& visit) {
  while (const dirent* entry = ::readdir(listing)) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && visit(name)) return true;
  }
  return false;
}

// In a log "00000000000000000001.seg"; in a pool with the group and the place before it.
bool is_segment(const std::string& name) {
  return name.size() >= kSegmentNameBytes && segment_first_seq(name.substr(name.size() - kSegmentNameBytes)).has_value();
}

bool holds_segments(int parent, const char* name) {
  const Listing listing = open_listing(parent, name);
  return listing != nullptr && any_entry(listing.get(), is_segment);
}

std::string path_of(int fd, const std::string& otherwise) {
  char path[PATH_MAX];
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : otherwise;
}

class Ancestor {
 public:
  explicit Ancestor(int fd) : fd_(fd) {}
  [[nodiscard]] int fd() const { return fd_.get(); }
  // False at the root, and where nobody may look further up.
  bool climb() {
    struct stat here {};
    struct stat above {};
    Fd parent(::openat(fd(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const bool higher = parent.valid() && ::fstat(fd(), &here) == 0 && ::fstat(parent.get(), &above) == 0 &&
                        (here.st_dev != above.st_dev || here.st_ino != above.st_ino);
    if (parent.valid()) fd_ = std::move(parent);
    return higher;
  }

 private:
  Fd fd_;
};

}  // namespace

bool is_groups_place(int directory) { return holds_segments(directory, "log") || holds_segments(directory, "."); }

Status check_outside_groups(int directory, const std::string& what) {
  Ancestor here(::openat(directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (here.fd() < 0) return errno_status(errno, "looking at " + what);
  for (int level = 0; level < kAncestorsMax; ++level) {
    if (is_groups_place(here.fd())) {
      const std::string place = path_of(here.fd(), "a group's directory");
      const std::string how = level == 0 ? " holds a Tidemark volume or a copy of one"
                                         : " is inside " + place + ", which holds a Tidemark volume or a copy of one";
      return Status(Code::kInvalid, what + how + ": writing there would destroy it; choose another place");
    }
    if (!here.climb()) return Status();
  }
  return Status(Code::kLimit, what + " is nested too deep to be checked");
}

Status check_holds_no_group(int directory, const std::string& what) {
  const Listing listing = open_listing(directory, ".");
  if (listing == nullptr) return Status();
  std::string found;
  const auto is_group = [&](const std::string& name) {
    if (!holds_segments(directory, (name + "/log").c_str())) return false;
    found = name;
    return true;
  };
  if (!any_entry(listing.get(), is_group)) return Status();
  return Status(Code::kInvalid,
                what + " holds '" + found +
                    "', a volume or a site's copy of one: writing there could destroy it; choose another place");
}

Status check_new_outside_groups(const std::string& path, const std::string& what) {
  std::filesystem::path whole(path);
  if (!whole.has_filename()) whole = whole.parent_path();  // "DIR/"
  // What is there already may be a link: its own parent counts then.
  for (const std::string& parent : {whole.string() + "/..", whole.has_parent_path() ? whole.parent_path().string() : "."}) {
    const int fd = ::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) continue;
    Status outside = check_outside_groups(fd, what);
    ::close(fd);
    return outside;
  }
  return Status();
}

}  // namespace tidemark
