// The states of a pair and which may follow which. Pure; docs/REPLICATION.md has the same table for operators.
#pragma once

#include <tidemark/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tidemark {

enum class PairState : uint8_t {
  kSimplex = 1,     // defined; nothing is copied yet
  kCopying = 2,     // initial copy
  kDuplex = 3,      // the target follows; sync: nothing is acknowledged as durable that is not durable there
  kSuspending = 4,  // async, on command: what was written before the command still goes over
  kSuspended = 5,   // on command; differences accumulate
  kFailed = 6,      // failure-suspended: the same, by itself
  kResyncing = 7,   // only what is missing, then duplex
};
std::string_view pair_state_name(PairState state);  // "simplex", … "failure-suspended"
std::optional<PairState> pair_state_from_name(std::string_view name);

// True where `to` may follow `from` (a state may follow itself).
bool may_follow(PairState from, PairState to);

enum class PairMode : uint8_t {
  kAsync = 1,  // the primary acknowledges alone, the target follows
  kSync = 2,   // in duplex a durable write is acknowledged once it is durable at both
};
std::string_view pair_mode_name(PairMode mode);  // "async", "sync"
std::optional<PairMode> pair_mode_from_name(std::string_view name);

// What a sync pair does when its target is lost.
enum class PairFence : uint8_t {
  kNever = 1,  // suspends itself; the application goes on
  kData = 2,   // writes are refused until the target is back or an operator suspends the pair
};
std::string_view pair_fence_name(PairFence fence);  // "never", "data"
std::optional<PairFence> pair_fence_from_name(std::string_view name);

// Async: duplex is reached once everything is there that was durable here so long ago, and is lost where that was longer ago than the
// bound; then the pair resynchronises.
inline constexpr std::chrono::seconds kCaughtUpLag{5};
inline constexpr std::chrono::seconds kDuplexLagMax{30};

// What the operator wants of a pair. Kept apart from its state: nothing but his next command changes it.
enum class PairWanted : uint8_t {
  kRun = 1,
  kSuspended = 2,
};
std::string_view pair_wanted_name(PairWanted wanted);  // "run", "suspended"
std::optional<PairWanted> pair_wanted_from_name(std::string_view name);

// How a pair stands; kept on disk at its source, so that no restart forgets a failure.
struct PairStatus {
  PairState state = PairState::kSimplex;
  int64_t since_ns = 0;  // wall time of the last change of state
  std::string cause;     // why it changed
  bool copied = false;   // was duplex at least once: what is missing at the target is a difference
  PairWanted wanted = PairWanted::kRun;
  // fence=data: it was duplex, and no operator has suspended it since. Nothing is acknowledged as durable unless it is duplex.
  bool armed = false;
  bool fenced = false;  // armed, and the site was lost: writes are refused until duplex, or until an operator suspends it
  bool parked = false;  // dropped by the log limit: the log is not kept for it, nor does it try again before `pair resume`
  Seq durable;          // newest seq known to be durable at the target; never more than is
  Seq drain_to;         // kSuspending: what still goes over
  // What was durable at the source at this wall time was durable at the target when this was saved: what it lacks is younger. For
  // when that is gone from the log. 0: not known.
  int64_t exposed_since_ns = 0;
  Seq reached;  // no record above this one has ever been sent to the target: where it can be at most
};

// Nothing counts as durable now.
[[nodiscard]] inline bool withholds(const PairStatus& status) { return status.armed && status.state != PairState::kDuplex; }

// Whether `tidemark pair suspend` and `resume` are for a pair in this state. kInvalid: they are not.
Status may_suspend(const PairStatus& status, const std::string& site);
Status may_resume(const PairStatus& status, const std::string& site);
// Where a pair that is resumed goes on.
[[nodiscard]] inline PairState resumed_state(const PairStatus& status) {
  return status.copied ? PairState::kResyncing : PairState::kCopying;
}

// Moves to `to`. kSuspended is an operator's word: it disarms the fence. A transition the table does not allow is a broken invariant.
void change_state(PairStatus& status, PairState to, std::string cause, int64_t wall_ns);

}  // namespace tidemark
