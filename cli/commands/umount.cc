// tidemark umount MOUNTPOINT: returns when the log is closed and the process gone.
#include <memory>

#include "cli/commands/command.h"
#include "cli/service/closing.h"
#include "cli/service/process_watch.h"
#include "cli/settings/duration.h"
#include "cli/source.h"
#include "fs/mount.h"
#include "volume/group/group.h"

namespace tidemark::cli {
namespace {

struct UmountFlags {
  std::string mountpoint;
  bool lazy = false;
  std::string timeout = "120s";
};

// The process behind the mount, as far as it holds a volume's lock; 0 if there is none (a point, a daemon that is gone).
pid_t holder_of(const Source& source, const std::string& mountpoint) {
  if (source.remote || source.directory.empty()) return 0;
  Result<std::optional<Holder>> holder = lock_holder(source.directory);
  if (!holder.ok() || !holder->has_value()) return 0;
  return (*holder)->purpose == kMountPurpose + mountpoint ? static_cast<pid_t>((*holder)->pid) : 0;
}

Outcome run(const UmountFlags& flags) {
  TM_ASSIGN(const auto timeout, parse_duration(flags.timeout));
  std::string mountpoint = absolute_path(flags.mountpoint);
  TM_ASSIGN(auto mounts, list_mounts());
  const MountedVolume* mount = find_mount(mounts, mountpoint);
  if (mount == nullptr || mount->mountpoint != mountpoint) {
    return Status(Code::kNotFound, mountpoint + " is not a Tidemark mount; `tidemark status` lists those there are");
  }
  Result<Source> source = find_source(mounted_now(*mount), "");
  pid_t pid = source.ok() ? holder_of(*source, mountpoint) : 0;
  ProcessWatch watch(pid > 0 ? pid : -1);
  TM_TRY(unmount(mountpoint, flags.lazy));
  if (flags.lazy) return 0;  // it ends when the last user lets go of it, which may be never
  Status gone = watch.wait_gone(timeout);
  if (gone.code() == Code::kTimeout) {
    return Status(Code::kBusy, mountpoint + " is unmounted, but " + gone.text() + " after " + flags.timeout +
                                   "; it is still closing the log");
  }
  TM_TRY(gone);
  return 0;
}

}  // namespace

void add_umount(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<UmountFlags>();
  Command* command = app.add_subcommand("umount", "Unmount; returns when the log is closed and the process has ended");
  command->add_option("MOUNTPOINT", flags->mountpoint, "The mountpoint")->required();
  command->add_flag("-l,--lazy", flags->lazy, "Detach now even if files are open; unmount when the last one is closed");
  command->add_option("--timeout", flags->timeout, "How long to wait for the process to end (default 120s)")
      ->option_text("DURATION");
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli
