#include "volume/history/retention.h"

#include <algorithm>

namespace tidemark {
namespace {

// The lowest base that leaves at most `bytes_max` of segments: the segment that holds it stays, and so do all after it.
Seq base_for_bytes(const std::vector<SegmentInfo>& segments, uint64_t bytes_max) {
  uint64_t bytes = 0;
  Seq base;
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    bytes += segment->bytes;
    if (bytes > bytes_max && base != Seq()) return base;
    base = segment->first_seq;
  }
  return Seq();  // all of it is within the limit
}

}  // namespace

BasePlan plan_base(const RetentionPolicy& policy, const RetentionState& state) {
  BasePlan plan;
  plan.wanted = std::max(state.base, state.to);
  if (policy.age.count() > 0) plan.wanted = std::max(plan.wanted, state.at_age);
  if (policy.log_bytes > 0) plan.wanted = std::max(plan.wanted, base_for_bytes(state.segments, policy.log_bytes));
  plan.base = plan.wanted;
  for (const BaseLimit& limit : state.limits) {
    if (limit.seq >= plan.base) continue;
    plan.base = limit.seq;
    plan.stopped_by = limit.what;
  }
  for (const Gap& gap : state.gaps) {
    if (gap.from.seq < plan.base && plan.base < gap.to.seq) plan.base = gap.from.seq;
  }
  plan.base = std::max(plan.base, state.base);
  for (size_t i = 0; i + 1 < state.segments.size() && state.segments[i + 1].first_seq <= plan.base; ++i) {
    ++plan.segments;
    plan.segment_bytes += state.segments[i].bytes;
  }
  return plan;
}

}  // namespace tidemark
