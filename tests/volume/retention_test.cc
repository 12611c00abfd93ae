// Where the base goes: policy, limits, segments.
#include "volume/history/retention.h"

#include <catch2/catch.hpp>

namespace tidemark::test {
namespace {

// Segments of 100 records and 1,000 bytes each, from record 1 on.
RetentionState state_of(size_t segments, Seq base = Seq(1)) {
  RetentionState state;
  state.base = base;
  for (size_t i = 0; i < segments; ++i) state.segments.push_back({Seq(1 + 100 * i), 1000, 0});
  return state;
}

}  // namespace

TEST_CASE("retention: without a policy and a wish nothing moves") {
  const BasePlan plan = plan_base({}, state_of(10));
  CHECK(plan.base == Seq(1));
  CHECK(plan.segments == 0);
  CHECK(plan.stopped_by.empty());
}

TEST_CASE("retention: by age, by bytes, by wish; the farthest counts") {
  RetentionState state = state_of(10);
  state.at_age = Seq(350);
  BasePlan plan = plan_base({std::chrono::seconds(60), 0}, state);
  CHECK(plan.base == Seq(350));
  CHECK(plan.segments == 3);  // the one that holds the base stays
  CHECK(plan.segment_bytes == 3000);
  plan = plan_base({std::chrono::seconds(60), 4000}, state);
  CHECK(plan.base == Seq(601));
  CHECK(plan.segments == 6);
  plan = plan_base({std::chrono::seconds(0), 3999}, state);  // no limit by age
  CHECK(plan.base == Seq(701));
  CHECK(plan_base({std::chrono::seconds(0), 10'000}, state).base == Seq(1));
  CHECK(plan_base({std::chrono::seconds(0), 1}, state).base == Seq(901));  // the newest segment always stays
  state.to = Seq(777);
  CHECK(plan_base({std::chrono::seconds(60), 4000}, state).base == Seq(777));
}

TEST_CASE("retention: never past a limit, never backwards; the lowest limit is named") {
  RetentionState state = state_of(10, Seq(200));
  state.to = Seq(900);
  state.limits = {{Seq(950), "durable"}, {Seq(500), "a mark"}, {Seq(600), "a pair"}};
  BasePlan plan = plan_base({}, state);
  CHECK(plan.base == Seq(500));
  CHECK(plan.wanted == Seq(900));
  CHECK(plan.stopped_by == "a mark");
  CHECK(plan.segments == 4);
  state.limits.push_back({Seq(100), "somebody below the base"});
  plan = plan_base({}, state);
  CHECK(plan.base == Seq(200));
  CHECK(plan.stopped_by == "somebody below the base");
  state.to = Seq(150);
  state.limits.clear();
  plan = plan_base({}, state);
  CHECK(plan.base == Seq(200));
  CHECK(plan.stopped_by.empty());
}

TEST_CASE("retention: a base on the edge of a segment") {
  RetentionState state = state_of(3);
  state.to = Seq(200);
  CHECK(plan_base({}, state).segments == 1);
  state.to = Seq(201);
  CHECK(plan_base({}, state).segments == 2);
  CHECK(plan_base({}, state_of(0)).base == Seq(1));
}

}  // namespace tidemark::test
