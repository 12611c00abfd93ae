// What is on its way over lines of every kind: enough to fill them, and little enough for a heartbeat to get over.
#include "replicator/source/line_rate.h"

#include <catch2/catch.hpp>
#include <deque>

using namespace tidemark;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t ns(std::chrono::nanoseconds time) { return time.count(); }

// A line that carries `rate` bytes a second and answers after `round_trip`, with a sender that always has more.
struct SimulatedLine {
  double rate;
  std::chrono::nanoseconds round_trip;
  LineRate measured{};
  int64_t now = 1;
  int64_t free = 0;  // the line is
  uint64_t sent = 0, consumed = 0, most_waiting = 0;
  struct Way {
    int64_t answered;
    uint64_t end;
  };
  std::deque<Way> way{};
  size_t record = 0;  // its size: a run is at least one record

  void run(std::chrono::nanoseconds time) {
    for (const int64_t end = now + ns(time); now < end;) {
      while (!way.empty() && way.front().answered <= now) {
        consumed = way.front().end;
        way.pop_front();
        measured.acknowledge(consumed, now);
      }
      while (measured.has_room()) {
        const size_t size = std::max(measured.run_max(), record);
        sent += size;
        free = std::max(free, now) + static_cast<int64_t>(static_cast<double>(size) / rate * 1e9);
        way.push_back({free + ns(round_trip), sent});
        measured.add(size, now);
      }
      most_waiting = std::max(most_waiting, sent - consumed);
      now = std::min(end, way.empty() ? end : way.front().answered);
    }
  }
  // The part of the line's time that carried something, over so long.
  double filled(std::chrono::nanoseconds time) {
    const uint64_t before = consumed;
    run(time);
    return static_cast<double>(consumed - before) / rate / (static_cast<double>(time.count()) / 1e9);
  }
};

SimulatedLine line(double rate, std::chrono::nanoseconds round_trip) {
  SimulatedLine made{rate, round_trip};
  made.measured.set_round_trip(ns(round_trip));
  return made;
}

}  // namespace

TEST_CASE("every line is filled, however slow, fast or long it is") {
  for (const double rate : {8e3, 150e3, 1.25e6, 12.5e6, 125e6}) {
    for (const milliseconds trip : {milliseconds(1), milliseconds(100), milliseconds(300)}) {
      // 8 MiB of the window are one message's worth of margin; what the largest window cannot fill is no matter of measuring.
      if (rate * static_cast<double>(trip.count()) / 1e3 > 30e6) continue;
      SimulatedLine one = line(rate, trip);
      one.run(seconds(20));
      INFO(rate << " bytes/s, " << trip.count() << " ms: " << one.measured.under_way_max() << " bytes under way");
      CHECK(one.filled(seconds(20)) > 0.9);
      // A heartbeat sent now waits for what is before it: 4 s of silence are far away.
      CHECK(static_cast<double>(one.most_waiting) / rate < 2.5);
      CHECK(one.measured.transit() < seconds(3));
    }
  }
}

TEST_CASE("a long line is filled though few records are on their way at first") {
  for (const size_t record : {64u << 10, 128u << 10, 1u << 20}) {
    SimulatedLine one = line(4.0 * (1 << 20), milliseconds(300));
    one.record = record;
    one.round_trip += milliseconds(100);  // the site's disk is slower than its first answer
    one.run(seconds(5));
    INFO(record << " bytes a record: " << one.measured.under_way_max() << " bytes under way");
    CHECK(one.filled(seconds(10)) > 0.9);
  }
}

TEST_CASE("a long message that is nearly over when a short one follows makes no line look fast") {
  constexpr double kRate = 37e3;
  LineRate measured;
  int64_t now = 1;
  measured.add(72'000, now);
  const int64_t over = now + static_cast<int64_t>(72'000 / kRate * 1e9);
  now = over - ns(milliseconds(20));
  measured.add(4'000, now);
  measured.acknowledge(72'000, over);
  measured.acknowledge(76'000, over + static_cast<int64_t>(4'000 / kRate * 1e9));
  CHECK(static_cast<double>(measured.under_way_max()) < kRate * 0.6);  // half a second's worth
}

TEST_CASE("answers that were held up and come close together make no line look fast") {
  constexpr double kRate = 37e3;
  constexpr int64_t kEach = static_cast<int64_t>(4'000 / kRate * 1e9);
  LineRate measured;
  for (int i = 0; i < 5; ++i) measured.add(4'000, 1 + i * kEach);  // as fast as the line takes them
  int64_t now = 1 + 6 * kEach;
  measured.acknowledge(4'000, now);  // it has had more for a while
  measured.add(4'000, now);
  measured.acknowledge(20'000, now + ns(milliseconds(10)));
  measured.acknowledge(24'000, now + kEach + ns(milliseconds(1)));
  CHECK(static_cast<double>(measured.under_way_max()) < kRate * 0.6);  // half a second's worth
}

TEST_CASE("a line that becomes slower, or faster, is known as such within seconds") {
  SimulatedLine one = line(12.5e6, milliseconds(50));
  one.run(seconds(10));
  CHECK(one.measured.under_way_max() > 4'000'000);
  one.rate = 250e3;
  one.run(seconds(60));
  CHECK(one.measured.under_way_max() < 300'000);
  CHECK(one.measured.run_max() < 100'000);
  one.rate = 12.5e6;
  one.run(seconds(10));
  CHECK(one.measured.under_way_max() > 4'000'000);
}

TEST_CASE("a longer record than the line has room for goes alone") {
  LineRate slow;
  slow.add(70'000, 1);
  CHECK(!slow.has_room());
  slow.acknowledge(70'000, ns(seconds(9)));
  CHECK(slow.has_room());
  CHECK(slow.under_way_max() == kUnderWayMin);
  CHECK(slow.run_max() == kRunMin);
  slow.add(4'000, ns(seconds(9)));
  CHECK(slow.has_room());
  slow.add(4'000, ns(seconds(9)));
  CHECK(!slow.has_room());
  CHECK(slow.transit() > seconds(1));
}

TEST_CASE("never more than the window") {
  SimulatedLine local = line(5e9, std::chrono::microseconds(100));
  local.run(milliseconds(200));
  CHECK(local.measured.under_way_max() == kWindowBytes);
  CHECK(local.measured.run_max() == kRunMax);
}
