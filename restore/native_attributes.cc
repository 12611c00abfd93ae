#include "restore/native_attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tidemark {
namespace {

constexpr char kAccessAcl[] = "system.posix_acl_access";
constexpr char kDefaultAcl[] = "system.posix_acl_default";
// What every file system can keep; outside it we look whether this one did.
constexpr int64_t kSafeSecondsMin = INT32_MIN;
constexpr int64_t kSafeSecondsMax = INT32_MAX;

// An O_PATH descriptor serves calls that take a path; what it was opened on is what they reach, a symbolic link included.
std::string proc_path(const NativeHandle& handle) { return "/proc/self/fd/" + std::to_string(handle.fd.get()); }

int change_owner(const NativeHandle& handle, uid_t uid, gid_t gid) {
  return ::fchownat(handle.fd.get(), "", uid, gid, AT_EMPTY_PATH);
}

int change_mode(const NativeHandle& handle, mode_t mode) {
  return handle.path_only ? ::chmod(proc_path(handle).c_str(), mode) : ::fchmod(handle.fd.get(), mode);
}

int set_xattr(const NativeHandle& handle, const std::string& name, const std::string& value) {
  if (handle.path_only) return ::setxattr(proc_path(handle).c_str(), name.c_str(), value.data(), value.size(), 0);
  return ::fsetxattr(handle.fd.get(), name.c_str(), value.data(), value.size(), 0);
}

int change_times(const NativeHandle& handle, const timespec (&times)[2]) {
  if (handle.path_only) return ::utimensat(AT_FDCWD, proc_path(handle).c_str(), times, 0);
  return ::futimens(handle.fd.get(), times);
}

std::string reason(int error) { return std::string(" (") + std::strerror(error) + ")"; }

// Not a fault of this machine, but something it does not do for us.
bool is_refusal(int error) {
  return error == EPERM || error == EACCES || error == EOPNOTSUPP || error == EINVAL || error == E2BIG || error == ERANGE ||
         error == ENOSPC || error == EDQUOT;
}

// Attributes a file has before it gets its mode: a read-only file takes none any more from anybody but root.
bool goes_before_mode(std::string_view name) { return name.starts_with("user."); }

Status apply_xattrs(const NativeHandle& handle, const PlanEntry& entry, const PlanEntry& details, bool before_mode,
                    Warnings& warnings) {
  for (const auto& [name, value] : details.xattrs) {
    if (goes_before_mode(name) != before_mode || name.starts_with(kOwnXattrPrefix)) continue;
    if (set_xattr(handle, name, value) == 0) continue;
    if (!is_refusal(errno)) return errno_status(errno, "setting extended attribute " + name);
    warnings.add("extended attribute " + name + " is not kept" + reason(errno), entry.path);
  }
  return Status();
}

// True when the owner is what the entry says.
Result<bool> apply_owner(const NativeHandle& handle, const PlanEntry& entry, Warnings& warnings) {
  const Attr& attr = entry.attr;
  struct stat now {};
  auto look = [&] { return ::fstatat(handle.fd.get(), "", &now, AT_EMPTY_PATH); };
  if (look() != 0) return errno_status(errno, "looking at the owner");
  if (now.st_uid == attr.uid && now.st_gid == attr.gid) return true;
  if (change_owner(handle, attr.uid, attr.gid) == 0) return true;
  if (!is_refusal(errno)) return errno_status(errno, "setting the owner");
  int error = errno;
  // A group of one's own can be given even where the user cannot.
  static_cast<void>(change_owner(handle, static_cast<uid_t>(-1), attr.gid));
  if (look() != 0) return errno_status(errno, "looking at the owner");
  if (now.st_uid != attr.uid) warnings.add("the owner is not kept" + reason(error), entry.path);
  if (now.st_gid != attr.gid) warnings.add("the group is not kept" + reason(error), entry.path);
  return now.st_uid == attr.uid && now.st_gid == attr.gid;
}

Status apply_mode(const NativeHandle& handle, const PlanEntry& entry, bool owned, Warnings& warnings) {
  constexpr mode_t kRaising = S_ISUID | S_ISGID;
  mode_t mode = entry.attr.mode & 07777;
  if (!owned && (mode & kRaising) != 0 && !S_ISDIR(entry.attr.mode)) {
    warnings.add("set-user-id and set-group-id are left out because the owner is not kept", entry.path);
    mode &= ~kRaising;
  }
  if (change_mode(handle, mode) == 0) return Status();
  if (!is_refusal(errno)) return errno_status(errno, "setting the mode");
  warnings.add("the mode is not kept" + reason(errno), entry.path);
  return Status();
}

timespec to_timespec(const FileTime& time) {
  timespec made{};
  made.tv_sec = time.seconds;
  made.tv_nsec = time.nanoseconds;
  return made;
}

bool is_safe(const FileTime& time) { return time.seconds >= kSafeSecondsMin && time.seconds <= kSafeSecondsMax; }

Status apply_times(const NativeHandle& handle, const PlanEntry& entry, Warnings& warnings) {
  const Attr& attr = entry.attr;
  const timespec times[2] = {to_timespec(attr.atime), to_timespec(attr.mtime)};
  if (change_times(handle, times) != 0) {
    if (!is_refusal(errno)) return errno_status(errno, "setting the times");
    warnings.add("the times are not kept" + reason(errno), entry.path);
    return Status();
  }
  if (is_safe(attr.atime) && is_safe(attr.mtime)) return Status();
  struct stat now {};
  if (::fstatat(handle.fd.get(), "", &now, AT_EMPTY_PATH) != 0) return errno_status(errno, "looking at the times");
  if (now.st_atim.tv_sec != attr.atime.seconds || now.st_mtim.tv_sec != attr.mtime.seconds) {
    warnings.add("a time is out of range for this file system", entry.path);
  }
  return Status();
}

// Asks for the size, then for the content, until no one changes it in between.
template <class Call>
Result<std::string> fetch(Call call) {
  std::string content;
  while (true) {
    ssize_t size = call(nullptr, 0);
    if (size > 0) {
      content.resize(static_cast<size_t>(size));
      size = call(content.data(), content.size());
    }
    if (size >= 0) {
      content.resize(static_cast<size_t>(size));
      return content;
    }
    if (errno != ERANGE) return errno_status(errno, "reading extended attributes");
  }
}

bool has_xattr(const PlanEntry& entry, std::string_view name) {
  return std::any_of(entry.xattrs.begin(), entry.xattrs.end(), [name](const auto& one) { return one.first == name; });
}

void remove_xattr(const Fd& directory, const std::string& name, std::string_view path, Warnings& warnings) {
  if (::fremovexattr(directory.get(), name.c_str()) == 0 || errno == ENODATA || errno == EOPNOTSUPP) return;
  warnings.add("extended attribute " + name + " could not be removed" + reason(errno), path);
}

}  // namespace

Status apply_attributes(const NativeHandle& handle, const PlanEntry& entry, const PlanEntry& details, Warnings& warnings) {
  // Owner before mode: changing the owner clears set-user-id and capabilities. ACLs after the mode: they refine it.
  TM_TRY(apply_xattrs(handle, entry, details, true, warnings));
  TM_ASSIGN(bool owned, apply_owner(handle, entry, warnings));
  if (!S_ISLNK(entry.attr.mode)) TM_TRY(apply_mode(handle, entry, owned, warnings));
  TM_TRY(apply_xattrs(handle, entry, details, false, warnings));
  return apply_times(handle, entry, warnings);
}

void remove_acls(const Fd& directory, std::string_view path, Warnings& warnings) {
  remove_xattr(directory, kAccessAcl, path, warnings);
  remove_xattr(directory, kDefaultAcl, path, warnings);
}

void remove_other_xattrs(const Fd& directory, const PlanEntry& entry, Warnings& warnings) {
  Result<std::vector<std::string>> names = list_native_xattrs({directory, false});
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.starts_with("security.") || has_xattr(entry, name)) continue;
    remove_xattr(directory, name, entry.path, warnings);
  }
}

Result<std::vector<std::string>> list_native_xattrs(const NativeHandle& handle) {
  std::string path = proc_path(handle);
  Result<std::string> packed = fetch([&](char* out, size_t size) {
    return handle.path_only ? ::listxattr(path.c_str(), out, size) : ::flistxattr(handle.fd.get(), out, size);
  });
  std::vector<std::string> names;
  if (!packed.ok()) {
    if (packed.status().sys_errno() == EOPNOTSUPP) return names;
    return packed.status();
  }
  for (size_t at = 0; at < packed->size(); at += names.back().size() + 1) names.emplace_back(packed->c_str() + at);
  return names;
}

Result<std::string> get_native_xattr(const NativeHandle& handle, const std::string& name) {
  std::string path = proc_path(handle);
  Result<std::string> value = fetch([&](char* out, size_t size) {
    return handle.path_only ? ::getxattr(path.c_str(), name.c_str(), out, size)
                            : ::fgetxattr(handle.fd.get(), name.c_str(), out, size);
  });
  if (!value.ok() && value.status().sys_errno() == ENODATA) return Status(Code::kNoData, "no such extended attribute");
  return value;
}

}  // namespace tidemark
