#include "fs/directory_handle.h"

#include <algorithm>

namespace tidemark::fs {

Status DirectoryHandle::begin_locked(uint64_t offset) {
  if (begun_ && offset != 0) return {};
  if (group_) {
    TM_ASSIGN(view_, group_->view(group_->newest()));
  }
  TM_ASSIGN(Attr self, view_->get_attr(directory_));
  dots_[0] = {".", directory_, S_IFDIR};
  dots_[1] = {"..", self.parent, S_IFDIR};
  anchors_.assign(1, "");
  page_ = UINT64_MAX;
  entries_.clear();
  begun_ = true;
  return {};
}

Result<const DirEntry*> DirectoryHandle::entry_locked(uint64_t offset) {
  if (offset < 2) return &dots_[offset];
  const uint64_t index = offset - 2;
  const uint64_t page = index / kPage;
  // A page behind the known ones is reached through those between: each tells the name before the next.
  for (uint64_t next = std::min<uint64_t>(page, anchors_.size() - 1); page_ != page; ++next) {
    if (next >= anchors_.size()) return nullptr;
    TM_TRY(load_page_locked(next));
  }
  const size_t within = index % kPage;
  return within < entries_.size() ? &entries_[within] : nullptr;
}

Status DirectoryHandle::load_page_locked(uint64_t page) {
  TM_ASSIGN(entries_, view_->list(directory_, anchors_[page], kPage));
  page_ = page;
  if (entries_.size() == kPage && anchors_.size() == page + 1) anchors_.push_back(entries_.back().name);
  return {};
}

}  // namespace tidemark::fs
