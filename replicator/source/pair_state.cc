#include "replicator/source/pair_state.h"

#include <array>
#include <utility>

#include "base/check.h"

namespace tidemark {
namespace {

template <class Value, size_t N>
using Names = std::array<std::pair<Value, std::string_view>, N>;

constexpr Names<PairState, 7> kStates{{{PairState::kSimplex, "simplex"},
                                       {PairState::kCopying, "copying"},
                                       {PairState::kDuplex, "duplex"},
                                       {PairState::kSuspending, "suspending"},
                                       {PairState::kSuspended, "suspended"},
                                       {PairState::kFailed, "failure-suspended"},
                                       {PairState::kResyncing, "resyncing"}}};
constexpr Names<PairMode, 2> kModes{{{PairMode::kAsync, "async"}, {PairMode::kSync, "sync"}}};
constexpr Names<PairWanted, 2> kWanted{{{PairWanted::kRun, "run"}, {PairWanted::kSuspended, "suspended"}}};
constexpr Names<PairFence, 2> kFences{{{PairFence::kNever, "never"}, {PairFence::kData, "data"}}};

template <class Value, size_t N>
std::string_view name_in(const Names<Value, N>& names, Value value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return "unknown";
}

template <class Value, size_t N>
std::optional<Value> value_in(const Names<Value, N>& names, std::string_view text) {
  for (const auto& [value, name] : names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

}  // namespace

std::string_view pair_state_name(PairState state) { return name_in(kStates, state); }
std::optional<PairState> pair_state_from_name(std::string_view name) { return value_in(kStates, name); }
std::string_view pair_mode_name(PairMode mode) { return name_in(kModes, mode); }
std::optional<PairMode> pair_mode_from_name(std::string_view name) { return value_in(kModes, name); }
std::string_view pair_wanted_name(PairWanted wanted) { return name_in(kWanted, wanted); }
std::optional<PairWanted> pair_wanted_from_name(std::string_view name) { return value_in(kWanted, name); }
std::string_view pair_fence_name(PairFence fence) { return name_in(kFences, fence); }
std::optional<PairFence> pair_fence_from_name(std::string_view name) { return value_in(kFences, name); }

bool may_follow(PairState from, PairState to) {
  using enum PairState;
  if (from == to) return true;
  switch (from) {
    case kSimplex: return to == kCopying || to == kSuspended || to == kFailed;
    case kCopying: return to == kDuplex || to == kSuspended || to == kFailed;
    case kDuplex: return to == kSuspending || to == kSuspended || to == kFailed || to == kResyncing;
    case kSuspending: return to == kSuspended || to == kFailed || to == kResyncing;
    case kSuspended: return to == kResyncing || to == kCopying || to == kFailed;
    case kFailed: return to == kResyncing || to == kCopying || to == kSuspended;
    case kResyncing: return to == kDuplex || to == kSuspended || to == kFailed;
  }
  return false;
}

Status may_suspend(const PairStatus& status, const std::string& site) {
  if (status.state != PairState::kSuspended && status.state != PairState::kSuspending) return Status();
  return Status(Code::kInvalid,
                "the pair with site '" + site + "' is already " + std::string(pair_state_name(status.state)));
}

Status may_resume(const PairStatus& status, const std::string& site) {
  if (status.wanted == PairWanted::kSuspended || status.state == PairState::kFailed) return Status();
  return Status(Code::kInvalid, "the pair with site '" + site + "' is " + std::string(pair_state_name(status.state)) +
                                    "; only a suspended pair can be resumed");
}

void change_state(PairStatus& status, PairState to, std::string cause, int64_t wall_ns) {
  CHECK_INVARIANT(may_follow(status.state, to));
  if (status.state != to) status.since_ns = wall_ns;
  status.state = to;
  status.cause = std::move(cause);
  status.parked = status.parked && to == PairState::kSuspended;  // to suspend it brings back no log
  if (to == PairState::kDuplex) status.copied = true;
  if (to == PairState::kSuspended) status.armed = false;
  if (to == PairState::kFailed && status.armed) status.fenced = true;
  if (to == PairState::kDuplex || to == PairState::kSuspended) status.fenced = false;
}

}  // namespace tidemark
