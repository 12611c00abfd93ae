// What history is kept: the rule that moves the base. Pure functions on data; Group::prune carries out what they decide.
#pragma once

#include <tidemark/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "log/log.h"

namespace tidemark {

// Both fields zero: everything is kept. With both set, what either of them lets go goes.
struct RetentionPolicy {
  std::chrono::seconds age{0};  // every moment younger than this can be restored; 0: however old
  uint64_t log_bytes = 0;       // segments together take at most about this much; 0: however much
  [[nodiscard]] bool keeps_everything() const { return age.count() == 0 && log_bytes == 0; }
  bool operator==(const RetentionPolicy&) const = default;
};

// Something that needs every point from `seq` on: the base never moves above it.
struct BaseLimit {
  Seq seq;
  std::string what;  // "the held mark 'before-upgrade'"
};

struct RetentionState {
  Seq base;                           // now; 0 or 1 where nothing was pruned yet
  Seq to;                             // a base somebody asks for; 0: none, the policy alone decides
  Seq at_age;                         // the newest record that is at least policy.age old; 0: there is none
  std::vector<SegmentInfo> segments;  // all there are, rising
  std::vector<BaseLimit> limits;
};

struct BasePlan {
  Seq base;                    // the new one; state.base where nothing is to be done
  Seq wanted;                  // where it would be without limits
  std::string stopped_by;      // the limit that kept it from `wanted`; "" where none did
  size_t segments = 0;         // that go
  uint64_t segment_bytes = 0;  // in them; what is still needed of these moves into packs
};
// The base goes as far as `to` and the policy want, and no further than the lowest limit; never backwards.
BasePlan plan_base(const RetentionPolicy& policy, const RetentionState& state);

}  // namespace tidemark
