// An open directory: a list that stays as it was when reading began, in order of name, with offsets that can be sought.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "fs/node.h"
#include "volume/group.h"

namespace tidemark::fs {

// An offset is the number of entries before it: "." is at 0, ".." at 1, the names follow in bytewise order. Memory is bounded
// by one page of entries and one name for each page passed. Thread-safe; holds its lock while it reads the tree.
class DirectoryHandle {
 public:
  // `group` set: the live tree; reading from the start takes a new snapshot of it. Else `view` itself is listed.
  DirectoryHandle(Group* group, std::shared_ptr<TreeView> view, Ino directory)
      : group_(group), view_(std::move(view)), directory_(directory) {}

  // Hands entries from `offset` on to `take(const DirEntry&, next_offset, point)` until it says false, or the end. `point`: of
  // the tree the entries come from.
  template <class Take>
  Status each(uint64_t offset, Take&& take) {
    MutexLock lock(mutex_);
    TM_TRY(begin_locked(offset));
    for (;; ++offset) {
      TM_ASSIGN(const DirEntry* entry, entry_locked(offset));
      if (!entry || !take(*entry, offset + 1, view_->point())) return {};
    }
  }

 private:
  static constexpr size_t kPage = 1024;  // entries
  Status begin_locked(uint64_t offset) TM_REQUIRES(mutex_);
  Result<const DirEntry*> entry_locked(uint64_t offset) TM_REQUIRES(mutex_);  // null: past the end
  Status load_page_locked(uint64_t page) TM_REQUIRES(mutex_);

  Group* const group_;
  Mutex mutex_;
  std::shared_ptr<TreeView> view_ TM_GUARDED_BY(mutex_);
  const Ino directory_;
  DirEntry dots_[2] TM_GUARDED_BY(mutex_);
  bool begun_ TM_GUARDED_BY(mutex_) = false;
  std::vector<std::string> anchors_ TM_GUARDED_BY(mutex_);  // [p]: the name before page p
  uint64_t page_ TM_GUARDED_BY(mutex_) = UINT64_MAX;        // the page in entries_
  std::vector<DirEntry> entries_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark::fs
