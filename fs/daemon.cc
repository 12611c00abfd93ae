#include "fs/daemon.h"

#include <atomic>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "base/clock.h"
#include "base/logging.h"
#include "fs/errno_map.h"

namespace tidemark::fs {
namespace {

constexpr double kForeverSeconds = 86400;
constexpr double kReplicaSeconds = 1;  // on a replica, records arrive from elsewhere
constexpr int kReadAheadKib = 1024;

bool is_primary(const Group* group) { return group && group->identity().role == Role::kPrimary; }

}  // namespace

bool in_group(const Caller& caller, uint32_t group) {
  if (caller.gid == group) return true;
  std::ifstream file("/proc/" + std::to_string(caller.pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("Groups:")) continue;
    std::istringstream groups(line.substr(7));
    for (uint32_t one = 0; groups >> one;) {
      if (one == group) return true;
    }
  }
  return false;
}

Daemon::Daemon(const MountSource& source, ParsedOptions parsed, const std::string& mountpoint)
    : options(std::move(parsed)),
      group(source.group),
      volume(is_primary(group) && !options.read_only ? &group->volume() : nullptr),
      point(source.view),
      tree(group ? static_cast<TreeView*>(&group->volume()) : point.get()),
      only_writer(!group || is_primary(group)),
      timeout_seconds(only_writer ? kForeverSeconds : kReplicaSeconds),
      writeback(volume && !options.sync) {
  if (!group) return;
  travel.emplace(*group);
  marks.emplace(*group, inodes, mountpoint);
  mark_gate.emplace(*group, options.marks);
  if (!volume) return;
  reaper.emplace(*volume);
  durable.emplace(*group);
}

void Daemon::kernel_ready() {
  // INIT can only lower the read-ahead; sysfs can raise it, as root. A mount works without.
  if (std::ofstream file(bdi_path + "/read_ahead_kb"); file) file << kReadAheadKib << '\n';
}

Result<Node> Daemon::node(fuse_ino_t id) {
  const uint32_t slot = slot_of(id);
  if (slot == kMainSlot) return Node{tree, slot, Ino(id), nullptr};
  if (slot == kOwnSlot || !travel) return Status(Code::kStale, "no such inode");
  std::shared_ptr<TreeView> past = travel->view(slot);
  if (!past) return Status(Code::kStale, "no such inode");
  return Node{past.get(), slot, ino_of(id), past};
}

Result<Volume*> Daemon::writable(fuse_ino_t id) {
  if (slot_of(id) != kMainSlot || !volume) return Status(Code::kReadOnly, "read-only");
  return volume;
}

void Daemon::grab(fuse_ino_t id) {
  const uint32_t slot = slot_of(id);
  if (slot == kMainSlot) {
    inodes.add(Ino(id));
  } else if (travel) {
    travel->add(slot, 1);
  }
}

void Daemon::drop(fuse_ino_t id, uint64_t lookups) {
  const uint32_t slot = slot_of(id);
  if (slot == kMainSlot) {
    if (inodes.forget(Ino(id), lookups) && reaper) reaper->add(Ino(id));
  } else if (travel) {
    travel->forget(slot, lookups);
  }
}

void Daemon::unlinked(const Attr& attr) {
  if (attr.nlink == 0 && inodes.unlinked(attr.ino)) reaper->add(attr.ino);
}

void Daemon::fail(fuse_req_t req, const Status& status) { reply(req, status); }

Status Daemon::kill_privileges(Ino ino, const Caller& caller) {
  TM_ASSIGN(Attr attr, volume->get_attr(ino));
  const uint32_t mode = without_privileges(attr, caller);
  if (!S_ISREG(attr.mode) || mode == attr.mode) return {};
  SetAttr change;
  change.mask = kSetMode;
  change.mode = mode & 07777;
  TM_ASSIGN(attr, volume->set_attr(ino, change));
  ask_again(ino);  // the kernel does not by itself
  return {};
}

uint32_t without_privileges(const Attr& attr, const Caller& caller) {
  uint32_t kept = attr.mode & ~uint32_t{S_ISUID};
  if ((kept & S_ISGID) && ((kept & S_IXGRP) || (caller.uid != 0 && !in_group(caller, attr.gid)))) kept &= ~uint32_t{S_ISGID};
  return kept;
}

Status check_entry_name(std::string_view name) {
  return name.size() <= kNameMax ? Status() : Status(Code::kNameTooLong, "a name has at most 255 bytes");
}

namespace {

constexpr int kDamageReportsMax = 50;

// Lets so many through each second.
class PerSecond {
 public:
  explicit PerSecond(int most) : most_(most) {}
  bool pass() {
    const int64_t second = system_clock().steady_ns() / 1'000'000'000;
    if (second_.exchange(second, std::memory_order_relaxed) != second) passed_.store(0, std::memory_order_relaxed);
    return passed_.fetch_add(1, std::memory_order_relaxed) < most_;
  }

 private:
  const int most_;
  std::atomic<int64_t> second_{0};
  std::atomic<int> passed_{0};
};

}  // namespace

void report(const Status& status) {
  const Code code = status.code();
  const bool grave = code == Code::kIo || code == Code::kPoisoned || code == Code::kCorrupt || code == Code::kStaleEpoch;
  if (!grave) return;
  // Of damage each place counts; of the rest the first tells what the others do.
  static PerSecond damage(kDamageReportsMax), other(1);
  if ((code == Code::kCorrupt ? damage : other).pass()) log_error(status.text());
}

void reply(fuse_req_t req, const Status& status) {
  report(status);
  fuse_reply_err(req, to_errno(status.code()));
}

void reply_entry(fuse_req_t req, Daemon& daemon, uint32_t slot, const Attr& attr) {
  const fuse_entry_param entry = daemon.entry(slot, attr);
  daemon.grab(entry.ino);
  if (fuse_reply_entry(req, &entry) != 0) daemon.drop(entry.ino, 1);
}

}  // namespace tidemark::fs
