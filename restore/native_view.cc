#include "restore/native_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tidemark {
namespace {

constexpr size_t kOpenFilesMax = 64;
constexpr uint32_t kSectorsPerBlock = kBlockSize / 512;

struct CloseDir {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

FileIdentity identity_of(const struct statx& info) {
  return {makedev(info.stx_dev_major, info.stx_dev_minor), info.stx_ino};
}

FileTime time_of(const statx_timestamp& time) { return {time.tv_sec, time.tv_nsec}; }

Attr attr_of(const struct statx& info) {
  Attr attr;
  attr.mode = info.stx_mode;
  attr.uid = info.stx_uid;
  attr.gid = info.stx_gid;
  attr.nlink = info.stx_nlink;
  attr.device = makedev(info.stx_rdev_major, info.stx_rdev_minor);
  attr.size = S_ISREG(info.stx_mode) || S_ISLNK(info.stx_mode) ? info.stx_size : 0;
  attr.blocks = (info.stx_blocks + kSectorsPerBlock - 1) / kSectorsPerBlock;
  attr.atime = time_of(info.stx_atime);
  attr.mtime = time_of(info.stx_mtime);
  attr.ctime = time_of(info.stx_ctime);
  attr.xattr_count = 1;  // not known: it has to be asked
  return attr;
}

// 0, or -1 with errno. An empty name is the descriptor itself.
int look(int fd, const char* name, struct statx& info) {
  int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  return ::statx(fd, name, flags, STATX_BASIC_STATS, &info);
}

bool is_gone(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ESTALE; }

Status read_failure(int error, std::string_view what) {
  if (is_gone(error)) return Status(Code::kStale, "it no longer exists", error);
  return errno_status(error, what);
}

}  // namespace

Result<std::unique_ptr<NativeView>> NativeView::open(const std::string& path, const std::string& except,
                                                     Warnings& warnings) {
  std::unique_ptr<NativeView> view(new NativeView(warnings));
  view->root_ = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!view->root_.valid()) {
    if (errno == ENOENT) return Status(Code::kNotFound, path + ": no such directory", ENOENT);
    if (errno == ENOTDIR) return Status(Code::kNotDirectory, path + " is not a directory", ENOTDIR);
    return errno_status(errno, "opening directory " + path);
  }
  struct stat excepted {};
  if (!except.empty() && ::stat(except.c_str(), &excepted) == 0) view->except_ = tidemark::identity_of(excepted);
  struct statx info {};
  if (look(view->root_.get(), "", info) != 0) return errno_status(errno, "looking at " + path);
  Node root;
  root.identity = identity_of(info);
  root.attr = attr_of(info);
  Ino ino = view->add_node(std::move(root));
  CHECK_INVARIANT(ino == view->root());
  return view;
}

Ino NativeView::add_node(Node node) {
  MutexLock lock(mutex_);
  if (!node.mount) {  // a further hard link is the inode we know
    auto known = known_.find(node.identity);
    if (known != known_.end()) return known->second;
  }
  Ino ino(++last_ino_);
  if (!node.mount) known_.emplace(node.identity, ino);
  node.attr.ino = ino;
  node.attr.parent = last_ino_ == 1 ? ino : node.parent;
  nodes_.emplace(ino, std::move(node));
  return ino;
}

Result<NativeView::Node> NativeView::node(Ino ino) {
  MutexLock lock(mutex_);
  auto found = nodes_.find(ino);
  if (found == nodes_.end()) return Status(Code::kStale, "no such inode");
  return found->second;
}

std::string NativeView::path_of(Ino ino) {
  MutexLock lock(mutex_);
  std::string path;
  while (ino != root()) {
    const Node& here = nodes_.at(ino);
    path = path.empty() ? here.name : here.name + "/" + path;
    ino = here.parent;
  }
  return path;
}

// kStale: its name has gone, or leads elsewhere.
Result<Fd> NativeView::open_node(Ino ino, int flags) {
  TM_ASSIGN(Node known, node(ino));
  std::string path = path_of(ino);
  flags |= O_NOFOLLOW;
  int quiet = (flags & O_PATH) != 0 ? 0 : O_NOATIME;  // O_PATH goes with no such flag
  Fd fd = open_beneath(root_.get(), path, flags | quiet, Mounts::kStay);
  if (!fd.valid() && errno == EPERM) fd = open_beneath(root_.get(), path, flags, Mounts::kStay);  // the owner's privilege
  if (!fd.valid()) return read_failure(errno, "opening it");
  struct statx info {};
  if (look(fd.get(), "", info) != 0) return read_failure(errno, "looking at it");
  if (identity_of(info) != known.identity) return Status(Code::kStale, "it was replaced by another file", ESTALE);
  return fd;
}

Result<Attr> NativeView::get_attr(Ino ino) {
  TM_ASSIGN(Node known, node(ino));
  return known.attr;
}

Result<Attr> NativeView::lookup(Ino directory, std::string_view name) {
  TM_TRY(check_entry_name(name));
  TM_ASSIGN(Node known, node(directory));
  if (!S_ISDIR(known.attr.mode)) return Status(Code::kNotDirectory, "not a directory");
  if (known.mount) return Status(Code::kNotFound, "no such entry");
  TM_ASSIGN(Fd in, open_node(directory, O_PATH | O_DIRECTORY));
  TM_ASSIGN(std::optional<DirEntry> entry, take_in(in, directory, std::string(name)));
  if (!entry) return Status(Code::kNotFound, "no such entry");
  return get_attr(entry->ino);
}

Result<std::optional<DirEntry>> NativeView::take_in(const Fd& in, Ino directory, const std::string& name) {
  struct statx info {};
  if (look(in.get(), name.c_str(), info) != 0) {
    if (is_gone(errno)) return std::optional<DirEntry>();
    return errno_status(errno, "looking at " + name);
  }
  Node made;
  made.parent = directory;
  made.name = name;
  made.identity = identity_of(info);
  made.attr = attr_of(info);
  bool mounted = (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  bool is_directory = S_ISDIR(info.stx_mode);
  if (is_directory) {
    TM_ASSIGN(Node parent, node(directory));
    mounted = mounted || parent.identity.device != made.identity.device;
  }
  auto tell = [&](const char* what) {
    std::string above = path_of(directory);
    warnings_.add(what, above.empty() ? name : above + "/" + name);
  };
  if (is_directory && made.identity == except_) {
    tell("left out because it is the volume itself");
    return std::optional<DirEntry>();
  }
  if (S_ISSOCK(info.stx_mode)) {
    tell("socket left out");
    return std::optional<DirEntry>();
  }
  if (mounted && !is_directory) {
    tell("left out because another file is mounted on it");
    return std::optional<DirEntry>();
  }
  if (mounted) tell("kept as an empty directory because another file system is mounted on it");
  made.mount = mounted;
  DirEntry entry{name, Ino(), static_cast<uint32_t>(info.stx_mode & S_IFMT)};
  entry.ino = add_node(std::move(made));
  return std::optional<DirEntry>(std::move(entry));
}

Result<std::vector<DirEntry>> NativeView::read_directory(Ino directory) {
  std::vector<DirEntry> entries;
  TM_ASSIGN(Node known, node(directory));
  if (!S_ISDIR(known.attr.mode)) return Status(Code::kNotDirectory, "not a directory");
  if (known.mount) return entries;
  TM_ASSIGN(Fd fd, open_node(directory, O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, CloseDir> stream(::fdopendir(fd.get()));
  if (!stream) return errno_status(errno, "reading the directory");
  static_cast<void>(fd.release());  // the stream's now
  Fd in(::fcntl(::dirfd(stream.get()), F_DUPFD_CLOEXEC, 0));
  while (true) {
    errno = 0;
    const dirent* found = ::readdir(stream.get());
    if (found == nullptr) break;
    std::string name = found->d_name;
    if (name == "." || name == "..") continue;
    TM_ASSIGN(std::optional<DirEntry> entry, take_in(in, directory, name));
    if (entry) entries.push_back(*std::move(entry));
  }
  if (errno != 0) return errno_status(errno, "reading the directory");
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

Result<NativeView::Listing> NativeView::listing(Ino directory) {
  {
    MutexLock lock(mutex_);
    auto known = listings_.find(directory);
    if (known != listings_.end()) return known->second;
  }
  TM_ASSIGN(std::vector<DirEntry> entries, read_directory(directory));
  auto made = std::make_shared<const std::vector<DirEntry>>(std::move(entries));
  MutexLock lock(mutex_);
  listings_[directory] = made;
  return Listing(made);
}

Result<std::vector<DirEntry>> NativeView::list(Ino directory, std::string_view after, size_t max) {
  TM_ASSIGN(Listing all, listing(directory));
  auto from = std::upper_bound(all->begin(), all->end(), after,
                               [](std::string_view name, const DirEntry& entry) { return name < entry.name; });
  auto left = static_cast<size_t>(all->end() - from);
  std::vector<DirEntry> page(from, from + static_cast<ptrdiff_t>(std::min(max, left)));
  if (left < max) {  // that was the end
    MutexLock lock(mutex_);
    listings_.erase(directory);
  }
  return page;
}

Result<std::string> NativeView::read_link(Ino ino) {
  TM_ASSIGN(Fd fd, open_node(ino, O_PATH));
  std::string target(kSymlinkMax + 1, '\0');
  ssize_t size = ::readlinkat(fd.get(), "", target.data(), target.size());
  if (size < 0) return read_failure(errno, "reading the link");
  target.resize(static_cast<size_t>(size));
  return target;
}

Result<NativeView::SharedFd> NativeView::content(Ino ino) {
  {
    MutexLock lock(mutex_);
    auto known = open_files_.find(ino);
    if (known != open_files_.end()) return known->second;
  }
  // Without waiting: what was a file a moment ago may be a pipe now.
  TM_ASSIGN(Fd fd, open_node(ino, O_RDONLY | O_NONBLOCK));
  auto opened = std::make_shared<Fd>(std::move(fd));
  MutexLock lock(mutex_);
  if (open_files_.size() >= kOpenFilesMax) open_files_.clear();
  open_files_.emplace(ino, opened);
  return opened;
}

void NativeView::tell_change(Ino ino) {
  {
    MutexLock lock(mutex_);
    Node& known = nodes_.at(ino);
    if (known.change_told) return;
    known.change_told = true;
  }
  warnings_.add("it changed while it was copied, so the copy is not one consistent state", path_of(ino));
}

void NativeView::watch(Ino ino, const Fd& fd) {
  struct statx info {};
  if (look(fd.get(), "", info) != 0) return;
  Result<Node> known = node(ino);
  if (!known.ok()) return;
  // ctime alone would also tell of a renamed or newly linked file.
  bool changed = time_of(info.stx_mtime) != known->attr.mtime || info.stx_size != known->attr.size;
  if (changed) tell_change(ino);
}

Result<size_t> NativeView::read(Ino ino, uint64_t at, MutableBytes out) {
  TM_ASSIGN(Attr attr, get_attr(ino));
  TM_ASSIGN(SharedFd fd, content(ino));
  if (at >= attr.size) return size_t{0};
  out = out.first(std::min<uint64_t>(out.size(), attr.size - at));
  size_t done = 0;
  while (done < out.size()) {
    ssize_t got = ::pread(fd->get(), out.data() + done, out.size() - done, static_cast<off_t>(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return read_failure(errno, "reading it");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  watch(ino, *fd);
  if (done < out.size()) {
    std::memset(out.data() + done, 0, out.size() - done);
    tell_change(ino);
  }
  return out.size();
}

Result<std::vector<DataRange>> NativeView::data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) {
  TM_ASSIGN(Attr attr, get_attr(ino));
  TM_ASSIGN(SharedFd fd, content(ino));
  to = std::min(to, attr.size);
  std::vector<DataRange> ranges;
  while (from < to && ranges.size() < max) {
    off_t data = ::lseek(fd->get(), static_cast<off_t>(from), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // nothing but a hole from here on
    if (data < 0) {
      if (errno != EINVAL && errno != EOPNOTSUPP) return read_failure(errno, "looking for data");
      ranges.push_back({from, to - from});  // a file system that does not tell
      break;
    }
    off_t hole = ::lseek(fd->get(), data, SEEK_HOLE);
    uint64_t end = hole < 0 ? to : std::min(static_cast<uint64_t>(hole), to);
    if (static_cast<uint64_t>(data) >= to) break;
    ranges.push_back({static_cast<uint64_t>(data), end - static_cast<uint64_t>(data)});
    from = end;
  }
  return ranges;
}

Result<std::string> NativeView::get_xattr(Ino ino, std::string_view name) {
  TM_ASSIGN(Fd fd, open_node(ino, O_PATH));
  return get_native_xattr({fd, true}, std::string(name));
}

Result<std::vector<std::string>> NativeView::list_xattr(Ino ino) {
  TM_ASSIGN(Node known, node(ino));
  if (known.mount) return std::vector<std::string>();
  TM_ASSIGN(Fd fd, open_node(ino, O_PATH));
  TM_ASSIGN(std::vector<std::string> names, list_native_xattrs({fd, true}));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tidemark
