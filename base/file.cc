#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "base/pinned.h"

namespace tidemark {
namespace {

Status failure(int error, const std::string& what, const std::string& named) {
  const std::string path = where_now(named);
  if (error == ENOENT) return Status(Code::kNotFound, what + " " + path + ": no such file or directory", error);
  if (error == EEXIST) return Status(Code::kExists, what + " " + path + ": it exists already", error);
  return errno_status(error, what + " " + path);
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { ::close(fd_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Result<size_t> read(uint64_t at, MutableBytes out) override {
    size_t done = 0;
    while (done < out.size()) {
      ssize_t got = ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(at + done));
      if (got < 0) {
        if (errno == EINTR) continue;
        return failure(errno, "reading", path_);
      }
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Status write(uint64_t at, std::span<const iovec> parts) override {
    CHECK_INVARIANT(parts.size() <= 1024);
    ssize_t put = ::pwritev(fd_, parts.data(), static_cast<int>(parts.size()), static_cast<off_t>(at));
    size_t total = 0;
    for (const iovec& part : parts) total += part.iov_len;
    if (put >= 0 && static_cast<size_t>(put) == total) return Status();
    return write_rest(at, parts, put);
  }

  Status sync() override {
    if (::fdatasync(fd_) != 0) return failure(errno, "syncing", path_);
    return Status();
  }

  Status start_writeback(uint64_t at, uint64_t size) override {
    if (::sync_file_range(fd_, static_cast<off_t>(at), static_cast<off_t>(size), SYNC_FILE_RANGE_WRITE) != 0) {
      return failure(errno, "writing back", path_);
    }
    return Status();
  }

  void prefetch(uint64_t at, uint64_t size) override {
    ::posix_fadvise(fd_, static_cast<off_t>(at), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
  }

  void forget(uint64_t at, uint64_t size) override {
    ::posix_fadvise(fd_, static_cast<off_t>(at), static_cast<off_t>(size), POSIX_FADV_DONTNEED);
  }

  Status truncate(uint64_t size) override {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) return failure(errno, "truncating", path_);
    return Status();
  }

  Status punch(uint64_t at, uint64_t size) override {
    struct statvfs info {};
    if (::fstatvfs(fd_, &info) != 0) return failure(errno, "reading the block size of", path_);
    const uint64_t block = std::max<uint64_t>(info.f_bsize, 1);
    const uint64_t from = (at + block - 1) / block * block;
    const uint64_t to = (at + size) / block * block;
    if (from >= to) return Status();
    if (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from),
                    static_cast<off_t>(to - from)) == 0)
      return Status();
    if (errno == EOPNOTSUPP || errno == ENOSYS)
      return Status(Code::kUnsupported, "the file system of " + where_now(path_) + " does not support holes in files",
                    errno);
    return failure(errno, "making a hole in", path_);
  }

  Result<uint64_t> size() override {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return failure(errno, "reading the size of", path_);
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  // A short or interrupted write: the remaining bytes, one part at a time. `first` is what the first attempt returned.
  Status write_rest(uint64_t at, std::span<const iovec> parts, ssize_t first) {
    if (first < 0 && errno != EINTR) return failure(errno, "writing", path_);
    size_t skip = first < 0 ? 0 : static_cast<size_t>(first);
    for (const iovec& part : parts) {
      size_t done = std::min(skip, part.iov_len);
      skip -= done;
      while (done < part.iov_len) {
        ssize_t put = ::pwrite(fd_, static_cast<const char*>(part.iov_base) + done, part.iov_len - done,
                               static_cast<off_t>(at + done));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return failure(put < 0 ? errno : ENOSPC, "writing", path_);
        done += static_cast<size_t>(put);
      }
      at += part.iov_len;
    }
    return Status();
  }

  int fd_;
  std::string path_;
};

// The free space of a file system that counts none (ramfs, some network ones: statfs says 0 blocks). It is not full; once it is, it
// says so itself.
constexpr uint64_t kUncountedBytes = uint64_t{1} << 60;

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, Open how) override {
    int flags = how == Open::kRead ? O_RDONLY : O_RDWR;
    if (how == Open::kCreateNew) flags |= O_CREAT | O_EXCL;
    int fd = ::open(through_pins(path).c_str(), flags | O_CLOEXEC, 0600);
    if (fd < 0) return open_failure(errno, path);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
  }

  Status make_directory(const std::string& path) override {
    if (::mkdir(through_pins(path).c_str(), 0700) != 0) return failure(errno, "creating directory", path);
    return Status();
  }

  Status remove(const std::string& path) override {
    if (::unlink(through_pins(path).c_str()) != 0) return failure(errno, "removing", path);
    return Status();
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(through_pins(from).c_str(), through_pins(to).c_str()) == 0) return Status();
    const int error = errno;
    return failure(error, "renaming to " + where_now(to) + " from", from);
  }

  Status make_link(const std::string& path, const std::string& target) override {
    if (::symlink(target.c_str(), through_pins(path).c_str()) != 0) return failure(errno, "creating link", path);
    return Status();
  }

  Result<std::string> read_link(const std::string& path) override {
    std::array<char, PATH_MAX> target;
    const ssize_t size = ::readlink(through_pins(path).c_str(), target.data(), target.size());
    if (size >= 0) return std::string(target.data(), static_cast<size_t>(size));
    if (errno == EINVAL || errno == ENOENT || errno == ENOTDIR) return std::string();
    return failure(errno, "reading link", path);
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    DIR* stream = ::opendir(through_pins(directory).c_str());
    if (stream == nullptr) return failure(errno, "listing", directory);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(stream)) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    ::closedir(stream);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<bool> exists(const std::string& path) override {
    struct stat info {};
    if (::lstat(through_pins(path).c_str(), &info) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return failure(errno, "looking for", path);
  }

  Status sync_directory(const std::string& directory) override {
    int fd = ::open(through_pins(directory).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failure(errno, "opening", directory);
    int error = ::fsync(fd) == 0 ? 0 : errno;
    ::close(fd);
    return error == 0 ? Status() : failure(error, "syncing", directory);
  }

  Result<FileSystemSpace> space(const std::string& path) override {
    struct statvfs info {};
    if (::statvfs(through_pins(path).c_str(), &info) != 0) return failure(errno, "reading the free space of", path);
    if (info.f_blocks == 0) return FileSystemSpace{0, kUncountedBytes, kUncountedBytes};
    return FileSystemSpace{info.f_blocks * info.f_frsize, info.f_bfree * info.f_frsize, info.f_bavail * info.f_frsize};
  }

 private:
  Status open_failure(int error, const std::string& path) {
    const auto target = read_link(path);
    if (error != ENOENT || !target.ok() || target->empty()) return failure(error, "opening", path);
    return Status(Code::kIo, where_now(path) + " points to " + *target + ", which does not exist; is its disk mounted?",
                  error);
  }
};

std::string parent_of(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem files;
  return files;
}

Result<std::string> read_file(FileSystem& files, const std::string& path, size_t bytes_max) {
  TM_ASSIGN(auto file, files.open(path, FileSystem::Open::kRead));
  TM_ASSIGN(uint64_t size, file->size());
  if (size > bytes_max) {
    return Status(Code::kTooLarge, path + " is over " + std::to_string(bytes_max >> 20) + " MiB");
  }
  std::string content(size, '\0');
  TM_ASSIGN(size_t got, file->read(0, {reinterpret_cast<std::byte*>(content.data()), content.size()}));
  content.resize(got);
  return content;
}

Status write_file_atomically(FileSystem& files, const std::string& path, std::string_view content) {
  const std::string scratch = path + ".new";
  if (Status removed = files.remove(scratch); !removed.ok() && removed.code() != Code::kNotFound) return removed;
  TM_ASSIGN(auto file, files.open(scratch, FileSystem::Open::kCreateNew));
  iovec part{const_cast<char*>(content.data()), content.size()};
  TM_TRY(file->write(0, {&part, 1}));
  TM_TRY(file->sync());
  TM_TRY(files.rename(scratch, path));
  return files.sync_directory(parent_of(path));
}

}  // namespace tidemark
