#include "tests/support/compare_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

namespace tidemark::test {
namespace {

constexpr off_t kBlock = 4096;
constexpr size_t kPiece = size_t{1} << 20;

std::string join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

int open_quietly(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOATIME);
  return fd >= 0 || errno != EPERM ? fd : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

std::set<std::string> names_in(const std::string& path) {
  std::set<std::string> names;
  int fd = open_quietly(path);
  DIR* directory = fd < 0 ? nullptr : ::fdopendir(fd);
  if (directory == nullptr) return names;
  while (const dirent* entry = ::readdir(directory)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.insert(name);
  }
  ::closedir(directory);
  return names;
}

std::map<std::string, std::string> xattrs_of(const std::string& path) {
  std::map<std::string, std::string> found;
  std::string names(65536, '\0');
  ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    std::string name = names.c_str() + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    if (name == "security.selinux" || name.starts_with("user.tidemark.")) continue;
    std::string value(65536, '\0');
    ssize_t length = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    value.resize(length < 0 ? 0 : static_cast<size_t>(length));
    found[name] = value;
  }
  return found;
}

std::string link_target(const std::string& path) {
  std::string target(8192, '\0');
  ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  target.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return target;
}

std::string time_text(const timespec& time) {
  char text[64];
  std::snprintf(text, sizeof text, "%lld.%09ld", static_cast<long long>(time.tv_sec), time.tv_nsec);
  return text;
}

std::string octal(mode_t mode) {
  char text[32];
  std::snprintf(text, sizeof text, "%o", static_cast<unsigned>(mode));
  return text;
}

// The block-aligned runs of data of an open file.
std::vector<std::pair<off_t, off_t>> data_of(int fd, off_t size) {
  std::vector<std::pair<off_t, off_t>> runs;
  for (off_t at = 0; at < size;) {
    off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0) break;
    off_t hole = ::lseek(fd, data, SEEK_HOLE);
    off_t from = data / kBlock * kBlock;
    off_t to = std::min((hole + kBlock - 1) / kBlock * kBlock, size);
    if (!runs.empty() && runs.back().second >= from) {
      runs.back().second = to;
    } else {
      runs.emplace_back(from, to);
    }
    at = hole;
  }
  return runs;
}

class Comparison {
 public:
  Comparison(std::string here, std::string there, const CompareOptions& options)
      : here_(std::move(here)), there_(std::move(there)), options_(options) {}

  std::vector<std::string> run() {
    entry("");
    return std::move(differences_);
  }

 private:
  bool full() const { return differences_.size() >= options_.differences_max; }
  void differ(const std::string& path, const std::string& what) {
    if (!full()) differences_.push_back((path.empty() ? "." : path) + ": " + what);
  }
  void compare(const std::string& path, const char* what, const std::string& here, const std::string& there) {
    if (here != there) differ(path, std::string(what) + " " + here + " here, " + there + " there");
  }

  void entry(const std::string& path) {
    struct stat a {
    }, b{};
    std::string here = here_ + "/" + path, there = there_ + "/" + path;
    if (::lstat(here.c_str(), &a) != 0)
      return differ(path, std::string("cannot be looked at here: ") + std::strerror(errno));
    if (::lstat(there.c_str(), &b) != 0)
      return differ(path, std::string("cannot be looked at there: ") + std::strerror(errno));
    compare(path, "type and mode", octal(a.st_mode), octal(b.st_mode));
    if ((a.st_mode & S_IFMT) != (b.st_mode & S_IFMT)) return;
    attributes(path, a, b);
    identity(path, a, b);
    if (S_ISLNK(a.st_mode)) compare(path, "symbolic link to", link_target(here), link_target(there));
    if (S_ISREG(a.st_mode) && a.st_size == b.st_size) content(path, here, there, a.st_size);
    if (S_ISDIR(a.st_mode)) directory(path, here, there);
  }

  void attributes(const std::string& path, const struct stat& a, const struct stat& b) {
    if (options_.owners) {
      compare(path, "uid", std::to_string(a.st_uid), std::to_string(b.st_uid));
      compare(path, "gid", std::to_string(a.st_gid), std::to_string(b.st_gid));
    }
    bool is_directory = S_ISDIR(a.st_mode);
    if (!is_directory) compare(path, "size", std::to_string(a.st_size), std::to_string(b.st_size));
    if (S_ISCHR(a.st_mode) || S_ISBLK(a.st_mode)) {
      compare(path, "device", std::to_string(a.st_rdev), std::to_string(b.st_rdev));
    }
    if (options_.mtime && (options_.directory_mtime || !is_directory)) {
      compare(path, "mtime", time_text(a.st_mtim), time_text(b.st_mtim));
    }
    // A symbolic link cannot be read without changing its atime.
    if (options_.atime && !S_ISLNK(a.st_mode)) compare(path, "atime", time_text(a.st_atim), time_text(b.st_atim));
    if (!options_.xattrs) return;
    auto here = xattrs_of(here_ + "/" + path), there = xattrs_of(there_ + "/" + path);
    for (const auto& [name, value] : here) {
      if (!there.contains(name))
        differ(path, "extended attribute " + name + " is missing there");
      else if (there[name] != value)
        differ(path, "extended attribute " + name + " differs");
    }
    for (const auto& [name, value] : there) {
      if (!here.contains(name)) differ(path, "extended attribute " + name + " is missing here");
    }
  }

  // Two names are one inode here exactly if they are one there.
  void identity(const std::string& path, const struct stat& a, const struct stat& b) {
    if (S_ISDIR(a.st_mode)) return;
    auto [first_here, new_here] = first_here_.emplace(std::pair{a.st_dev, a.st_ino}, path);
    auto [first_there, new_there] = first_there_.emplace(std::pair{b.st_dev, b.st_ino}, path);
    compare(path, "the same inode as", new_here ? "nothing" : first_here->second,
            new_there ? "nothing" : first_there->second);
  }

  void directory(const std::string& path, const std::string& here, const std::string& there) {
    std::set<std::string> names = names_in(here), others = names_in(there);
    for (const std::string& name : others) {
      if (!names.contains(name)) differ(join(path, name), "is missing here");
    }
    for (const std::string& name : names) {
      if (full()) return;
      if (others.contains(name)) {
        entry(join(path, name));
      } else {
        differ(join(path, name), "is missing there");
      }
    }
  }

  void content(const std::string& path, const std::string& here, const std::string& there, off_t size) {
    int a = open_quietly(here), b = open_quietly(there);
    if (a < 0 || b < 0) {
      differ(path, std::string("cannot be opened: ") + std::strerror(errno));
    } else {
      auto runs = data_of(a, size), others = data_of(b, size);
      if (options_.holes && runs != others) differ(path, "its holes are elsewhere");
      // What is a hole on both sides is equal; everything else is read on both.
      runs.insert(runs.end(), others.begin(), others.end());
      for (const auto& [from, to] : runs) {
        if (!bytes(path, a, b, from, to)) break;
      }
    }
    if (a >= 0) ::close(a);
    if (b >= 0) ::close(b);
  }

  bool bytes(const std::string& path, int a, int b, off_t from, off_t to) {
    std::string here(kPiece, '\0'), there(kPiece, '\0');
    while (from < to) {
      size_t size = std::min(kPiece, static_cast<size_t>(to - from));
      ssize_t got = ::pread(a, here.data(), size, from);
      ssize_t other = ::pread(b, there.data(), size, from);
      if (got <= 0 || got != other) {
        differ(path, "cannot be read at byte " + std::to_string(from) + ": " + std::to_string(got) + " bytes here, " +
                         std::to_string(other) + " there (" + std::strerror(errno) + ")");
        return false;
      }
      if (std::memcmp(here.data(), there.data(), static_cast<size_t>(got)) != 0) {
        auto first = std::mismatch(here.begin(), here.begin() + got, there.begin()).first - here.begin();
        differ(path, "content differs at byte " + std::to_string(from + first));
        return false;
      }
      from += got;
    }
    return true;
  }

  std::string here_;
  std::string there_;
  CompareOptions options_;
  std::vector<std::string> differences_;
  std::map<std::pair<dev_t, ino_t>, std::string> first_here_;
  std::map<std::pair<dev_t, ino_t>, std::string> first_there_;
};

}  // namespace

std::vector<std::string> compare_trees(const std::string& here, const std::string& there, const CompareOptions& options) {
  return Comparison(here, there, options).run();
}

}  // namespace tidemark::test
