// Clocks that tests move.
#pragma once

#include <chrono>

#include "base/clock.h"

namespace tidemark::test {

// Stands still until it is told.
class ManualClock final : public Clock {
 public:
  int64_t wall_ns() override { return 1'800'000'000'000'000'000 + now_; }
  int64_t steady_ns() override { return now_; }
  void advance(std::chrono::nanoseconds time) { now_ += time.count(); }

 private:
  int64_t now_ = 1'000'000'000;
};

// Goes on with each look; the wall clock can be wrong.
class SteppedClock final : public Clock {
 public:
  int64_t now = 1'700'000'000'000'000'000;
  int64_t ahead = 0;  // by so much the wall clock is wrong
  int64_t wall_ns() override { return (now += 1000) + ahead; }
  int64_t steady_ns() override { return now; }
};

}  // namespace tidemark::test
