// What the kernel is told of an inode, and for how long it may believe it.
//
// **st_blocks of a file that is being written.** The kernel keeps the number it was told until somebody closes the file, and the
// pages in its cache that nobody has written back yet are in no number of ours. Backup programs take 0 blocks for "nothing but a
// hole" and do not even open such a file. So:
//   * when pages are written back and the number changes, the kernel is told to ask again, before the write is answered;
//   * a file that is open for writing and has no block yet is said to have one, since its pages may be dirty. An empty file is not,
//     while no write has begun: the kernel then asks at each stat, and says when a write begins.
// Attributes are not simply left out of the kernel's cache while a file is written, because each write(2) would ask for them.
//
// **The past.** Its permissions depend on what the same inode is today (fs/rights/past_rights.h), so they are never remembered.
#include "fs/daemon.h"
#include "fs/rights/acl.h"

namespace tidemark::fs {
namespace {

// "" where there is none.
Result<std::string> access_acl(TreeView& tree, const Attr& attr) {
  if (attr.xattr_count == 0) return std::string();
  Result<std::string> value = tree.get_xattr(attr.ino, kAccessAcl);
  if (!value.ok() && value.status().code() == Code::kNoData) return std::string();
  return value;
}

// What cannot be compared is different.
SameAcl same_acl(TreeView& past, const Attr& then, TreeView& live, const Attr& now) {
  const Result<std::string> acl_then = access_acl(past, then);
  const Result<std::string> acl_now = access_acl(live, now);
  if (!acl_then.ok() || !acl_now.ok() || *acl_then != *acl_now) return SameAcl::kDifferent;
  return acl_then->empty() ? SameAcl::kNone : SameAcl::kSame;
}

}  // namespace

PastRights Daemon::past_rights_of(TreeView& past, const Attr& then) {
  const Result<Attr> now = tree->get_attr(then.ino);
  if (!now.ok()) return past_rights(then, nullptr, SameAcl::kNone);
  return past_rights(then, &*now, same_acl(past, then, *tree, *now));
}

Answer Daemon::tell_past(fuse_ino_t id, TreeView& past, const Attr& then) {
  struct stat about = to_stat(then, id);
  about.st_mode = past_rights_of(past, then).mode;
  about.st_rdev = 0;  // a device file of the past leads to no device
  return {about, 0};
}

Answer Daemon::tell(uint32_t slot, Attr attr, bool write_follows) {
  const fuse_ino_t id = node_id(slot, attr.ino);
  if (slot != kMainSlot) {
    const std::shared_ptr<TreeView> past = travel ? travel->view(slot) : nullptr;
    return past ? tell_past(id, *past, attr) : Answer{to_stat(Attr{.ino = attr.ino}, id), 0};
  }
  if (!writeback || !S_ISREG(attr.mode)) return {to_stat(attr, id), timeout_seconds};
  const InodeTable::Telling telling = inodes.telling(attr.ino, attr.blocks_taken());
  if (!telling.sure) {
    if (Result<Attr> now = volume->get_attr(attr.ino); now.ok()) attr = *now;
  }
  const auto told = inodes.told(attr.ino, telling.version, attr.size, attr.blocks_taken(), write_follows);
  struct stat about = to_stat(attr, id);
  about.st_blocks = static_cast<blkcnt_t>(told.blocks * (kBlockSize / 512));
  return {about, told.keep ? timeout_seconds : 0};
}

void Daemon::ask_again(Ino ino) {
  // -1: attributes only, no pages. It waits for nobody, so a thread that serves a request may do it.
  fuse_lowlevel_notify_inval_inode(session, ino.value(), -1, 0);
}

fuse_entry_param Daemon::entry(uint32_t slot, const Attr& attr, bool write_follows) {
  const Answer answer = tell(slot, attr, write_follows);
  fuse_entry_param entry{};
  entry.ino = node_id(slot, attr.ino);
  entry.attr = answer.about;
  entry.attr_timeout = answer.seconds;
  entry.entry_timeout = timeout_seconds;
  if (slot != kMainSlot && travel) entry.generation = travel->generation(slot);
  return entry;
}

void Daemon::opened_for_write(Ino ino) {
  if (inodes.opened_for_write(ino) && writeback) ask_again(ino);
}

void Daemon::released_after_write(Ino ino) {
  if (inodes.released_after_write(ino) && writeback) ask_again(ino);
}

}  // namespace tidemark::fs
