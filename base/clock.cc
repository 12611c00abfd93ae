#include "base/clock.h"

#include <ctime>

namespace tidemark {
namespace {

int64_t read_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

class SystemClock final : public Clock {
 public:
  int64_t wall_ns() override { return read_clock(CLOCK_REALTIME); }
  int64_t steady_ns() override { return read_clock(CLOCK_MONOTONIC); }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace tidemark
