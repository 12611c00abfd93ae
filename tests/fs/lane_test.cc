#include "fs/lane.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

TEST_CASE("However many jobs wait, only so many threads are held, and all jobs are done") {
  tidemark::fs::Lane lane(3);
  std::atomic<bool> open{false};
  std::atomic<int> returned{0}, running{0}, most{0}, done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] {
      lane.run([&] {
        const int now = ++running;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        while (!open) std::this_thread::sleep_for(1ms);
        --running;
        ++done;
      });
      ++returned;
    });
  }
  for (int i = 0; i < 20'000 && returned < 17; ++i) std::this_thread::sleep_for(1ms);
  CHECK(returned == 17);  // the threads of those that wait are free
  CHECK(running == 3);
  open = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(done == 20);
  CHECK(most == 3);
}
