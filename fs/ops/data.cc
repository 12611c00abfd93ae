// Content: open, read, write, fsync, fallocate, lseek, copy_file_range.
//
// Traps that end here: a file opened with O_DIRECT is not opened direct_io (the kernel would then bypass its cache for everyone
// and refuse shared mappings); O_APPEND needs nothing, as we have no descriptors of our own and the kernel, which knows the
// size, sends positions; nor does O_WRONLY, though the writeback cache reads pages it is about to change in part.
#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "base/buffer.h"
#include "fs/daemon.h"
#include "fs/raw_io.h"

namespace tidemark::fs {
namespace {

bool is_direct(const fuse_file_info& info) { return (info.flags & O_DIRECT) != 0; }
bool writes(const fuse_file_info& info) { return (info.flags & O_ACCMODE) != O_RDONLY; }

// Answers for a change of a file, once it is as durable as the mount has it.
template <class Answer>
void settle_file(fuse_req_t req, Daemon& daemon, fuse_ino_t id, Answer&& answer) {
  daemon.answer_change(
      req,
      [&] {
        return Touched{{}, {Ino(id)}};
      },
      std::forward<Answer>(answer));
}

Status truncate_on_open(Daemon& daemon, fuse_ino_t id, const Caller& caller) {
  TM_ASSIGN(Volume * volume, daemon.writable(id));
  SetAttr change;
  change.mask = kSetSize;
  change.size = 0;
  if (request_kills_privileges()) TM_TRY(daemon.kill_privileges(Ino(id), caller));
  TM_ASSIGN([[maybe_unused]] Attr attr, volume->set_attr(Ino(id), change));
  if (daemon.inodes.emptied(Ino(id)) && daemon.writeback) daemon.ask_again(Ino(id));
  return {};
}

void reply_opened(fuse_req_t req, Daemon& daemon, fuse_ino_t id, fuse_file_info info) {
  info.keep_cache = daemon.only_writer || slot_of(id) != kMainSlot;
  info.noflush = daemon.marks && daemon.marks->is_flusher(fuse_req_ctx(req)->pid) ? 0 : 1;
  if (writes(info)) daemon.opened_for_write(Ino(id));
  if (fuse_reply_open(req, &info) != 0 && writes(info)) daemon.released_after_write(Ino(id));
}

void op_open(fuse_req_t req, fuse_ino_t id, fuse_file_info* info) {
  Daemon& daemon = daemon_of(req);
  if (writes(*info) && slot_of(id) != kMainSlot) return reply(req, EROFS);
  if ((info->flags & O_TRUNC) == 0) return reply_opened(req, daemon, id, *info);
  TM_REPLY(req, truncate_on_open(daemon, id, caller_of(req)));
  settle_file(req, daemon, id, [req, &daemon, id, info = *info] { reply_opened(req, daemon, id, info); });
}

void op_release(fuse_req_t req, fuse_ino_t id, fuse_file_info* info) {
  if (writes(*info)) daemon_of(req).released_after_write(Ino(id));
  reply(req, 0);
}

// Nothing to do, and ENOSYS spares the request at every later close; the kernel still writes dirty pages back at close.
void op_flush(fuse_req_t req, fuse_ino_t, fuse_file_info*) { reply(req, ENOSYS); }

// A read with O_DIRECT is taken for one beside the cache, though the file may be mapped through that descriptor as well.
void read_content(fuse_req_t req, fuse_ino_t id, size_t size, off_t at, bool cached) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, Node node, daemon.node(id));
  if (daemon.volume && node.slot == kMainSlot && cached) daemon.inodes.read_into_cache(node.ino);
  thread_local Buffer buffer;
  if (buffer.size() < size) buffer = Buffer(size);
  TM_REPLY_ASSIGN(req, size_t got, node.tree->read(node.ino, static_cast<uint64_t>(at), buffer.span().first(size)));
  fuse_reply_buf(req, reinterpret_cast<const char*>(buffer.data()), got);
}

void op_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t at, fuse_file_info* info) {
  daemon_of(req).reads.run([req, id, size, at, cached = !is_direct(*info)] { read_content(req, id, size, at, cached); });
}

Result<Attr> take_content(fuse_req_t req, fuse_ino_t id, std::span<const std::byte> data, uint64_t at, bool keep_times) {
  Daemon& daemon = daemon_of(req);
  TM_ASSIGN(Volume * volume, daemon.writable(id));
  if (request_kills_privileges()) TM_TRY(daemon.kill_privileges(Ino(id), caller_of(req)));
  return volume->write(Ino(id), at, data, keep_times);
}

// The data lies in one piece in libfuse's buffer, where read(2) of the device put it: splicing would only add a copy, as the
// volume needs to see every byte.
void op_write(fuse_req_t req, fuse_ino_t id, const char* data, size_t size, off_t at, fuse_file_info* info) {
  Daemon& daemon = daemon_of(req);
  // A page out of the writeback cache: the kernel has its times, and sends them when it likes.
  const bool keep_times = info->writepage != 0;
  Result<Attr> taken = take_content(req, id, as_bytes({data, size}), static_cast<uint64_t>(at), keep_times);
  if (keep_times && !taken.ok()) daemon.inodes.page_lost();
  TM_REPLY_ASSIGN(req, const Attr attr, std::move(taken));
  if (keep_times && daemon.inodes.blocks_changed(attr.ino, attr.blocks_taken())) daemon.ask_again(attr.ino);
  const bool drops_pages = !keep_times && is_direct(*info) && daemon.inodes.may_be_cached(Ino(id));
  settle_file(req, daemon, id, [req, &daemon, id, at, size, drops_pages] {
    if (drops_pages) return daemon.direct_writes.finish(req, Ino(id), static_cast<uint64_t>(at), size);
    fuse_reply_write(req, size);
  });
}

// Requests that change content without a flag that says whether setuid and setgid have to go: everyone's but root's.
Status kill_others_privileges(Daemon& daemon, fuse_ino_t id, const Caller& caller) {
  return caller.uid == 0 ? Status() : daemon.kill_privileges(Ino(id), caller);
}

void op_fsync(fuse_req_t req, fuse_ino_t id, int, fuse_file_info*) {
  Daemon& daemon = daemon_of(req);
  if (!daemon.volume || slot_of(id) != kMainSlot) return reply(req, 0);
  daemon.durable->when_durable([req](const Status& status) { reply(req, status); });
}

// --- space ---

// What certainly finds no room on the disk is refused, though the file may have all its blocks within the range.
Status check_room(Daemon& daemon, Ino ino, uint64_t at, uint64_t size) {
  if (at > kFileSizeMax || size > kFileSizeMax - at) return {Code::kTooLarge, "a file has at most 2^63 - 1 bytes"};
  TM_ASSIGN(VolumeSpace space, daemon.group->space());
  if (size <= space.disk.available_bytes) return {};
  TM_ASSIGN(Attr attr, daemon.volume->get_attr(ino));
  if (size - space.disk.available_bytes <= attr.blocks * kBlockSize) return {};
  return {Code::kNoSpace, "more than the disk can hold"};
}

Status allocate(Daemon& daemon, Ino ino, int mode, uint64_t at, uint64_t size) {
  Volume& volume = *daemon.volume;
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0: TM_TRY(check_room(daemon, ino, at, size)); return volume.allocate(ino, at, size, keep_size);
    case FALLOC_FL_PUNCH_HOLE: return volume.punch(ino, at, size);
    case FALLOC_FL_ZERO_RANGE: TM_TRY(check_room(daemon, ino, at, size)); return volume.zero(ino, at, size, keep_size);
    default: return {Code::kUnsupported, "this mode of fallocate"};
  }
}

void op_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t at, off_t size, fuse_file_info*) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, [[maybe_unused]] Volume * volume, daemon.writable(id));
  if (at < 0 || size <= 0) return reply(req, EINVAL);
  TM_REPLY(req, kill_others_privileges(daemon, id, caller_of(req)));
  TM_REPLY(req, allocate(daemon, Ino(id), mode, static_cast<uint64_t>(at), static_cast<uint64_t>(size)));
  settle_file(req, daemon, id, [req] { reply(req, 0); });
}

Result<uint64_t> seek(const Node& node, uint64_t at, int whence) {
  TM_ASSIGN(Attr attr, node.tree->get_attr(node.ino));
  if (at >= attr.size) return Status(Code::kRange, "beyond the end");
  TM_ASSIGN(std::vector<DataRange> runs, node.tree->data_ranges(node.ino, at, attr.size, 1));
  if (whence == SEEK_DATA) {
    if (runs.empty()) return Status(Code::kRange, "no data up to the end");
    return std::max(at, runs[0].at);
  }
  if (runs.empty() || runs[0].at > at) return at;
  return std::min(runs[0].at + runs[0].size, attr.size);
}

void op_lseek(fuse_req_t req, fuse_ino_t id, off_t at, int whence, fuse_file_info*) {
  Daemon& daemon = daemon_of(req);
  // The kernel does not flush dirty pages before it asks. From our map alone a sparse-aware copy would take them for holes and
  // lose them; ENOSYS makes the kernel call the whole file data, once and for all.
  if (daemon.volume) return reply(req, ENOSYS);
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return reply(req, EINVAL);
  if (at < 0) return reply(req, ENXIO);
  TM_REPLY_ASSIGN(req, Node node, daemon.node(id));
  Result<uint64_t> found = seek(node, static_cast<uint64_t>(at), whence);
  if (!found.ok() && found.status().code() == Code::kRange) return reply(req, ENXIO);
  if (!found.ok()) return reply(req, found.status());
  fuse_reply_lseek(req, static_cast<off_t>(*found));
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_at, fuse_file_info*, fuse_ino_t to, off_t to_at,
                        fuse_file_info*, size_t size, int) {
  Daemon& daemon = daemon_of(req);
  TM_REPLY_ASSIGN(req, Volume * volume, daemon.writable(to));
  if (slot_of(from) != kMainSlot) return reply(req, EXDEV);  // out of the past: the kernel copies page by page
  TM_REPLY(req, kill_others_privileges(daemon, to, caller_of(req)));
  TM_REPLY_ASSIGN(
      req, uint64_t copied,
      volume->copy_range(Ino(from), static_cast<uint64_t>(from_at), Ino(to), static_cast<uint64_t>(to_at), size));
  settle_file(req, daemon, to, [req, copied] { fuse_reply_write(req, copied); });
}

}  // namespace

void add_data_ops(fuse_lowlevel_ops& ops) {
  ops.open = op_open;
  ops.release = op_release;
  ops.flush = op_flush;
  ops.read = op_read;
  ops.write = op_write;
  ops.fsync = op_fsync;
  ops.fallocate = op_fallocate;
  ops.lseek = op_lseek;
  ops.copy_file_range = op_copy_file_range;
}

}  // namespace tidemark::fs
