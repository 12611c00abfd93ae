#include "base/task_pool.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace tidemark::test {
namespace {

using namespace std::chrono_literals;

bool within(std::chrono::milliseconds time, const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

}  // namespace

TEST_CASE("task pool: hundreds of jobs come round on few threads") {
  const auto pool = TaskPool::make("test", 16);
  std::vector<std::atomic<int>> runs(300);
  std::vector<std::unique_ptr<TaskPool::Task>> tasks;
  for (auto& run : runs) {
    tasks.push_back(TaskPool::add(pool, 1ms, [&run]() -> std::optional<std::chrono::nanoseconds> {
      ++run;
      return 10ms;
    }));
  }
  for (auto& run : runs) CHECK(within(20s, [&] { return run >= 5; }));
  CHECK(pool->threads() <= 8);  // a busy machine puts threads aside, and others come in
}

TEST_CASE("task pool: a job that never wants to come again does not; one comes at its time, not before") {
  const auto pool = TaskPool::make("test", 4);
  std::atomic<int> once{0};
  const auto began = std::chrono::steady_clock::now();
  std::atomic<int64_t> late_ms{-1};
  const auto single = TaskPool::add(pool, 0ms, [&]() -> std::optional<std::chrono::nanoseconds> {
    ++once;
    return std::nullopt;
  });
  const auto later = TaskPool::add(pool, 100ms, [&]() -> std::optional<std::chrono::nanoseconds> {
    late_ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
    return std::nullopt;
  });
  REQUIRE(within(20s, [&] { return late_ms >= 0; }));
  CHECK(late_ms >= 100);
  std::this_thread::sleep_for(50ms);
  CHECK(once == 1);
}

TEST_CASE("task pool: jobs that hang hold up nobody but whoever finds no thread any more; then those go on") {
  constexpr size_t kThreads = 4;
  const auto pool = TaskPool::make("test", kThreads);
  std::atomic<bool> hangs{true};
  std::atomic<size_t> hanging{0};
  std::atomic<int> runs{0};
  std::vector<std::unique_ptr<TaskPool::Task>> tasks;
  const auto hang = [&]() -> std::optional<std::chrono::nanoseconds> {
    ++hanging;
    while (hangs) std::this_thread::sleep_for(1ms);
    return std::nullopt;
  };
  tasks.push_back(TaskPool::add(pool, 0ms, [&]() -> std::optional<std::chrono::nanoseconds> {
    ++runs;
    return 1ms;
  }));
  for (size_t i = 1; i < kThreads; ++i) tasks.push_back(TaskPool::add(pool, 0ms, hang));
  REQUIRE(within(20s, [&] { return hanging == kThreads - 1; }));
  const int before = runs;
  CHECK(within(20s, [&] { return runs > before + 10; }));
  tasks.push_back(TaskPool::add(pool, 0ms, hang));
  REQUIRE(within(20s, [&] { return hanging == kThreads; }));
  const int held_up = runs;
  std::this_thread::sleep_for(50ms);
  CHECK(runs == held_up);
  CHECK(pool->threads() == kThreads);
  hangs = false;
  CHECK(within(20s, [&] { return runs > held_up + 10; }));
  // Threads that are no longer needed end.
  CHECK(within(30s, [&] { return pool->threads() <= 2; }));
}

TEST_CASE("task pool: a job that is taken away while it runs has ended on return, and does not begin again") {
  for (int round = 0; round < 200; ++round) {
    const auto pool = TaskPool::make("test", 3);
    std::atomic<bool> inside{false};
    std::atomic<bool> gone{false};
    std::atomic<bool> after{false};
    auto task = TaskPool::add(pool, 0ms, [&]() -> std::optional<std::chrono::nanoseconds> {
      inside = true;
      after = after || gone;
      std::this_thread::yield();
      inside = false;
      return 0ms;
    });
    std::this_thread::sleep_for(std::chrono::microseconds(round * 5));
    task.reset();
    gone = true;
    CHECK_FALSE(inside);
    std::this_thread::yield();
    CHECK_FALSE(after);
  }
}

}  // namespace tidemark::test
