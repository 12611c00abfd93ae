// An open directory: a list that stays as it was when reading began, in order of name, which can be entered anywhere.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "volume/group/group.h"

namespace tidemark::fs {

// The place behind a name in a listing, as the kernel, telldir(3) and NFS keep it: a hash of the name, so it means the same in every handle,
// in every mount, and when the name is gone. 0 is the beginning, 1 behind ".", 2 behind "..".
uint64_t cookie_of(std::string_view name);

struct DirectoryPage {
  std::vector<DirEntry> entries;
  std::vector<uint64_t> cookies;  // of each
};

// Pages that were read a moment ago, by directory: an NFS server opens the directory anew for each piece of a listing. Thread-safe.
class RecentPages {
 public:
  void keep(uint64_t directory, std::deque<DirectoryPage> pages);
  // The name `cookie` stands behind; "" where none of the pages kept has it.
  std::string name_at(uint64_t directory, uint64_t cookie);

 private:
  static constexpr size_t kDirectories = 16;
  static constexpr size_t kPagesEach = 4;
  struct Kept {
    uint64_t directory = 0;
    std::deque<DirectoryPage> pages;
  };
  Mutex mutex_;
  std::list<Kept> newest_first_ TM_GUARDED_BY(mutex_);
};

// Memory is bounded by the pages one reply needs. Thread-safe; holds its lock while it reads the tree.
class DirectoryHandle {
 public:
  // `group` set: the live tree; reading from the start takes a new snapshot of it. It does not hold the base: once that has passed
  // the snapshot, a newer one takes its place and the listing goes on behind the last name. Else `view` itself is listed. `recent`
  // outlives the handle.
  DirectoryHandle(Group* group, std::shared_ptr<TreeView> view, uint64_t id, Ino directory, RecentPages& recent)
      : group_(group), view_(std::move(view)), id_(id), directory_(directory), recent_(recent) {}
  ~DirectoryHandle();
  DirectoryHandle(const DirectoryHandle&) = delete;
  DirectoryHandle& operator=(const DirectoryHandle&) = delete;

  // Hands what follows `cookie` to `take(const DirEntry&, its cookie, point)` until it says false, or the end. `point`: of the
  // tree the entry comes from. kInvalid: no name that is or was in the directory since the base has that cookie.
  template <class Take>
  Status each(uint64_t cookie, Take&& take) {
    MutexLock lock(mutex_);
    TM_TRY(seek_locked(cookie));
    for (;; ++next_) {
      TM_ASSIGN(const DirEntry* entry, entry_locked());
      if (!entry || !take(*entry, cookie_locked(), view_->point())) return {};
    }
  }

 private:
  static constexpr size_t kPage = 1024;  // entries
  static constexpr size_t kDots = 2;
  Status begin_locked() TM_REQUIRES(mutex_);
  Status seek_locked(uint64_t cookie) TM_REQUIRES(mutex_);
  bool seek_in_pages_locked(uint64_t cookie) TM_REQUIRES(mutex_);
  Result<std::string> name_at_locked(uint64_t cookie) TM_REQUIRES(mutex_);
  Result<const DirEntry*> entry_locked() TM_REQUIRES(mutex_);  // null: past the end
  uint64_t cookie_locked() const TM_REQUIRES(mutex_);
  Result<std::vector<DirEntry>> list_locked(const std::string& after) TM_REQUIRES(mutex_);

  Group* const group_;
  Mutex mutex_;
  std::shared_ptr<TreeView> view_ TM_GUARDED_BY(mutex_);
  const uint64_t id_;
  const Ino directory_;
  RecentPages& recent_;
  DirEntry dots_[kDots] TM_GUARDED_BY(mutex_);
  bool begun_ TM_GUARDED_BY(mutex_) = false;
  // Where reading goes on: a dot, or kDots + an index into the entries of pages_, one behind the other. Pages before the one a reply began
  // in are let go.
  size_t next_ TM_GUARDED_BY(mutex_) = 0;
  std::string before_ TM_GUARDED_BY(mutex_);  // the name before pages_
  std::deque<DirectoryPage> pages_ TM_GUARDED_BY(mutex_);
  bool complete_ TM_GUARDED_BY(mutex_) = false;  // pages_ reach the end
};

}  // namespace tidemark::fs
