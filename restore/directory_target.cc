#include "restore/directory_target.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "restore/executor.h"
#include "restore/remove_tree.h"
#include "volume/group/occupied.h"

namespace tidemark {
namespace {

constexpr size_t kOpenDirectoriesMax = 64;
constexpr int kClearingsMax = 16;  // somebody who puts things in the way more often than that does it on purpose
constexpr mode_t kOursAlone = 0700;

Status replaced_meanwhile() { return Status(Code::kIo, "it was replaced while the restore was running", ESTALE); }

// An existing directory below the target that is to be written into, or removed.
Status refuse_groups_place(int directory) {
  if (!is_groups_place(directory)) return Status();
  return Status(Code::kInvalid, "it holds a Tidemark volume or a copy of one; choose another target");
}

Result<struct stat> look_at(const Fd& fd) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return errno_status(errno, "looking at it");
  return info;
}

// What we have just made by name and opened by name: it has no other name, and it is ours.
bool is_fresh(const struct stat& info, mode_t type) {
  return (info.st_mode & S_IFMT) == type && info.st_uid == ::geteuid() && (S_ISDIR(type) || info.st_nlink == 1);
}

class DirectoryFile final : public SinkFile {
 public:
  DirectoryFile(DirectorySink& sink, size_t index, Fd fd) : sink_(sink), index_(index), fd_(std::move(fd)) {}
  ~DirectoryFile() override {
    if (!finished_) sink_.take_back(index_);
  }

  Status remember() {
    TM_ASSIGN(struct stat info, look_at(fd_));
    return sink_.remember(index_, info);
  }

  Status write(uint64_t at, Bytes data) override {
    size_t done = 0;
    if (at + data.size() == sink_.tree().entry(index_).attr.size) reached_end_ = true;
    while (done < data.size()) {
      ssize_t put = ::pwrite(fd_.get(), data.data() + done, data.size() - done, static_cast<off_t>(at + done));
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return errno_status(put < 0 ? errno : ENOSPC, "writing");
      done += static_cast<size_t>(put);
    }
    return Status();
  }

  Status finish() override {
    const PlanEntry& entry = sink_.tree().entry(index_);
    bool ends_in_hole = !reached_end_ && entry.attr.size != 0;
    if (ends_in_hole && ::ftruncate(fd_.get(), static_cast<off_t>(entry.attr.size)) != 0) {
      return errno_status(errno, "setting the size");
    }
    TM_TRY(apply_attributes({fd_, false}, entry, sink_.tree().details(index_), sink_.warnings()));
    finished_ = true;
    fd_ = Fd();
    return Status();
  }

 private:
  DirectorySink& sink_;
  size_t index_;
  Fd fd_;
  std::atomic<bool> reached_end_{false};
  bool finished_ = false;
};

}  // namespace

Status DirectorySink::open_target(const std::string& path) {
  made_.resize(tree_.plan.entries.size());
  const std::string shown = "the target " + path;
  TM_TRY(check_new_outside_groups(path, shown));  // before anything is made
  if (::mkdir(path.c_str(), kOursAlone) != 0 && errno != EEXIST) {
    if (errno == ENOENT) {
      return Status(Code::kNotFound, "the parent directory of " + path + " does not exist", ENOENT);
    }
    return errno_status(errno, "making directory " + path);
  }
  target_ = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!target_.valid()) {
    if (errno == ENOTDIR) return Status(Code::kNotDirectory, path + " is not a directory", ENOTDIR);
    return errno_status(errno, "opening directory " + path);
  }
  TM_TRY(check_outside_groups(target_.get(), shown));
  TM_TRY(check_holds_no_group(target_.get(), shown));
  if (force_) return Status();
  TM_ASSIGN(std::vector<std::string> names, posix_file_system().list(path));
  if (names.empty()) return Status();
  return Status(Code::kNotEmpty, path + " is not empty (it has " + show_path(names.front()).substr(1) +
                                     "): choose another target, or use --force to write into it");
}

// The directory of an entry, verified to be the one we made: a swapped one is refused.
Result<DirectorySink::SharedFd> DirectorySink::directory(size_t index) {
  {
    MutexLock lock(mutex_);
    auto known = directories_.find(index);
    if (known != directories_.end()) return known->second;
  }
  const std::string& path = tree_.entry(index).path;
  auto opened = std::make_shared<Fd>(open_beneath(target_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Mounts::kCross));
  if (!opened->valid()) {
    if (errno == ELOOP || errno == ENOTDIR || errno == ENOENT) return replaced_meanwhile().within(show_path(path));
    return errno_status(errno, "opening directory " + show_path(path));
  }
  TM_ASSIGN(struct stat info, look_at(*opened));
  if (identity_of(info) != made_[index]) return replaced_meanwhile().within(show_path(path));
  MutexLock lock(mutex_);
  if (directories_.size() >= kOpenDirectoriesMax) directories_.clear();
  directories_.emplace(index, opened);
  return opened;
}

Status DirectorySink::remember(size_t index, const struct stat& info) {
  made_[index] = identity_of(info);
  if (!force_) return Status();
  MutexLock lock(mutex_);
  ours_.emplace(info.st_ino, info.st_dev);
  return Status();
}

Status DirectorySink::refuse_ours(const struct stat& info) {
  MutexLock lock(mutex_);
  auto [from, to] = ours_.equal_range(info.st_ino);
  bool ours = std::any_of(from, to, [&](const auto& one) { return one.second == info.st_dev; });
  if (!ours) return Status();
  return Status(Code::kExists, "on this file system its name is the same as another entry's", EEXIST);
}

// With force: removes what is in the way of a new entry.
Status DirectorySink::clear_the_way(int parent, const std::string& name) {
  struct stat info {};
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Status() : errno_status(errno, "looking at what is in the way");
  }
  TM_TRY(refuse_ours(info));
  return remove_tree(parent, name, refuse_groups_place).within("removing what is in the way");
}

// Calls `make` (0, or -1 with errno) until the name is free.
template <class Make>
Status DirectorySink::make_name(int parent, const std::string& name, Make make) {
  TM_TRY(check_entry_name(name));
  for (int attempt = 0; make() != 0; ++attempt) {
    if (errno == EINTR) continue;
    if (errno != EEXIST) return errno_status(errno, "making it");
    if (!force_ || attempt == kClearingsMax) {
      return Status(Code::kExists, "it already exists: it was created while the restore was running", EEXIST);
    }
    TM_TRY(clear_the_way(parent, name));
  }
  return Status();
}

// A directory that is there, opened: takes it into the tree.
Status DirectorySink::adopt(size_t index, SharedFd directory) {
  TM_ASSIGN(struct stat info, look_at(*directory));
  TM_TRY(refuse_groups_place(directory->get()));
  TM_TRY(remember(index, info));
  remove_acls(*directory, tree_.entry(index).path, warnings_);
  adopted_.insert(index);
  if ((info.st_mode & kOursAlone) != kOursAlone) {  // best effort: root needs it not, others fail below with the path
    static_cast<void>(::fchmod(directory->get(), (info.st_mode & 07777) | kOursAlone));
  }
  bool known =
      std::any_of(file_systems_.begin(), file_systems_.end(), [&](const auto& one) { return one.first == info.st_dev; });
  if (!known) file_systems_.emplace_back(info.st_dev, Fd(::fcntl(directory->get(), F_DUPFD_CLOEXEC, 0)));
  return Status();
}

Status DirectorySink::make_directory(size_t index) {
  if (index == 0) return adopt(0, std::make_shared<Fd>(::fcntl(target_.get(), F_DUPFD_CLOEXEC, 0)));
  TM_ASSIGN(SharedFd parent, directory(tree_.parents[index]));
  std::string name = tree_.name(index);
  TM_TRY(check_entry_name(name));
  bool there = false;  // and a directory: it stays, with what it has in it
  Status made = make_name(parent->get(), name, [&] {
    if (::mkdirat(parent->get(), name.c_str(), kOursAlone) == 0) return 0;
    struct stat info {};
    int error = errno;
    there = force_ && error == EEXIST && ::fstatat(parent->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(info.st_mode);
    errno = error;
    return there ? 0 : -1;
  });
  TM_TRY(made);
  auto opened = std::make_shared<Fd>(open_beneath(parent->get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Mounts::kCross));
  if (!opened->valid()) return errno_status(errno, "opening the directory");
  TM_ASSIGN(struct stat info, look_at(*opened));
  if (there) {
    TM_TRY(refuse_ours(info));
    return adopt(index, opened);
  }
  if (!is_fresh(info, S_IFDIR)) return replaced_meanwhile();
  return remember(index, info);
}

Result<std::unique_ptr<SinkFile>> DirectorySink::make_file(size_t index) {
  TM_ASSIGN(SharedFd parent, directory(tree_.parents[index]));
  std::string name = tree_.name(index);
  Fd fd;
  Status made = make_name(parent->get(), name, [&] {
    fd = open_beneath(parent->get(), name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, Mounts::kCross, 0600);
    return fd.valid() ? 0 : -1;
  });
  TM_TRY(made);
  auto file = std::make_unique<DirectoryFile>(*this, index, std::move(fd));
  TM_TRY(file->remember());
  return std::unique_ptr<SinkFile>(std::move(file));
}

void DirectorySink::take_back(size_t index) {
  Result<SharedFd> parent = directory(tree_.parents[index]);
  if (!parent.ok()) return;
  std::string name = tree_.name(index);
  struct stat info {};
  if (::fstatat((*parent)->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (identity_of(info) != made_[index]) return;
  static_cast<void>(::unlinkat((*parent)->get(), name.c_str(), 0));
  made_[index] = {};
}

Status DirectorySink::make_other(size_t index) {
  const PlanEntry& entry = tree_.entry(index);
  const PlanEntry& details = tree_.details(index);
  TM_ASSIGN(SharedFd parent, directory(tree_.parents[index]));
  std::string name = tree_.name(index);
  mode_t type = entry.attr.mode & S_IFMT;
  bool refused = false;
  Status made = make_name(parent->get(), name, [&] {
    int done = S_ISLNK(type) ? ::symlinkat(details.symlink_target.c_str(), parent->get(), name.c_str())
                             : ::mknodat(parent->get(), name.c_str(), type | 0600, entry.attr.device);
    refused = done != 0 && (errno == EPERM || errno == EOPNOTSUPP);
    return refused ? 0 : done;
  });
  TM_TRY(made);
  if (refused) {
    warnings_.add(S_ISLNK(type) ? "symbolic link left out because this file system does not support it"
                                : "device or pipe left out because this user may not create it",
                  entry.path);
    return Status();
  }
  Fd fd = open_beneath(parent->get(), name, O_PATH | O_NOFOLLOW, Mounts::kCross);
  if (!fd.valid()) return replaced_meanwhile();
  TM_ASSIGN(struct stat info, look_at(fd));
  if (!is_fresh(info, type)) return replaced_meanwhile();
  TM_TRY(remember(index, info));
  return apply_attributes({fd, true}, entry, details, warnings_);
}

Status DirectorySink::make_link(size_t index, size_t first) {
  if (made_[first] == FileIdentity{}) return Status(Code::kNotFound, "the original was left out");
  TM_ASSIGN(SharedFd from, directory(tree_.parents[first]));
  TM_ASSIGN(SharedFd to, directory(tree_.parents[index]));
  std::string from_name = tree_.name(first);
  std::string name = tree_.name(index);
  bool refused = false;
  Status made = make_name(to->get(), name, [&] {
    int done = ::linkat(from->get(), from_name.c_str(), to->get(), name.c_str(), 0);
    refused = done != 0 && (errno == EMLINK || errno == EXDEV || errno == EPERM || errno == EOPNOTSUPP);
    return refused ? 0 : done;
  });
  TM_TRY(made);
  if (refused) return Status(Code::kTooManyLinks, "no further hard link can be made");
  struct stat info {};
  if (::fstatat(to->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno_status(errno, "looking at it");
  if (identity_of(info) != made_[first]) return replaced_meanwhile();
  made_[index] = made_[first];
  return Status();
}

Status DirectorySink::finish_directory(size_t index) {
  TM_ASSIGN(SharedFd here, directory(index));
  const PlanEntry& entry = tree_.entry(index);
  if (adopted_.contains(index)) remove_other_xattrs(*here, entry, warnings_);
  return apply_attributes({*here, false}, entry, entry, warnings_);
}

Status DirectorySink::sync() {
  for (const auto& [device, directory] : file_systems_) {
    if (::syncfs(directory.get()) != 0) return errno_status(errno, "syncing the file system");
  }
  return Status();
}

Result<RestoreReport> restore_to_directory(TreeView& view, const RestoreOptions& options) {
  auto begun = std::chrono::steady_clock::now();
  RestoreReport report;
  TM_ASSIGN(report.plan, make_plan(view, {options.include, options.jobs, options.interrupted, nullptr}));
  TM_ASSIGN(Tree tree, tree_of(report.plan));
  Warnings warnings;
  {
    DirectorySink sink(tree, options.force, warnings);
    TM_TRY(sink.open_target(options.target));
    Status written = write_tree(view, tree, sink, warnings, execute_options(options));
    if (written.ok()) written = sink.sync();
    if (!written.ok()) {
      return Status(written.code(),
                    written.text() + "; the restore is incomplete: " + options.target +
                        " holds only part of the tree (the files in it are complete)",
                    written.sys_errno());
    }
  }
  report.damaged = warnings.take_damage();
  report.warnings = warnings.take();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return report;
}

}  // namespace tidemark
