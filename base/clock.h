// Time as an interface, so that a simulation can run the real code under a seed.
#pragma once

#include <cstdint>

namespace tidemark {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since 1970-01-01 UTC. May step in either direction.
  [[nodiscard]] virtual int64_t wall_ns() = 0;
  // Nanoseconds of a clock that never steps back.
  [[nodiscard]] virtual int64_t steady_ns() = 0;
  // The same, and it goes on while the machine sleeps.
  [[nodiscard]] virtual int64_t boot_ns() { return steady_ns(); }
};

// The wall clock for deciding what is old enough to delete. A step forward that the boot clock does not confirm does not count as time
// passed until it has stood for an hour. A step back is taken at once. Not thread-safe.
class DoubtingClock {
 public:
  explicit DoubtingClock(Clock& clock) : clock_(clock) {}
  // Never later than the wall clock.
  int64_t wall_ns();
  static constexpr int64_t kStepNs = 60'000'000'000;         // less than this is drift or slewing, not a step
  static constexpr int64_t kPatienceNs = 3'600'000'000'000;  // a step that has stood so long is believed

 private:
  Clock& clock_;
  bool begun_ = false;
  int64_t wall_ = 0;  // at `boot_`
  int64_t boot_ = 0;
  int64_t since_ = -1;  // boot time at which the clock was first seen ahead; -1: it is not
};

// The machine's clock. Lives for ever; thread-safe.
Clock& system_clock();

}  // namespace tidemark
