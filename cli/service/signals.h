// Being asked to stop.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace tidemark::cli {

// Blocks SIGINT, SIGTERM and SIGHUP and ignores SIGPIPE, for this thread and those it starts later. First thing a service does.
void block_stop_signals();

// Calls `stop` on a thread of its own when one of them arrives (once). With `hang_up`, SIGHUP calls that instead, each time. After
// block_stop_signals().
class StopOnSignal {
 public:
  explicit StopOnSignal(std::function<void()> stop, std::function<void()> hang_up = nullptr);
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

 private:
  void wait_for_signal();
  std::function<void()> stop_;
  std::function<void()> hang_up_;
  int signals_ = -1;
  int wake_ = -1;
  std::thread thread_;
};

// For commands that do a long piece of work: set once SIGINT or SIGTERM has arrived (the second one ends the process). Lives
// for ever.
const std::atomic<bool>* interrupted_flag();

}  // namespace tidemark::cli
