#include "cli/source.h"

#include <limits.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "volume/group.h"

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

Result<Source> find_in_mounts(const SourceText& split) {
  TM_ASSIGN(auto mounts, list_mounts());
  std::string path = absolute_path(split.base);
  const MountedVolume* mount = find_mount(mounts, path);
  if (mount == nullptr) {
    return Status(Code::kNotFound, "'" + split.base + "' is neither a volume nor inside a Tidemark mount; `tidemark init " +
                                       split.base + "` makes a volume, `tidemark status` lists what is mounted");
  }
  Source source;
  if (!is_remote(mount->source) && !mount->source.starts_with("/")) {
    return Status(Code::kNotFound, "what is mounted at " + mount->mountpoint + " calls itself '" + mount->source +
                                       "', which names no volume");
  }
  if (is_remote(mount->source)) {
    TM_ASSIGN(source, find_remote(mount->source));
  } else {
    SourceText mounted = split_source(mount->source, path_exists);
    source.directory = mounted.base;
    source.text = mounted.base;
    source.point = mounted.point;
  }
  source.mountpoint = mount->mountpoint;
  source.inside = path.size() > mount->mountpoint.size() ? path.substr(mount->mountpoint.size() + 1) : "";
  if (std::string point = point_of_inside(source.inside); !point.empty()) source.point = point;
  return source;
}

Result<Source> find_local(std::string_view text) {
  SourceText split = split_source(text, path_exists);
  if (split.base.empty()) return Status(Code::kInvalid, "an empty path is no volume");
  Source source;
  Result<GroupIdentity> identity = Group::identify(split.base);
  // A damaged group.json makes it no less a volume: who opens it says so, and `verify` goes on.
  if (identity.ok() || identity.status().code() == Code::kCorrupt) {
    source.directory = absolute_path(split.base);
    source.text = split.base;
  } else {
    Result<Source> mounted = find_in_mounts(split);
    if (!mounted.ok() && identity.status().code() == Code::kIo) return identity.status();  // a disk that is gone
    if (!mounted.ok()) return mounted.status();
    source = std::move(mounted).value();
  }
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
    return Status(Code::kInvalid, "two points for one source: '@" + found->point + "' and '--at " + at + "'; give one");
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
