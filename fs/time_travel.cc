#include "fs/time_travel.h"

#include <unistd.h>

#include <algorithm>

namespace tidemark::fs {

Result<struct stat> own_stat(fuse_ino_t id, bool closed) {
  if (id != kTidemarkDir && id != kAtDir && id != kInoDir) return Status(Code::kNotFound, "no such directory");
  struct stat result {};
  result.st_ino = id;
  result.st_mode = S_IFDIR | 0555;
  if (closed && id == kAtDir) {
    result.st_mode = S_IFDIR | 0500;
    result.st_uid = geteuid();
    result.st_gid = getegid();
  }
  result.st_nlink = 2;
  result.st_blksize = kBlockSize;
  return result;
}

Result<TimeTravel::Entered> TimeTravel::enter(std::string_view point) {
  TM_ASSIGN(Seq seq, group_.resolve(point));
  std::shared_ptr<TreeView> tree;
  {
    SharedLock lock(mutex_);
    if (uint32_t slot = find_locked(point, seq)) tree = slots_[slot].view;
  }
  if (!tree) {
    // The kernel remembers points for as long as it likes: that must not keep the base where it is.
    TM_ASSIGN(tree, group_.passing_view(seq));
  }
  TM_ASSIGN(Attr root, tree->get_attr(tree->root()));
  const uint32_t slot = claim(std::string(point), seq, tree);
  if (slot == 0) return Status(Code::kLimit, "too many points are in use at once under /.tidemark/at");
  return Entered{slot, root};
}

std::shared_ptr<TreeView> TimeTravel::view(uint32_t slot) {
  SharedLock lock(mutex_);
  return slot >= 1 && slot <= kSlots ? slots_[slot].view : nullptr;
}

uint64_t TimeTravel::generation(uint32_t slot) {
  SharedLock lock(mutex_);
  return slot >= 1 && slot <= kSlots ? slots_[slot].generation : 0;
}

void TimeTravel::add(uint32_t slot, uint64_t lookups) {
  ExclusiveLock lock(mutex_);
  if (slot < 1 || slot > kSlots || !slots_[slot].view) return;
  if (slots_[slot].lookups == 0) --idle_, ++in_use_;  // an idle tree, entered again by a file handle
  slots_[slot].lookups += lookups;
}

void TimeTravel::forget(uint32_t slot, uint64_t lookups) {
  ExclusiveLock lock(mutex_);
  if (slot < 1 || slot > kSlots || slots_[slot].lookups == 0) return;
  Slot& s = slots_[slot];
  s.lookups -= std::min(lookups, s.lookups);
  if (s.lookups > 0) return;
  s.used = ++clock_;
  ++idle_;
  if (!s.sent_away) --in_use_;
  s.sent_away = false;
  if (idle_ > kIdleViews) drop_idle_locked();
}

uint32_t TimeTravel::claim(const std::string& point, Seq seq, const std::shared_ptr<TreeView>& tree) {
  ExclusiveLock lock(mutex_);
  if (uint32_t slot = find_locked(point, seq)) {
    Slot& s = slots_[slot];
    if (s.lookups++ == 0) --idle_, ++in_use_;
    s.used = ++clock_;
    return slot;
  }
  uint32_t chosen = 0;
  for (uint32_t slot = 1; slot <= kSlots && (chosen == 0 || slots_[chosen].view); ++slot) {
    const Slot& s = slots_[slot];
    if (!s.view || (s.lookups == 0 && (chosen == 0 || s.used < slots_[chosen].used))) chosen = slot;
  }
  if (chosen == 0) return 0;
  Slot& s = slots_[chosen];
  if (s.view) --idle_;
  ++in_use_;
  s = Slot{point, seq, tree, 1, s.generation + 1, ++clock_, false};
  return chosen;
}

std::vector<std::string> TimeTravel::crowded_out() {
  {
    SharedLock lock(mutex_);
    if (in_use_ <= kCrowded) return {};
  }
  ExclusiveLock lock(mutex_);
  std::vector<uint32_t> oldest;
  for (uint32_t slot = 1; slot <= kSlots; ++slot) {
    if (slots_[slot].view && slots_[slot].lookups > 0 && !slots_[slot].sent_away) oldest.push_back(slot);
  }
  const auto earlier = [this](uint32_t a, uint32_t b) TM_NO_ANALYSIS { return slots_[a].used < slots_[b].used; };
  std::sort(oldest.begin(), oldest.end(), earlier);
  oldest.resize(std::min<size_t>(oldest.size(), kSentAway));
  std::vector<std::string> points;
  for (uint32_t slot : oldest) {
    slots_[slot].sent_away = true;
    --in_use_;
    points.push_back(slots_[slot].point);
  }
  return points;
}

uint32_t TimeTravel::find_locked(std::string_view point, Seq seq) const {
  for (uint32_t slot = 1; slot <= kSlots; ++slot) {
    const Slot& s = slots_[slot];
    if (s.view && s.seq == seq && s.point == point) return slot;
  }
  return 0;
}

void TimeTravel::drop_idle_locked() {
  uint32_t oldest = 0;
  for (uint32_t slot = 1; slot <= kSlots; ++slot) {
    const Slot& s = slots_[slot];
    if (s.view && s.lookups == 0 && (oldest == 0 || s.used < slots_[oldest].used)) oldest = slot;
  }
  if (oldest == 0) return;
  slots_[oldest].view.reset();
  slots_[oldest].point.clear();
  --idle_;
}

}  // namespace tidemark::fs
