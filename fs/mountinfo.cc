#include "fs/mountinfo.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>

#include "fs/mount.h"

extern char** environ;

namespace tidemark::fs {
namespace {

std::string decode_octal(std::string_view text) {
  std::string decoded;
  auto octal = [](char c) { return c >= '0' && c <= '7'; };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) && octal(text[i + 3])) {
      decoded += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  size_t from = 0;
  while (from < line.size()) {
    size_t space = std::min(line.find(' ', from), line.size());
    if (space > from) found.push_back(line.substr(from, space - from));
    from = space + 1;
  }
  return found;
}

// `options`: "rw,nosuid,…"
bool has_option(std::string_view options, std::string_view option) {
  while (!options.empty()) {
    const size_t comma = std::min(options.find(','), options.size());
    if (options.substr(0, comma) == option) return true;
    options.remove_prefix(std::min(comma + 1, options.size()));
  }
  return false;
}

bool parse_device(std::string_view text, MountEntry& entry) {
  size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  auto number = [](std::string_view digits, uint32_t& value) {
    return std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc();
  };
  return number(text.substr(0, colon), entry.device_major) && number(text.substr(colon + 1), entry.device_minor);
}

Status fusermount(const std::string& mountpoint, bool lazy) {
  std::vector<const char*> arguments{"fusermount3", "-u", "-q"};
  if (lazy) arguments.push_back("-z");
  arguments.insert(arguments.end(), {"--", mountpoint.c_str(), nullptr});
  pid_t child = 0;
  int error = posix_spawnp(&child, "fusermount3", nullptr, nullptr, const_cast<char* const*>(arguments.data()), environ);
  if (error != 0) return errno_status(error, "starting fusermount3");
  int exit_status = 0;
  while (waitpid(child, &exit_status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0) return {};
  return {Code::kBusy, "fusermount3 could not unmount " + mountpoint + ": it is in use, or belongs to another user"};
}

}  // namespace

std::optional<MountEntry> parse_mountinfo_line(std::string_view line) {
  // ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS
  std::vector<std::string_view> word = words(line);
  size_t dash = 6;
  while (dash < word.size() && word[dash] != "-") ++dash;
  if (dash + 2 >= word.size()) return std::nullopt;
  MountEntry entry;
  if (!parse_device(word[2], entry)) return std::nullopt;
  std::from_chars(word[0].data(), word[0].data() + word[0].size(), entry.id);
  entry.root = decode_octal(word[3]);
  entry.mountpoint = decode_octal(word[4]);
  entry.type = decode_octal(word[dash + 1]);
  entry.source = decode_octal(word[dash + 2]);
  entry.read_only = has_option(word[5], "ro") || (dash + 3 < word.size() && has_option(word[dash + 3], "ro"));
  return entry;
}

Result<std::vector<MountEntry>> read_mountinfo(pid_t process) {
  const std::string path = "/proc/" + (process == 0 ? "self" : std::to_string(process)) + "/mountinfo";
  std::ifstream file(path);
  if (!file) return errno_status(errno, "opening " + path);
  std::vector<MountEntry> entries;
  for (std::string line; std::getline(file, line);) {
    if (auto entry = parse_mountinfo_line(line)) entries.push_back(std::move(*entry));
  }
  return entries;
}

Result<std::optional<MountEntry>> mount_at(const std::string& path) {
  TM_ASSIGN(std::vector<MountEntry> entries, read_mountinfo());
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->mountpoint == path) return std::optional<MountEntry>(std::move(*entry));
  }
  return std::optional<MountEntry>();
}

Result<std::string> canonical_mountpoint(const std::string& path) {
  auto resolve = [](const std::string& name) -> std::string {
    std::unique_ptr<char, decltype(&std::free)> real(realpath(name.c_str(), nullptr), &std::free);
    return real ? std::string(real.get()) : std::string();
  };
  if (path.empty()) return Status(Code::kInvalid, "the mountpoint is empty");
  if (std::string whole = resolve(path); !whole.empty()) return whole;
  const int error = errno;
  if (error == ENOENT) return Status(Code::kNotFound, "no such directory: " + path);
  if (error == ENOTDIR) return Status(Code::kNotDirectory, "not a directory: " + path);
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  size_t slash = trimmed.rfind('/');
  std::string parent = slash == std::string::npos ? "." : trimmed.substr(0, slash + 1);
  std::string last = slash == std::string::npos ? trimmed : trimmed.substr(slash + 1);
  std::string base = resolve(parent);
  if (base.empty()) return errno_status(error, "resolving " + path);
  return (base == "/" ? "" : base) + "/" + last;
}

Status detach(const std::string& mountpoint, bool lazy) {
  if (geteuid() != 0) return fusermount(mountpoint, lazy);
  if (umount2(mountpoint.c_str(), (lazy ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW) == 0) return {};
  switch (errno) {
    case EBUSY: return {Code::kBusy, mountpoint + " is in use; `fuser -vm " + mountpoint + "` shows by whom"};
    case EINVAL: return {Code::kInvalid, mountpoint + " is not a mountpoint"};
    case EPERM: return {Code::kPermission, "unmounting " + mountpoint + " is not allowed"};
    default: return errno_status(errno, "unmounting " + mountpoint);
  }
}

}  // namespace tidemark::fs

namespace tidemark {

Status unmount(const std::string& mountpoint, bool lazy) {
  using namespace std::chrono_literals;
  TM_ASSIGN(std::string path, fs::canonical_mountpoint(mountpoint));
  TM_ASSIGN(std::optional<fs::MountEntry> entry, fs::mount_at(path));
  if (!entry || entry->type != fs::kFilesystemType) {
    return {Code::kInvalid, path + " is not the mountpoint of a Tidemark volume"};
  }
  // A mark that is being made holds the mount open for a moment: a short wait spares an error that would be gone at once.
  Status result;
  for (int attempt = 0; attempt < 10; ++attempt) {
    result = fs::detach(path, lazy);
    if (result.code() != Code::kBusy) break;
    std::this_thread::sleep_for(50ms);
  }
  return result;
}

Result<std::vector<MountedVolume>> list_mounts(pid_t process) {
  TM_ASSIGN(std::vector<fs::MountEntry> entries, fs::read_mountinfo(process));
  std::vector<MountedVolume> volumes;
  for (fs::MountEntry& entry : entries) {
    if (entry.type == fs::kFilesystemType)
      volumes.push_back({std::move(entry.source), std::move(entry.mountpoint), entry.read_only});
  }
  return volumes;
}

}  // namespace tidemark
