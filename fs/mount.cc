// A mount from beginning to end.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <thread>

#include "base/logging.h"
#include "fs/daemon.h"
#include "fs/mount.h"
#include "fs/mountinfo.h"
#include "fs/raw_io.h"

namespace tidemark {
namespace fs {
namespace {

constexpr unsigned kMaxWrite = 1u << 20;
constexpr unsigned kMaxBackground = 64;

void op_init(void* userdata, fuse_conn_info* conn) {
  const auto& daemon = *static_cast<Daemon*>(userdata);
  const auto want = [&](unsigned capabilities) { conn->want |= conn->capable & capabilities; };
  const auto refuse = [&](unsigned capabilities) { conn->want &= ~capabilities; };
  want(FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
       FUSE_CAP_READDIRPLUS_AUTO);
  want(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_IOCTL_DIR | FUSE_CAP_CACHE_SYMLINKS);
  want(FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK);
  refuse(FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS);  // the kernel keeps locks: nobody else has these files
  if (daemon.only_writer) {
    refuse(FUSE_CAP_AUTO_INVAL_DATA);
    want(FUSE_CAP_EXPLICIT_INVAL_DATA);
    if (daemon.writeback) want(FUSE_CAP_WRITEBACK_CACHE);
  }
  conn->max_write = std::min(conn->max_write, kMaxWrite);
  conn->max_background = kMaxBackground;
  conn->congestion_threshold = kMaxBackground * 3 / 4;
  conn->time_gran = 1;
}

fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops ops{};
  ops.init = op_init;
  add_attr_ops(ops);
  add_create_ops(ops);
  add_name_ops(ops);
  add_data_ops(ops);
  add_directory_ops(ops);
  add_xattr_ops(ops);
  add_ioctl_ops(ops);
  ops.bmap = op_unknown_to_libfuse;
  return ops;
}

// libfuse says why a mount failed only in its messages.
thread_local std::string* libfuse_said = nullptr;

void hear_libfuse(fuse_log_level level, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  std::string_view line(text);
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (libfuse_said) {
    if (!libfuse_said->empty()) *libfuse_said += "; ";
    *libfuse_said += line;
  } else {
    log_message(level <= FUSE_LOG_ERR ? LogLevel::kError : LogLevel::kDebug, line);
  }
}

class Hearing {
 public:
  Hearing() {
    fuse_set_log_func(hear_libfuse);
    libfuse_said = &said;
  }
  ~Hearing() { libfuse_said = nullptr; }
  Hearing(const Hearing&) = delete;
  Hearing& operator=(const Hearing&) = delete;
  std::string said;
};

// Nothing may be mounted on `path` but a dead mount of ours, which is cleaned away.
Status clear_mountpoint(const std::string& path) {
  for (;;) {
    TM_ASSIGN(std::optional<MountEntry> entry, mount_at(path));
    if (!entry) return {};
    // Not stat(): the kernel may answer that from what it remembers of a daemon that is gone.
    struct statvfs about {};
    // ECONNABORTED: its daemon was killed this moment, before it could answer.
    const bool dead = statvfs(path.c_str(), &about) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
    if (!dead || entry->type != kFilesystemType) {
      return {Code::kBusy, "something is already mounted at " + path + ": " + entry->source + " (" + entry->type + ")"};
    }
    log_info("cleaning the stale mountpoint " + path);
    TM_TRY(detach(path, true));
  }
}

Status check_mountpoint(const std::string& path, const Group* group) {
  struct stat about {};
  if (stat(path.c_str(), &about) != 0) {
    if (errno == ENOENT) return {Code::kNotFound, "no such directory: " + path};
    if (errno == EACCES) return {Code::kPermission, "no access to " + path};
    return errno_status(errno, "looking at " + path);
  }
  if (!S_ISDIR(about.st_mode)) return {Code::kNotDirectory, "not a directory: " + path};
  if (!group) return {};
  Result<std::string> own = canonical_mountpoint(group->directory());
  if (own.ok() && (*own == path || own->starts_with(path == "/" ? path : path + "/"))) {
    return {Code::kInvalid, "the volume's own directory " + *own + " would be hidden by a mount at " + path};
  }
  return {};
}

bool abort_connection(uint32_t device_minor) {
  std::ofstream file("/sys/fs/fuse/connections/" + std::to_string(device_minor) + "/abort");
  file << "1\n";
  return static_cast<bool>(file.flush());
}

class FuseMount final : public Mount {
 public:
  FuseMount(const MountSource& source, ParsedOptions options, std::string mountpoint)
      : mountpoint_(std::move(mountpoint)), daemon_(source, std::move(options), mountpoint_) {}
  ~FuseMount() override;

  Status open_session(const std::string& source_name);
  Status serve() override;
  void stop() override;
  Result<MarkOutcome> mark(const MarkRequest& request, const std::string& wait, std::chrono::milliseconds timeout) override;

 private:
  Status mount_session();
  Status learn_device();
  bool still_mounted();
  void end_in_use();
  Status loop();
  Status finish();

  const std::string mountpoint_;
  Daemon daemon_;
  uint32_t device_major_ = 0;
  uint32_t device_minor_ = 0;
};

Status FuseMount::open_session(const std::string& source_name) {
  std::vector<std::string> words{"tidemark", "-o", "fsname=" + escape_option(source_name) + ",subtype=tidemark"};
  for (const std::string& option : daemon_.options.kernel) {
    words.emplace_back("-o");
    words.push_back(option);
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(argv.size()), argv.data());
  const fuse_lowlevel_ops ops = operations();
  {
    Hearing hearing;
    daemon_.session = fuse_session_new(&arguments, &ops, sizeof ops, &daemon_);
    fuse_opt_free_args(&arguments);
    if (!daemon_.session) return {Code::kInvalid, "libfuse refuses the mount: " + hearing.said};
  }
  TM_TRY(mount_session());
  TM_TRY(pass_raw(daemon_.session));
  return learn_device();
}

Status FuseMount::mount_session() {
  Hearing hearing;
  errno = 0;
  if (fuse_session_mount(daemon_.session, mountpoint_.c_str()) == 0) return {};
  const int error = errno;
  const std::string why = hearing.said.empty() ? "fusermount3 refused it" : hearing.said;
  const std::string text = "mounting at " + mountpoint_ + ": " + why;
  if (access("/dev/fuse", R_OK | W_OK) != 0) {
    return {Code::kPermission,
            text + "; /dev/fuse is missing or not accessible: run modprobe fuse, or pass the device to the container"};
  }
  if (error == EPERM || error == EACCES || geteuid() != 0) return {Code::kPermission, text};
  return errno_status(error, text);
}

Status FuseMount::learn_device() {
  TM_ASSIGN(std::optional<MountEntry> entry, mount_at(mountpoint_));
  if (!entry || entry->type != kFilesystemType) {
    return {Code::kIo, "mounted, but " + mountpoint_ + " is not in /proc/self/mountinfo"};
  }
  device_major_ = entry->device_major;
  device_minor_ = entry->device_minor;
  daemon_.bdi_path = "/sys/class/bdi/" + std::to_string(device_major_) + ":" + std::to_string(device_minor_);
  if (daemon_.marks) daemon_.marks->set_mount(daemon_.session, makedev(device_major_, device_minor_));
  return {};
}

bool FuseMount::still_mounted() {
  Result<std::optional<MountEntry>> entry = mount_at(mountpoint_);
  return entry.ok() && *entry && (*entry)->device_minor == device_minor_ && (*entry)->device_major == device_major_;
}

FuseMount::~FuseMount() {
  if (!daemon_.session) return;
  fuse_session_unmount(daemon_.session);
  fuse_session_destroy(daemon_.session);
}

Status FuseMount::serve() {
  if (daemon_.reaper) {
    TM_TRY(daemon_.reaper->free_all_unnamed());
    daemon_.reaper->start();
  }
  if (daemon_.marks) daemon_.marks->start();
  if (daemon_.volume) {
    daemon_.direct_writes.start(daemon_.session);
    daemon_.durable->start();
    daemon_.invalidator.start(daemon_.session);
  }
  Status served = loop();
  Status finished = finish();
  return served.ok() ? finished : served;
}

Status FuseMount::loop() {
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 1);
  fuse_loop_cfg_set_max_threads(config, kThreadsMax);
  fuse_loop_cfg_set_idle_threads(config, kThreadsMax);
  const int result = fuse_session_loop_mt(daemon_.session, config);
  fuse_loop_cfg_destroy(config);
  // A connection that ends is ENODEV to whoever reads the device next, which libfuse knows, and ECONNABORTED to a thread that has
  // taken a request and not begun with it.
  if (result >= 0 || result == -ECONNABORTED) return {};
  return errno_status(-result, "serving " + mountpoint_);
}

Status FuseMount::finish() {
  if (daemon_.durable) daemon_.durable->stop();
  daemon_.direct_writes.stop();
  daemon_.invalidator.stop();
  if (daemon_.marks) {
    daemon_.marks->unmounted();
    daemon_.marks->stop();
  }
  // Aborted rather than unmounted: nobody shall find a dead mountpoint.
  if (still_mounted()) TM_TRY(detach(mountpoint_, true));
  if (!daemon_.reaper) return {};
  daemon_.reaper->stop();
  TM_TRY(daemon_.reaper->free_all_unnamed());
  return daemon_.group->sync();
}

void FuseMount::stop() {
  using namespace std::chrono_literals;
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (!still_mounted()) return;
    Status detached = detach(mountpoint_, false);
    if (detached.ok()) return;
    std::this_thread::sleep_for(50ms);
  }
  end_in_use();
}

// Processes still use the mount, as when the machine goes down: what they wrote is made safe, then they lose it.
void FuseMount::end_in_use() {
  log_warning(mountpoint_ + " is in use; unmounting it anyway");
  if (daemon_.marks && daemon_.volume) {
    if (Status flushed = daemon_.marks->flush(); !flushed.ok()) log_error(flushed.text());
  }
  const int root = open(mountpoint_.c_str(), O_PATH | O_CLOEXEC);
  if (geteuid() == 0) {
    umount2(mountpoint_.c_str(), MNT_FORCE);  // ends the connection; the mount itself stays while it is in use
  }
  const bool aborted = geteuid() == 0 || abort_connection(device_minor_);
  if (Status detached = detach(mountpoint_, true); !detached.ok()) log_warning(detached.text());
  if (aborted || root < 0) {
    if (root >= 0) close(root);
    return;
  }
  // Only the loop itself can end now, after one more request: its sender waits for an answer until the device is closed.
  fuse_session_exit(daemon_.session);
  std::thread([root] {
    struct statfs ignored {};
    fstatfs(root, &ignored);
    close(root);
  }).detach();
}

Result<MarkOutcome> FuseMount::mark(const MarkRequest& request, const std::string& wait, std::chrono::milliseconds timeout) {
  if (!daemon_.marks || !daemon_.only_writer)
    return Status(Code::kReadOnly, "this is a read-only point; mark the live volume instead");
  return daemon_.marks->make(request, wait, timeout, nullptr);
}

}  // namespace
}  // namespace fs

Result<std::unique_ptr<Mount>> Mount::create(const MountSource& source, const MountOptions& options) {
  CHECK_INVARIANT(source.group || source.view);
  TM_ASSIGN(fs::ParsedOptions parsed, fs::parse_options(options.options, source.group == nullptr, geteuid() == 0));
  if (source.group && source.group->identity().role == Role::kReplica) {
    // Records arrive from the primary; nothing is changed here.
    std::erase(parsed.kernel, "rw");
    if (!parsed.read_only) parsed.kernel.emplace_back("ro");
    parsed.read_only = true;
  }
  TM_ASSIGN(std::string mountpoint, fs::canonical_mountpoint(options.mountpoint));
  TM_TRY(fs::clear_mountpoint(mountpoint));
  TM_TRY(fs::check_mountpoint(mountpoint, source.group));
  auto mount = std::make_unique<fs::FuseMount>(source, std::move(parsed), mountpoint);
  TM_TRY(mount->open_session(options.source_name));
  return std::unique_ptr<Mount>(std::move(mount));
}

}  // namespace tidemark
