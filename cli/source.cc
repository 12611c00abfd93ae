#include "cli/source.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "cli/service/closing.h"
#include "fs/mountinfo.h"
#include "volume/group/group.h"
#include "volume/group/occupied.h"

namespace tidemark::cli {
namespace {

// Anything that is there in some form: a mountpoint whose daemon died answers ENOTCONN, but it exists.
bool path_exists(const std::string& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

Result<Source> find_remote(std::string_view text) {
  Source source;
  SourceText split = split_source(text, [](const std::string&) { return false; });
  source.remote = true;
  source.text = split.base;
  source.point = split.point;
  TM_ASSIGN(source.address, parse_remote(split.base));
  return source;
}

// ".tidemark/at/POINT/…" inside a mount names a point by itself.
std::string point_of_inside(const std::string& inside) {
  static constexpr std::string_view kAt = ".tidemark/at/";
  if (!inside.starts_with(kAt)) return "";
  std::string rest = inside.substr(kAt.size());
  return rest.substr(0, rest.find('/'));
}

// The mount of ours in which `path` (absolute) lies; nothing where the innermost mount there is another file system's.
Result<std::optional<MountedVolume>> mount_around(const std::string& path) {
  TM_ASSIGN(const auto entries, fs::read_mountinfo());
  std::vector<MountedVolume> mounts;
  for (const fs::MountEntry& entry : entries) {
    mounts.push_back({entry.type == fs::kFilesystemType ? entry.source : std::string(), entry.mountpoint});
  }
  const MountedVolume* innermost = find_mount(mounts, path);
  if (innermost == nullptr || innermost->source.empty()) return std::optional<MountedVolume>();
  return std::optional<MountedVolume>(*innermost);
}

// A volume that is kept in another one's mount. A file called group.json does not make one, and nothing in the root of a mount does:
// whoever may write in a mount could hide it from us.
bool is_kept_in_mount(const std::string& path, const MountedVolume& mount) {
  if (path == mount.mountpoint || !Group::identify(path).ok()) return false;
  const int fd = ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  const bool kept = fd >= 0 && is_groups_place(fd);
  if (fd >= 0) ::close(fd);
  return kept;
}

Result<Source> source_of_mount(const std::string& path, const MountedVolume& mount) {
  Source source;
  const std::string mounted_source = mounted_now(mount);
  if (!is_remote(mounted_source) && !mounted_source.starts_with("/")) {
    return Status(Code::kNotFound,
                  "the mount at " + mount.mountpoint + " names '" + mount.source + "' as its source, which is not a volume");
  }
  if (is_remote(mounted_source)) {
    TM_ASSIGN(source, find_remote(mounted_source));
  } else {
    SourceText mounted = split_source(mounted_source, path_exists);
    source.directory = mounted.base;
    source.text = mounted.base;
    source.point = mounted.point;
  }
  source.mountpoint = mount.mountpoint;
  source.inside = path.size() > mount.mountpoint.size() ? path.substr(mount.mountpoint.size() + 1) : "";
  if (std::string point = point_of_inside(source.inside); !point.empty()) source.point = point;
  return source;
}

// A volume's own directory.
Result<Source> source_of_directory(const std::string& text) {
  Source source;
  Result<GroupIdentity> identity = Group::identify(text);
  // A damaged group.json makes it no less a volume: who opens it says so, and `verify` goes on.
  if (identity.ok() || identity.status().code() == Code::kCorrupt) {
    source.directory = absolute_path(text);
    source.text = text;
    return source;
  }
  if (identity.status().code() == Code::kIo) return identity.status();  // a disk that is gone
  return Status(Code::kNotFound, "'" + text + "' is neither a volume nor inside a Tidemark mount; `tidemark init " + text +
                                     "` creates a volume, `tidemark status` lists the mounts");
}

Result<Source> find_local(std::string_view text) {
  SourceText split = split_source(text, path_exists);
  if (split.base.empty()) return Status(Code::kInvalid, "the path is empty");
  const std::string path = absolute_path(split.base);
  TM_ASSIGN(const std::optional<MountedVolume> mount, mount_around(path));
  const bool in_mount = mount && !is_kept_in_mount(path, *mount);
  TM_ASSIGN(Source source, in_mount ? source_of_mount(path, *mount) : source_of_directory(split.base));
  if (split.has_point) source.point = split.point;
  return source;
}

}  // namespace

SourceText split_source(std::string_view text, const std::function<bool(const std::string&)>& exists) {
  SourceText split{std::string(text), "", false};
  size_t at = text.rfind('@');
  if (at == std::string_view::npos || text.find('/', at) != std::string_view::npos || exists(split.base)) return split;
  split.base = std::string(text.substr(0, at));
  split.point = std::string(text.substr(at + 1));
  split.has_point = true;
  return split;
}

std::string Source::full_text() const { return point.empty() ? text : text + "@" + point; }

Result<Source> find_source(std::string_view text, const std::string& at) {
  Result<Source> found = is_remote(text) ? find_remote(text) : find_local(text);
  if (!found.ok() || at.empty()) return found;
  if (!found->point.empty() && found->point != at) {
    return Status(Code::kInvalid, "'@" + found->point + "' and '--at " + at + "' both name a point; give only one");
  }
  found->point = at;
  return found;
}

std::string absolute_path(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) != nullptr) return resolved;
  std::error_code ignored;
  std::filesystem::path whole = std::filesystem::absolute(path, ignored).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  std::string parent = whole.parent_path().string();
  if (parent.empty() || parent == whole.string()) return whole.string();
  std::string above = absolute_path(parent);
  return (above == "/" ? "" : above) + "/" + whole.filename().string();
}

std::string mounted_now(const MountedVolume& mount) {
  if (!mount.source.starts_with("/")) return mount.source;
  const auto holder = lock_holder(mount.source);
  const bool there = holder.ok() && *holder && (*holder)->purpose == kMountPurpose + mount.mountpoint;
  if (there) return mount.source;
  char value[PATH_MAX];
  const ssize_t size = ::getxattr(mount.mountpoint.c_str(), fs::kDirectoryXattr, value, sizeof value);
  if (size <= 0) return mount.source;
  const std::string told(value, static_cast<size_t>(size));
  return Group::identify(told).ok() ? told : mount.source;
}

const MountedVolume* find_mount(const std::vector<MountedVolume>& mounts, const std::string& path) {
  const MountedVolume* best = nullptr;
  for (const MountedVolume& mount : mounts) {
    const std::string& point = mount.mountpoint;
    bool inside = path == point || point == "/" || (path.starts_with(point) && path[point.size()] == '/');
    if (inside && (best == nullptr || point.size() >= best->mountpoint.size())) best = &mount;
  }
  return best;
}

}  // namespace tidemark::cli
