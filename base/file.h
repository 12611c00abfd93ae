// Files as an interface: everything Tidemark writes itself goes through here (RocksDB's own files excepted), so that a test
// can lose, tear and reorder whatever was not synced, run out of space, fail, or flip a bit.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace tidemark {

// One open file. Thread-safe: calls carry their own position. Closed by the destructor (which reports nothing: sync first).
class File {
 public:
  virtual ~File() = default;
  // Reads up to out.size() bytes at `at` (bytes from the start); less only at the end of the file. Retries EINTR.
  virtual Result<size_t> read(uint64_t at, MutableBytes out) = 0;
  // Writes all parts, one after the other, at `at`. On failure an unknown part of them is written. At most 1024 parts.
  virtual Status write(uint64_t at, std::span<const iovec> parts) = 0;
  // Durable on return: every write() that returned before this call began (fdatasync: data and size).
  virtual Status sync() = 0;
  // Starts writing back a range without waiting; says nothing about durability.
  virtual Status start_writeback(uint64_t at, uint64_t size) = 0;
  // A hint: these bytes are wanted soon. Begins to fetch them without waiting, where that is possible.
  virtual void prefetch(uint64_t /*at*/, uint64_t /*size*/) {}
  // Drops these bytes from the page cache, where that is possible: the next read comes from the disk.
  virtual void forget(uint64_t /*at*/, uint64_t /*size*/) {}
  virtual Status truncate(uint64_t size) = 0;
  // Makes a hole: gives back the file system's blocks that lie wholly in this range, which read as zeros from then on. Other bytes stay as
  // they are, and so does the size. Durable with the next sync(). kUnsupported: the file system has no holes, also where the range lies
  // behind the end and there is nothing to give back.
  virtual Status punch(uint64_t /*at*/, uint64_t /*size*/) {
    return Status(Code::kUnsupported, "no holes can be made here");
  }
  virtual Result<uint64_t> size() = 0;
};

struct FileSystemSpace {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;       // free to root
  uint64_t available_bytes = 0;  // free to everyone
};

class FileSystem {
 public:
  enum class Open { kRead, kReadWrite, kCreateNew };  // kCreateNew: read-write; fails with kExists if it is there
  virtual ~FileSystem() = default;
  // kNotFound where there is no such file; kIo where there is a link, and nothing at its end. Created files have mode 0600, directories 0700.
  virtual Result<std::unique_ptr<File>> open(const std::string& path, Open how) = 0;
  virtual Status make_directory(const std::string& path) = 0;  // kExists
  virtual Status remove(const std::string& path) = 0;          // a file; kNotFound
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  // A symbolic link at `path` to the file `target` (an absolute path); kExists. open() follows it, remove() and rename() do not.
  virtual Status make_link(const std::string& path, const std::string& target) = 0;
  // Where the link at `path` leads; "" where there is no link.
  virtual Result<std::string> read_link(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  // names, sorted, without . and ..
  virtual Result<bool> exists(const std::string& path) = 0;
  // Makes creations, renames and removals in the directory durable.
  virtual Status sync_directory(const std::string& directory) = 0;
  virtual Result<FileSystemSpace> space(const std::string& path) = 0;
};

// The machine's files. Paths below a pinned directory lead there (base/pinned.h). Lives for ever; thread-safe.
FileSystem& posix_file_system();

// Whole small files. kTooLarge: it has more than `bytes_max`. write_file_atomically: after a crash the old or the new content, durable
// on return.
inline constexpr size_t kWholeFileMax = size_t{16} << 20;
Result<std::string> read_file(FileSystem& files, const std::string& path, size_t bytes_max = kWholeFileMax);
Status write_file_atomically(FileSystem& files, const std::string& path, std::string_view content);

}  // namespace tidemark
