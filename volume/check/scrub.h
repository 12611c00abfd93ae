// Reads a group's log again and again in the background, checks every byte, and has what is damaged put right from another copy
// (Log::set_record_sources) while that is still there. What was sealed gets its digest (log/digests).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "volume/check/scrub_state.h"
#include "volume/group/group.h"

namespace tidemark {

inline constexpr uint64_t kScrubBytesPerSecond = uint64_t{8} << 20;  // of all groups of a process together
inline constexpr std::chrono::hours kScrubEveryDefault{30 * 24};

struct ScrubOptions {
  uint64_t bytes_per_second = kScrubBytesPerSecond;
  std::chrono::nanoseconds retry_every = std::chrono::minutes(10);  // places that could not be put right are looked at again
  std::chrono::nanoseconds save_every = std::chrono::seconds(30);   // how far a pass has come
  FileSystem* files = &posix_file_system();
  Clock* clock = &system_clock();
};

// Keeps a rate: whoever has read so many bytes waits until he may read on.
class ScrubPace {
 public:
  // `wait` is given nanoseconds; what it returns, unless ok, ends the work.
  using Wait = std::function<Status(std::chrono::nanoseconds)>;
  ScrubPace(Clock& clock, uint64_t bytes_per_second, Wait wait);
  Status spent(uint64_t bytes);
  Status go_on() { return wait_(std::chrono::nanoseconds(0)); }  // without a word about the rate

 private:
  Clock& clock_;
  const uint64_t bytes_per_second_;
  const Wait wait_;
  int64_t free_ns_ = 0;  // when all that was read is paid for
};

// One group's scrubbing, without a thread. The group is open for writing, and outlives it. Not thread-safe.
class GroupScrub {
 public:
  GroupScrub(Group& group, const ScrubOptions& options);

  // Does what is due: at most one segment or pack. Returns how long nothing is due then; 0: there is more.
  Result<std::chrono::nanoseconds> step(ScrubPace& pace);
  // How far it has come is on disk on return.
  Status save();
  [[nodiscard]] const ScrubState& state() const { return state_; }

 private:
  void begin_pass();
  void end_pass();
  // The next part of the pass that goes on; nothing behind the last.
  [[nodiscard]] std::optional<LogPart> next_part();
  [[nodiscard]] std::optional<LogPart> part_named(const std::string& file) const;
  // `wait` is told of bytes read.
  using Wait = std::function<Status(uint64_t bytes)>;
  Status look_at(const LogPart& part, Seq last, bool from_disk, const Wait& wait);
  // What was sealed lately gets its digest while memory holds it still. True: a part did.
  Result<bool> digest_one(ScrubPace& pace);
  Status retry_one(ScrubPace& pace);
  void forget(const std::string& file);  // it has no damage any more that is known
  void note(const std::string& file, const std::vector<LogDamage>& found, const std::vector<LogDamage>& left);
  void save_now_and_then(bool now);

  Group& group_;
  const ScrubOptions options_;
  Clock& clock_;
  ScrubState state_;
  ScrubState saved_;      // as it is on disk
  int64_t saved_ns_ = 0;  // steady, as the next
  int64_t retry_ns_ = 0;
  Seq digest_from_;              // segments from here on get their digest at once, those before with a pass
  Seq digest_packs_above_;       // likewise packs that were made for a later base
  std::set<std::string> tried_;  // of these, those that were looked at
  std::set<std::string> retry_;  // files that are still to be looked at again in this round
  std::string told_;             // why it could not be saved, as logged last
};

// One thread for any number of groups, which take turns.
class Scrubber {
 public:
  static std::unique_ptr<Scrubber> start(const ScrubOptions& options = {});
  virtual ~Scrubber() = default;  // stops within moments, or as long as another copy takes to answer
  // One whose scrub_every() is 0 only gets digests for what is sealed. Each must outlive this; each once. Any thread.
  virtual void add(Group& group) = 0;
};

}  // namespace tidemark
