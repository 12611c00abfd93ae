// Reading the tree of a local group at a seq: what the live volume and every point of it have in common.
#pragma once

#include <memory>

#include "base/pinned.h"
#include "log/log.h"
#include "volume/group/directory.h"
#include "volume/history/view_ledger.h"
#include "volume/tree/state.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

class LogWriter;

// What views share with their group: they may outlive it. Members go in reverse order: the index is closed while the log it may
// want synced is still there, and the lock is given back when nothing of ours is open any more.
struct GroupCore {
  std::shared_ptr<PinnedDirectory> directory;  // the last to go: everything below is found through it
  std::shared_ptr<void> scratch;        // removes an index that was made for this reader alone, once the state is gone
  std::unique_ptr<DirectoryLock> lock;  // null in a reader
  std::unique_ptr<Log> log;
  LogWriter* writer = nullptr;  // the same, where this process appends to it
  std::unique_ptr<TreeState> state;
  ViewLedger views;

  [[nodiscard]] LogWriter& log_writer() const {
    CHECK_INVARIANT(writer != nullptr);
    return *writer;
  }
};

class TreeReader {
 public:
  TreeReader(Log& log, TreeState& state, Seq point) : log_(log), state_(state), point_(point) {}

  Result<Attr> get_attr(Ino ino) const;
  Result<Attr> lookup(Ino directory, std::string_view name) const;
  Result<std::vector<DirEntry>> list(Ino directory, std::string_view after, size_t max) const;
  Result<std::string> read_link(Ino ino) const;
  Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) const;
  Result<std::vector<DataRange>> data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) const;
  Result<std::string> get_xattr(Ino ino, std::string_view name) const;
  Result<std::vector<std::string>> list_xattr(Ino ino) const;
  // Whole blocks [first, first + out.size() / kBlockSize), zeros where nothing is, whatever the file's size.
  Status read_blocks(Ino ino, uint64_t first, MutableBytes out) const;
  [[nodiscard]] Seq point() const { return point_; }

 private:
  Result<Attr> directory(Ino ino) const;
  [[nodiscard]] std::string place(Ino ino, uint64_t at) const;
  Status read_in_chunk(Ino ino, uint64_t block, MutableBytes out) const;

  Log& log_;
  TreeState& state_;
  const Seq point_;
};

// The tree at a fixed seq. Null: the base is above it, or just moving there. A passing view answers kNoSuchPoint from the moment that the
// base has moved above it; any other keeps it from moving there.
std::shared_ptr<TreeView> make_point_view(std::shared_ptr<GroupCore> core, Seq point, ViewKind kind);

}  // namespace tidemark
