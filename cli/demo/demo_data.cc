#include "cli/demo/demo_data.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "base/check.h"
#include "cli/service/child.h"

namespace tidemark::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSparseBytes = 64u << 20;

Status failed(const std::string& what) { return errno_status(errno, what); }

// Names of what is not a directory below `root`, relative to it, sorted.
std::vector<std::string> files_below(const fs::path& root) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator end;
  for (fs::recursive_directory_iterator at(root, fs::directory_options::skip_permission_denied, error); !error && at != end;
       at.increment(error)) {
    if (at->is_symlink(error) || at->is_regular_file(error)) files.push_back(at->path().lexically_relative(root).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Status write_text(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::app);
  file << text;
  file.close();
  return file.good() ? Status() : failed("cannot write " + path);
}

// A file of 64 MiB that holds 12 KiB.
Status make_sparse(const std::string& path) {
  int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);
  if (fd < 0) return failed("cannot make " + path);
  const std::string island(4096, 'i');
  bool good = ::ftruncate(fd, static_cast<off_t>(kSparseBytes)) == 0;
  for (uint64_t at : {uint64_t{0}, kSparseBytes / 2, kSparseBytes - 4096}) {
    good = good && ::pwrite(fd, island.data(), island.size(), static_cast<off_t>(at)) == static_cast<ssize_t>(island.size());
  }
  good = ::close(fd) == 0 && good;
  return good ? Status() : failed("cannot write " + path);
}

Status make_special_cases(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  TM_TRY(write_text(folder + "/first-name", "one file, two names\n"));
  TM_TRY(make_sparse(folder + "/sparse"));
  TM_TRY(write_text(folder + "/odd mode", "mode 01640, old times\n"));
  TM_TRY(write_text(folder + "/ends in \xff\xfe", "a name that is not UTF-8\n"));
  const timespec times[2] = {{.tv_sec = -86400, .tv_nsec = 1}, {.tv_sec = 1'000'000'000, .tv_nsec = 123'456'789}};
  bool good = ::link((folder + "/first-name").c_str(), (folder + "/second-name").c_str()) == 0 &&
              ::symlink("../nowhere/in particular", (folder + "/symlink").c_str()) == 0 &&
              ::setxattr((folder + "/first-name").c_str(), "user.demo", "kept", 4, 0) == 0 &&
              ::chmod((folder + "/odd mode").c_str(), 01640) == 0 &&
              ::utimensat(AT_FDCWD, (folder + "/odd mode").c_str(), times, 0) == 0 &&
              ::mkfifo((folder + "/fifo").c_str(), 0600) == 0;
  return good ? Status() : failed("cannot make the special cases in " + folder);
}

}  // namespace

Status check_tools() {
  for (const char* tool : {"sqlite3", "rsync"}) {
    if (Status found = run_child({tool, "--version"}).status(); !found.ok()) {
      return found.code() == Code::kNotFound ? Status(Code::kNotFound, "the demonstration needs " + std::string(tool) +
                                                                           ": `apt-get install sqlite3 rsync`")
                                             : found;
    }
  }
  return Status();
}

Status add_orders(const std::string& database, uint64_t rows) {
  std::string sql =
      "PRAGMA journal_mode=WAL;\n"
      "CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, customer TEXT, cents INTEGER, note TEXT);\n"
      "CREATE INDEX IF NOT EXISTS by_customer ON orders(customer);\n"
      "BEGIN;\n"
      "INSERT INTO orders(customer, cents, note)\n"
      "  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
      std::to_string(rows) +
      ")\n"
      "  SELECT 'customer ' || (i * 7919 % 500), abs(random()) % 100000, hex(randomblob(40)) FROM n;\n"
      "COMMIT;\n";
  return run_child({"sqlite3", "-bail", database}, sql).status();
}

Result<std::string> ask_database(const std::string& database) {
  TM_ASSIGN(Finished asked,
            run_child({"sqlite3", "-bail", database},
                      "PRAGMA integrity_check;\nSELECT count(*) || ' orders, sum ' || sum(cents) FROM orders;\n"));
  size_t line = asked.out.find('\n');
  if (asked.out.substr(0, line) != "ok") return Status(Code::kCorrupt, "SQLite's integrity check: " + asked.out);
  std::string answer = asked.out.substr(line + 1);
  while (!answer.empty() && answer.back() == '\n') answer.pop_back();
  return answer;
}

Result<TreeSize> measure_tree(const std::string& directory) {
  TreeSize size;
  std::error_code error;
  fs::recursive_directory_iterator end;
  for (fs::recursive_directory_iterator at(directory, error); !error && at != end; at.increment(error)) {
    ++size.entries;
    if (at->is_regular_file(error) && !at->is_symlink(error)) size.bytes += at->file_size(error);
  }
  if (error) return errno_status(error.value(), "cannot read " + directory);
  return size;
}

Result<std::string> copy_source_tree(const std::string& to, size_t files_max) {
  for (const char* from : {"/usr/include", "/usr/share", "/etc"}) {
    std::vector<std::string> files = files_below(from);
    if (files.size() < 100) continue;
    if (files.size() > files_max) files.resize(files_max);
    std::string list;
    for (const std::string& file : files) list.append(file).push_back('\0');
    TM_TRY(run_child({"rsync", "-aHAX", "--files-from=-", "--from0", std::string(from) + "/", to + "/"}, list).status());
    TM_TRY(make_special_cases(to + "/special"));
    return std::string(from);
  }
  return Status(Code::kNotFound, "neither /usr/include nor /usr/share nor /etc has 100 files to copy");
}

Status edit_tree(const std::string& tree) {
  std::vector<std::string> files = files_below(tree);
  std::error_code error;
  for (size_t i = 0; i < files.size() && !error; i += 40) {
    fs::path file = fs::path(tree) / files[i];
    if (!fs::is_regular_file(fs::symlink_status(file))) continue;
    switch (i / 40 % 3) {
      case 0: TM_TRY(write_text(file.string(), "/* edited */\n")); break;
      case 1: fs::rename(file, file.string() + ".renamed", error); break;
      default: fs::remove(file, error); break;
    }
  }
  if (error) return errno_status(error.value(), "cannot edit " + tree);
  fs::create_directories(tree + "/new/deeper", error);
  return write_text(tree + "/new/deeper/file", std::string(100'000, 'n'));
}

Status overwrite_with_rubbish(const std::string& file) {
  int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return failed("cannot open " + file);
  struct stat size {};
  bool good = ::fstat(fd, &size) == 0;
  std::mt19937_64 random(42);
  std::vector<uint64_t> rubbish(8192);
  for (off_t at = 0; good && at < size.st_size; at += static_cast<off_t>(rubbish.size() * 8)) {
    for (uint64_t& word : rubbish) word = random();
    size_t length = std::min(rubbish.size() * 8, static_cast<size_t>(size.st_size - at));
    good = ::pwrite(fd, rubbish.data(), length, at) == static_cast<ssize_t>(length);
  }
  good = ::fsync(fd) == 0 && good;
  good = ::close(fd) == 0 && good;
  return good ? Status() : failed("cannot write " + file);
}

Result<uint64_t> delete_half(const std::string& tree) {
  uint64_t deleted = 0;
  std::error_code error;
  std::vector<std::string> files = files_below(tree);
  for (size_t i = 0; i < files.size() && !error; i += 2) {
    fs::remove(fs::path(tree) / files[i], error);
    ++deleted;
  }
  if (error) return errno_status(error.value(), "cannot delete in " + tree);
  return deleted;
}

// Window -1: times are compared to the nanosecond. In the copy too: otherwise rsync leaves a directory's time as it is where it
// lies in the same second.
Status copy_reference(const std::string& from, const std::string& to) {
  return run_child({"rsync", "-aHAXS", "--modify-window=-1", from + "/", to + "/"}).status();
}

Result<std::string> compare_trees(const std::string& reference, const std::string& other) {
  TM_ASSIGN(Finished compared,
            run_child({"rsync", "-aHAXni", "--delete", "--checksum", "--modify-window=-1", reference + "/", other + "/"}));
  return compared.out;
}

}  // namespace tidemark::cli
