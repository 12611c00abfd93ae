// Which points are being looked at: the base does not move above the oldest of them.
#pragma once

#include <tidemark/types.h>

#include <optional>
#include <set>

#include "base/mutex.h"

namespace tidemark {

// What a view is to the base.
enum class ViewKind {
  kHolds,    // the base does not move above it
  kPassing,  // it does, and then the view ends
  kCopy,     // as kHolds, for a difference that is being read: it ends when whoever reads it is given up
};

// Thread-safe; its mutex is a leaf.
class ViewLedger {
 public:
  // False: the point lies below the base, or below one that is just being made.
  bool enter(Seq point, ViewKind kind) {
    MutexLock lock(mutex_);
    if (point < floor_ || point > ceiling_) return false;
    if (kind != ViewKind::kPassing) points_of(kind).insert(point);
    return true;
  }
  void leave(Seq point, ViewKind kind) {
    MutexLock lock(mutex_);
    if (kind != ViewKind::kPassing) points_of(kind).erase(points_of(kind).find(point));
  }
  [[nodiscard]] std::optional<Seq> oldest(ViewKind kind) const {
    MutexLock lock(mutex_);
    const auto& points = kind == ViewKind::kCopy ? copies_ : points_;
    if (points.empty()) return std::nullopt;
    return *points.begin();
  }
  // From now on nobody enters below `base`. False, and nothing has changed, where somebody is there.
  bool raise(Seq base) {
    MutexLock lock(mutex_);
    for (const auto* points : {&points_, &copies_}) {
      if (!points->empty() && *points->begin() < base) return false;
    }
    floor_ = base;
    return true;
  }
  // After an attempt that came to nothing.
  void lower(Seq base) {
    MutexLock lock(mutex_);
    floor_ = base;
  }
  // From now on nobody enters above `top`, until lift(). False, and nothing has changed, where somebody is there. Passing views do not
  // count: they end, all of them.
  bool press(Seq top) {
    MutexLock lock(mutex_);
    for (const auto* points : {&points_, &copies_}) {
      if (!points->empty() && *points->rbegin() > top) return false;
    }
    ceiling_ = top;
    ++cuts_;
    return true;
  }
  void lift() {
    MutexLock lock(mutex_);
    ceiling_ = kLatest;
  }
  // How often press() has succeeded.
  [[nodiscard]] uint64_t cuts() const {
    MutexLock lock(mutex_);
    return cuts_;
  }
  [[nodiscard]] Seq floor() const {
    MutexLock lock(mutex_);
    return floor_;
  }

 private:
  std::multiset<Seq>& points_of(ViewKind kind) TM_REQUIRES(mutex_) { return kind == ViewKind::kCopy ? copies_ : points_; }

  mutable Mutex mutex_;
  std::multiset<Seq> points_ TM_GUARDED_BY(mutex_);
  std::multiset<Seq> copies_ TM_GUARDED_BY(mutex_);
  Seq floor_ TM_GUARDED_BY(mutex_);
  Seq ceiling_ TM_GUARDED_BY(mutex_) = kLatest;
  uint64_t cuts_ TM_GUARDED_BY(mutex_) = 0;
};

}  // namespace tidemark
