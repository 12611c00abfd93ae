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
};

// The machine's clock. Lives for ever; thread-safe.
Clock& system_clock();

}  // namespace tidemark
