// Which points are being looked at: the base does not move above the oldest of them.
#pragma once

#include <tidemark/types.h>

#include <optional>
#include <set>

#include "base/mutex.h"

namespace tidemark {

// Thread-safe; its mutex is a leaf.
class ViewLedger {
 public:
  // False: the point lies below the base, or below one that is just being made.
  bool enter(Seq point) {
    MutexLock lock(mutex_);
    if (point < floor_) return false;
    points_.insert(point);
    return true;
  }
  void leave(Seq point) {
    MutexLock lock(mutex_);
    points_.erase(points_.find(point));
  }
  [[nodiscard]] std::optional<Seq> oldest() const {
    MutexLock lock(mutex_);
    if (points_.empty()) return std::nullopt;
    return *points_.begin();
  }
  // From now on nobody enters below `base`. False, and nothing has changed, where somebody is there.
  bool raise(Seq base) {
    MutexLock lock(mutex_);
    if (!points_.empty() && *points_.begin() < base) return false;
    floor_ = base;
    return true;
  }
  // After an attempt that came to nothing.
  void lower(Seq base) {
    MutexLock lock(mutex_);
    floor_ = base;
  }
  [[nodiscard]] Seq floor() const {
    MutexLock lock(mutex_);
    return floor_;
  }

 private:
  mutable Mutex mutex_;
  std::multiset<Seq> points_ TM_GUARDED_BY(mutex_);
  Seq floor_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
