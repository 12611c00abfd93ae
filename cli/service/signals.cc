#include "cli/service/signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/check.h"
#include "base/logging.h"

namespace tidemark::cli {
namespace {

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

void note_interrupt(int) { interrupted = true; }

}  // namespace

void block_stop_signals() {
  sigset_t set = stop_signals();
  CHECK_INVARIANT(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  std::signal(SIGPIPE, SIG_IGN);
}

StopOnSignal::StopOnSignal(std::function<void()> stop, std::function<void()> hang_up)
    : stop_(std::move(stop)), hang_up_(std::move(hang_up)) {
  sigset_t set = stop_signals();
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  wake_ = ::eventfd(0, EFD_CLOEXEC);
  if (signals_ < 0 || wake_ < 0) {
    log_error(
        "cannot wait for signals (too many open files?): a signal now kills this process instead of stopping it in order");
    ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    return;
  }
  thread_ = std::thread([this] { wait_for_signal(); });
}

StopOnSignal::~StopOnSignal() {
  if (thread_.joinable()) {
    uint64_t one = 1;
    ssize_t put = ::write(wake_, &one, sizeof one);
    CHECK_INVARIANT(put == static_cast<ssize_t>(sizeof one));
    thread_.join();
  }
  if (signals_ >= 0) ::close(signals_);
  if (wake_ >= 0) ::close(wake_);
}

void StopOnSignal::wait_for_signal() {
  while (true) {
    pollfd waits[2] = {{signals_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return;
    if (waits[1].revents != 0) return;
    if (waits[0].revents == 0) continue;
    signalfd_siginfo info{};
    if (::read(signals_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    if (info.ssi_signo == SIGHUP && hang_up_) {
      hang_up_();
      continue;
    }
    log_info("stopping on signal " + std::to_string(info.ssi_signo));
    stop_();
    return;
  }
}

const std::atomic<bool>* interrupted_flag() {
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  return &interrupted;
}

}  // namespace tidemark::cli
