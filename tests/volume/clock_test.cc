// A group whose clock jumps: points in time, and what retention lets go by age.
#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/support/clocks.h"
#include "tests/support/scratch.h"
#include "volume/group/group.h"
#include "volume/history/point.h"

namespace tidemark::test {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400 * kSecond;

struct SteppedGroup {
  Scratch scratch;
  SteppedClock clock;
  GroupOptions options;
  std::unique_ptr<Group> group;

  SteppedGroup() {
    options.clock = &clock;
    options.log.segment_bytes = 64 * 1024;
    REQUIRE(Group::init(scratch / "group", {.name = "test"}, options).ok());
    reopen();
  }
  void reopen() {
    group.reset();
    group = Group::open(scratch / "group", OpenMode::kPrimary, options).value();
  }
  // Some segments, a second apart.
  void write(const std::string& name) {
    const Ino file = group->volume().make_node(kRootIno, name, {.mode = 0100644})->ino;
    for (uint64_t i = 0; i < 20; ++i) {
      clock.now += kSecond;
      std::string content(16 * 1024, '\0');
      for (char& byte : content) byte = static_cast<char>(::random());
      REQUIRE(group->volume().write(file, i * content.size(), as_bytes(content), false).ok());
    }
    REQUIRE(group->sync().ok());
  }
  // Whether a prune by age would let anything go.
  bool lets_go(std::chrono::seconds age) {
    const auto plan = group->prune({.policy = {.age = age}, .dry_run = true});
    REQUIRE(plan.ok());
    return plan->base > plan->base_before;
  }
};

}  // namespace

TEST_CASE("clock: points in time are found after it was ahead for a while, and after a restart") {
  SteppedGroup t;
  t.write("before");
  const Seq before = t.group->newest();
  t.clock.now += kDay;
  t.clock.ahead = 365 * kDay;
  t.write("ahead");
  t.clock.ahead = 0;
  t.clock.now += kDay;
  t.write("after");
  const Seq after = t.group->newest();
  t.clock.now += 3600 * kSecond;
  t.write("later");
  for (int round = 0; round < 2; ++round) {
    INFO("round " << round);
    CHECK(t.group->resolve("-10m").value() == after);
    CHECK(t.group->resolve(format_time(t.clock.now - 2 * kDay)).value() <= before);
    CHECK(t.group->resolve("-25h").value() == before);
    CHECK(t.group->resolve(format_time(t.clock.now + kDay)).status().code() == Code::kNoSuchPoint);
    t.reopen();
  }
}

TEST_CASE("clock: one that jumps ahead lets nothing go by its age, one that goes on does") {
  SteppedGroup t;
  const std::chrono::hours week{7 * 24};
  t.write("f");
  CHECK_FALSE(t.lets_go(week));
  t.clock.ahead = 365 * kDay;
  CHECK_FALSE(t.lets_go(week));
  t.clock.now += 600 * kSecond;
  CHECK_FALSE(t.lets_go(week));
  t.clock.ahead = 0;
  CHECK_FALSE(t.lets_go(week));
  t.clock.now += 8 * kDay;
  t.write("g");
  CHECK(t.lets_go(week));
}

TEST_CASE("clock: retention goes on after records of a time to come") {
  SteppedGroup t;
  t.clock.ahead = 365 * kDay;
  t.write("ahead");
  t.clock.ahead = 0;
  t.write("f");
  t.clock.now += 8 * kDay;
  t.write("g");
  CHECK(t.lets_go(std::chrono::hours(7 * 24)));
}

}  // namespace tidemark::test
