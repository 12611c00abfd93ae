// Reading directories: opendir, readdir, readdirplus, releasedir, fsyncdir.
#include <cerrno>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "fs/daemon.h"
#include "fs/directory_handle.h"

namespace tidemark::fs {
namespace {

// --- a reply, entry by entry ---

struct stat brief(uint64_t id, uint32_t type) {
  struct stat about {};
  about.st_ino = id;
  about.st_mode = type;
  return about;
}

class Page {
 public:
  Page(fuse_req_t req, size_t size, bool plus) : req_(req), size_(size), plus_(plus) {
    if (storage().size() < size) storage() = Buffer(size);
  }
  // All say false where there is no room.
  bool add(const char* name, uint64_t id, uint32_t type, uint64_t next) {
    const struct stat about = brief(id, type);
    if (!plus_) return took(fuse_add_direntry(req_, here(), left(), name, &about, static_cast<off_t>(next)));
    fuse_entry_param unknown{};  // ino 0: an entry without attributes
    unknown.attr = about;
    return add_plus(name, unknown, next);
  }
  bool add_plus(const char* name, const fuse_entry_param& entry, uint64_t next) {
    return took(fuse_add_direntry_plus(req_, here(), left(), name, &entry, static_cast<off_t>(next)));
  }
  bool has_room_plus(const char* name) { return fuse_add_direntry_plus(req_, nullptr, 0, name, nullptr, 0) <= left(); }
  [[nodiscard]] bool empty() const { return used_ == 0; }
  bool send() { return fuse_reply_buf(req_, data(), used_) == 0; }

 private:
  static Buffer& storage() {
    thread_local Buffer buffer;
    return buffer;
  }
  static char* data() { return reinterpret_cast<char*>(storage().data()); }
  char* here() { return data() + used_; }
  [[nodiscard]] size_t left() const { return size_ - used_; }
  bool took(size_t bytes) {
    if (bytes > left()) return false;
    used_ += bytes;
    return true;
  }

  fuse_req_t req_;
  size_t size_;
  size_t used_ = 0;
  bool plus_;
};

DirectoryHandle* handle_of(const fuse_file_info* info) { return reinterpret_cast<DirectoryHandle*>(info->fh); }

// --- the directories that exist only here ---

// "." and ".." first; /.tidemark holds "at", and /.tidemark/at the marks, though every other point can be named as well.
void read_own(fuse_req_t req, Daemon& daemon, fuse_ino_t id, Page& page, uint64_t offset) {
  bool room = true;
  if (offset < 1) room = page.add(".", id, S_IFDIR, 1);
  if (room && offset < 2) room = page.add("..", id == kTidemarkDir ? FUSE_ROOT_ID : kTidemarkDir, S_IFDIR, 2);
  if (room && id == kTidemarkDir && offset < 3) page.add("at", kAtDir, S_IFDIR, 3);
  // The offset of a mark is its number + 2.
  MarkId after(offset < 2 ? 0 : offset - 2);
  constexpr size_t kBatch = 256;
  while (room && id == kAtDir) {
    TM_REPLY_ASSIGN(req, std::vector<Mark> marks, daemon.group->list_marks(after, kBatch));
    for (size_t i = 0; i < marks.size() && room; ++i) {
      after = marks[i].id;
      room = page.add(marks[i].name.c_str(), own_node((uint64_t{1} << 32) + after.value()), S_IFDIR, after.value() + 2);
    }
    if (marks.size() < kBatch) break;
  }
  page.send();
}

// --- trees ---

void op_opendir(fuse_req_t req, fuse_ino_t id, fuse_file_info* info) {
  Daemon& daemon = daemon_of(req);
  std::unique_ptr<DirectoryHandle> handle;
  if (id == kInoDir) return reply(req, EACCES);
  if (slot_of(id) != kOwnSlot) {
    TM_REPLY_ASSIGN(req, Node node, daemon.node(id));
    const bool live = node.slot == kMainSlot && daemon.group;
    handle = std::make_unique<DirectoryHandle>(live ? daemon.group : nullptr, node.hold ? node.hold : daemon.point, id,
                                               node.ino, daemon.recent_pages);
    // A past tree never changes: the kernel may keep the list.
    info->cache_readdir = info->keep_cache = !live;
  }
  info->fh = reinterpret_cast<uint64_t>(handle.get());
  if (fuse_reply_open(req, info) == 0) static_cast<void>(handle.release());
}

void op_releasedir(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  delete handle_of(info);
  reply(req, 0);
}

void op_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, fuse_file_info* info) {
  DirectoryHandle* handle = handle_of(info);
  Page page(req, size, false);
  if (!handle) return read_own(req, daemon_of(req), id, page, static_cast<uint64_t>(offset));
  Status status = handle->each(static_cast<uint64_t>(offset), [&](const DirEntry& entry, uint64_t next, Seq) {
    return page.add(entry.name.c_str(), node_id(slot_of(id), entry.ino), entry.mode, next);
  });
  if (!status.ok() && page.empty()) return reply(req, status);
  page.send();
}

// Attributes of a directory's entries, from the tree as it is now. While the directory is as it was when the list was made,
// the inode's number is enough (the kernel lets nobody change a directory while it is read); else the name decides.
class Attributes {
 public:
  explicit Attributes(Node directory) : directory_(std::move(directory)) {}
  Result<Attr> of(const DirEntry& entry, Seq listed_at) {
    if (!asked_) {
      TM_ASSIGN(Attr now, directory_.tree->get_attr(directory_.ino));
      unchanged_ = now.changed <= listed_at;
      asked_ = true;
    }
    return unchanged_ ? directory_.tree->get_attr(entry.ino) : directory_.tree->lookup(directory_.ino, entry.name);
  }

 private:
  Node directory_;
  bool asked_ = false;
  bool unchanged_ = false;
};

void op_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, fuse_file_info* info) {
  Daemon& daemon = daemon_of(req);
  DirectoryHandle* handle = handle_of(info);
  Page page(req, size, true);
  if (!handle) return read_own(req, daemon, id, page, static_cast<uint64_t>(offset));
  TM_REPLY_ASSIGN(req, Node directory, daemon.node(id));
  const uint32_t slot = directory.slot;
  Attributes attributes(std::move(directory));
  std::vector<fuse_ino_t> given;
  Status status = handle->each(static_cast<uint64_t>(offset), [&](const DirEntry& entry, uint64_t next, Seq point) {
    const char* name = entry.name.c_str();
    if (!page.has_room_plus(name)) return false;
    const bool dot = entry.name == "." || entry.name == "..";
    Result<Attr> attr = dot ? Result<Attr>(Status(Code::kNotFound, "")) : attributes.of(entry, point);
    if (!attr.ok()) return page.add(name, node_id(slot, entry.ino), entry.mode, next);  // gone meanwhile: the name alone
    const fuse_entry_param known = daemon.entry(slot, *attr);
    daemon.grab(known.ino);
    given.push_back(known.ino);
    return page.add_plus(name, known, next);
  });
  const bool sent = status.ok() || !page.empty() ? page.send() : (reply(req, status), false);
  if (sent) return;
  for (fuse_ino_t entry_id : given) daemon.drop(entry_id, 1);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t id, int, fuse_file_info*) {
  Daemon& daemon = daemon_of(req);
  if (!daemon.volume || slot_of(id) != kMainSlot) return reply(req, 0);
  daemon.durable->when_durable([req](const Status& status) { reply(req, status); });
}

}  // namespace

void add_directory_ops(fuse_lowlevel_ops& ops) {
  ops.opendir = op_opendir;
  ops.readdir = op_readdir;
  ops.readdirplus = op_readdirplus;
  ops.releasedir = op_releasedir;
  ops.fsyncdir = op_fsyncdir;
}

}  // namespace tidemark::fs
