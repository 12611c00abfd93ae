// The points of a group that readers look at, held so that no prune takes them away meanwhile; and for how long.
//
// A point is held for the key that looked at it as long as a session of that key is open, and a moment longer. But no key holds the
// history for ever: what it has held for, in all, is counted, and counted down again while it holds nothing. At the limit it holds
// nothing more until it has rested as long. It reads on meanwhile, as far as no prune passes what it reads.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "volume/group/group.h"

namespace tidemark {

inline constexpr std::chrono::seconds kViewIdleMax{10};  // after the last session of the key
inline constexpr size_t kViewsPerKeyMax = 8;             // points at a time; the one not used for longest makes room
inline constexpr std::chrono::hours kReaderHoldDefault{1};

// Thread-safe.
class ReaderViews {
 public:
  ReaderViews(Clock& clock, std::chrono::nanoseconds hold_max) : clock_(clock), hold_max_ns_(hold_max.count()) {}

  // The tree at `point`, for a reader with this key ("": without keys all are one).
  Result<std::shared_ptr<TreeView>> view(Group& group, const std::string& key, Seq point) TM_EXCLUDES(mutex_);
  // A session of the key has begun, or ended.
  void came(const std::string& key) TM_EXCLUDES(mutex_);
  void left(const std::string& key) TM_EXCLUDES(mutex_);
  // Lets go of what is held long enough. To be called every second or so.
  void expire() TM_EXCLUDES(mutex_);
  void clear() TM_EXCLUDES(mutex_);

 private:
  struct View {
    Seq point;
    std::shared_ptr<TreeView> tree;
    bool holds = false;
  };
  struct Reader {
    size_t sessions = 0;
    int64_t left_ns = 0;    // when the last of them ended, or when somebody last looked without one
    int64_t held_ns = 0;    // counted up while it holds something, and down while it does not
    bool rests = false;     // it has held for long enough
    std::list<View> views;  // newest used first
    [[nodiscard]] bool holds() const;
  };
  std::shared_ptr<TreeView> known(Reader& reader, Seq point) TM_REQUIRES(mutex_);

  Clock& clock_;
  const int64_t hold_max_ns_;
  Mutex mutex_;  // a leaf; views end after it is let go
  std::map<std::string, Reader> readers_ TM_GUARDED_BY(mutex_);
  int64_t counted_ns_ TM_GUARDED_BY(mutex_) = 0;
};

}  // namespace tidemark
