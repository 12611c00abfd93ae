#include "fs/directory_handle.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/hash.h"

namespace tidemark::fs {
namespace {

constexpr uint64_t kFirstName = 16;  // below: the dots

}  // namespace

uint64_t cookie_of(std::string_view name) { return std::max(hash64(as_bytes(name)) >> 1, kFirstName); }

void RecentPages::keep(uint64_t directory, std::deque<DirectoryPage> pages) {
  while (pages.size() > kPagesEach) pages.pop_front();
  MutexLock lock(mutex_);
  std::erase_if(newest_first_, [&](const Kept& kept) { return kept.directory == directory; });
  newest_first_.push_front({directory, std::move(pages)});
  if (newest_first_.size() > kDirectories) newest_first_.pop_back();
}

std::string RecentPages::name_at(uint64_t directory, uint64_t cookie) {
  MutexLock lock(mutex_);
  for (const Kept& kept : newest_first_) {
    if (kept.directory != directory) continue;
    for (const DirectoryPage& page : kept.pages) {
      const auto found = std::find(page.cookies.rbegin(), page.cookies.rend(), cookie);
      if (found != page.cookies.rend()) return page.entries[static_cast<size_t>(page.cookies.rend() - found) - 1].name;
    }
  }
  return "";
}

DirectoryHandle::~DirectoryHandle() {
  if (!pages_.empty()) recent_.keep(id_, std::move(pages_));
}

Status DirectoryHandle::begin_locked() {
  if (group_) {
    TM_ASSIGN(view_, group_->passing_view(group_->newest()));
  }
  TM_ASSIGN(Attr self, view_->get_attr(directory_));
  dots_[0] = {".", directory_, S_IFDIR};
  dots_[1] = {"..", self.parent, S_IFDIR};
  before_.clear();
  pages_.clear();
  complete_ = false;
  begun_ = true;
  return {};
}

Status DirectoryHandle::seek_locked(uint64_t cookie) {
  if (!begun_ || cookie == 0) TM_TRY(begin_locked());
  if (cookie <= kDots) {
    if (!before_.empty()) {
      before_.clear();
      pages_.clear();
      complete_ = false;
    }
    next_ = cookie;
    return {};
  }
  if (seek_in_pages_locked(cookie)) return {};
  TM_ASSIGN(before_, name_at_locked(cookie));
  pages_.clear();
  complete_ = false;
  next_ = kDots;
  return {};
}

// Where two names of a directory have one hash the later one counts: a listing then goes on, and never in circles.
bool DirectoryHandle::seek_in_pages_locked(uint64_t cookie) {
  size_t end = 0;
  for (const DirectoryPage& page : pages_) end += page.cookies.size();
  for (size_t i = pages_.size(); i > 0; --i) {
    const DirectoryPage& page = pages_[i - 1];
    end -= page.cookies.size();
    const auto found = std::find(page.cookies.rbegin(), page.cookies.rend(), cookie);
    if (found == page.cookies.rend()) continue;
    next_ = kDots + end + static_cast<size_t>(page.cookies.rend() - found);
    for (size_t passed = i - 1; passed > 0; --passed) {
      next_ -= pages_.front().cookies.size();
      before_ = pages_.front().entries.back().name;
      pages_.pop_front();
    }
    return true;
  }
  return false;
}

Result<std::string> DirectoryHandle::name_at_locked(uint64_t cookie) {
  if (std::string name = recent_.name_at(id_, cookie); !name.empty()) return name;
  std::string found;
  for (std::string after;;) {
    TM_ASSIGN(const std::vector<DirEntry> entries, list_locked(after));
    for (const DirEntry& entry : entries) {
      if (cookie_of(entry.name) == cookie) found = entry.name;
    }
    if (entries.size() < kPage) break;
    after = entries.back().name;
  }
  if (!found.empty()) return found;
  const Status unknown(Code::kInvalid, "this place in the directory is not known any more; read it from the beginning");
  if (!group_) return unknown;
  Result<std::string> gone =
      group_->volume().find_name(directory_, [&](std::string_view name) { return cookie_of(name) == cookie; });
  return gone.status().code() == Code::kNotFound ? Result<std::string>(unknown) : gone;
}

uint64_t DirectoryHandle::cookie_locked() const {
  if (next_ < kDots) return next_ + 1;
  size_t index = next_ - kDots;
  for (const DirectoryPage& page : pages_) {
    if (index < page.cookies.size()) return page.cookies[index];
    index -= page.cookies.size();
  }
  return 0;
}

Result<const DirEntry*> DirectoryHandle::entry_locked() {
  if (next_ < kDots) return &dots_[next_];
  size_t index = next_ - kDots;
  for (const DirectoryPage& page : pages_) {
    if (index < page.entries.size()) return &page.entries[index];
    index -= page.entries.size();
  }
  if (complete_) return nullptr;
  const std::string after = pages_.empty() ? before_ : pages_.back().entries.back().name;
  DirectoryPage page;
  TM_ASSIGN(page.entries, list_locked(after));
  complete_ = page.entries.size() < kPage;
  if (page.entries.empty()) return nullptr;
  page.cookies.reserve(page.entries.size());
  for (const DirEntry& entry : page.entries) page.cookies.push_back(cookie_of(entry.name));
  pages_.push_back(std::move(page));
  return &pages_.back().entries[0];
}

Result<std::vector<DirEntry>> DirectoryHandle::list_locked(const std::string& after) {
  Result<std::vector<DirEntry>> entries = view_->list(directory_, after, kPage);
  if (entries.ok() || entries.status().code() != Code::kNoSuchPoint || !group_) return entries;
  TM_ASSIGN(view_, group_->passing_view(group_->newest()));
  return view_->list(directory_, after, kPage);
}

}  // namespace tidemark::fs
