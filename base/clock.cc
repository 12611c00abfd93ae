#include "base/clock.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <ctime>

namespace tidemark {
namespace {

int64_t to_ns(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

int64_t read_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return to_ns(now);
}

// The time the kernel stamps files with lags behind CLOCK_REALTIME by up to a tick, and from Linux 6.13 on by less, but never behind
// a stamp that somebody has seen. In a mount the kernel stamps what is written and we what is created: from two clocks, a file would
// look older than one that was there before it. So the kernel is asked: it stamps a file of ours, which we look at.
class StampClock {
 public:
  StampClock() : fd_(memfd_create("clock", MFD_CLOEXEC)) {}  // stays open: the system's clock never goes away
  int64_t now_ns() const {
    struct stat stamped {};
    if (fd_ < 0 || futimens(fd_, nullptr) != 0 || fstat(fd_, &stamped) != 0) return read_clock(CLOCK_REALTIME_COARSE);
    return to_ns(stamped.st_ctim);
  }

 private:
  const int fd_;
};

class SystemClock final : public Clock {
 public:
  int64_t wall_ns() override { return stamps_.now_ns(); }
  int64_t steady_ns() override { return read_clock(CLOCK_MONOTONIC); }
  int64_t boot_ns() override { return read_clock(CLOCK_BOOTTIME); }

 private:
  StampClock stamps_;
};

}  // namespace

int64_t DoubtingClock::wall_ns() {
  const int64_t wall = clock_.wall_ns();
  const int64_t boot = clock_.boot_ns();
  const int64_t expected = wall_ + (boot - boot_);
  const bool ahead = begun_ && wall > expected + kStepNs;
  if (ahead && since_ < 0) since_ = boot;
  if (ahead && boot - since_ < kPatienceNs) return expected;
  begun_ = true;
  wall_ = wall;
  boot_ = boot;
  since_ = -1;
  return wall;
}

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace tidemark
