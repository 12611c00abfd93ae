#include "cli/service/acceptor.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/logging.h"

namespace tidemark::cli {
namespace {

constexpr int kAcceptPauseMs = 100;
constexpr int kEventsAtOnce = 64;

}  // namespace

std::shared_ptr<Acceptor> Acceptor::of_this_process() {
  static Mutex mutex;
  static std::weak_ptr<Acceptor> known;
  MutexLock lock(mutex);
  std::shared_ptr<Acceptor> acceptor = known.lock();
  if (acceptor == nullptr) known = acceptor = std::shared_ptr<Acceptor>(new Acceptor());
  return acceptor;
}

Acceptor::~Acceptor() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    const ssize_t put = ::write(wake_, &one, sizeof one);
    CHECK_INVARIANT(put == static_cast<ssize_t>(sizeof one));
    thread_.join();
  }
  if (wake_ >= 0) ::close(wake_);
  if (poll_ >= 0) ::close(poll_);
}

Status Acceptor::start() {
  if (poll_ < 0) poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (wake_ < 0) wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (poll_ < 0 || wake_ < 0) return errno_status(errno, "cannot make an event descriptor");
  epoll_event stop{EPOLLIN, {.fd = wake_}};
  if (::epoll_ctl(poll_, EPOLL_CTL_ADD, wake_, &stop) != 0) return errno_status(errno, "cannot wait for connections");
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "control");
  return Status();
}

Status Acceptor::add(int listener, Admit admit) {
  // A peer that is gone by the time we look must not keep us.
  const int flags = ::fcntl(listener, F_GETFL);
  if (flags < 0 || ::fcntl(listener, F_SETFL, flags | O_NONBLOCK) != 0) return errno_status(errno, "a control socket");
  MutexLock lock(mutex_);
  if (!thread_.joinable()) TM_TRY(start());
  epoll_event event{EPOLLIN, {.fd = listener}};
  if (::epoll_ctl(poll_, EPOLL_CTL_ADD, listener, &event) != 0) return errno_status(errno, "cannot wait for connections");
  listeners_[listener] = std::move(admit);
  return Status();
}

void Acceptor::remove(int listener) {
  MutexLock lock(mutex_);
  if (listeners_.erase(listener) > 0) (void)::epoll_ctl(poll_, EPOLL_CTL_DEL, listener, nullptr);
}

void Acceptor::run() {
  while (true) {
    std::array<epoll_event, kEventsAtOnce> events{};
    const int ready = ::epoll_wait(poll_, events.data(), kEventsAtOnce, -1);
    if (ready < 0 && errno != EINTR) {
      log_error("the control sockets failed; commands on the volumes of this process will not work");
      return;
    }
    bool failed = false;
    for (int i = 0; i < ready; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == wake_) return;
      failed = !accept_one(fd) || failed;
    }
    // Out of descriptors, most likely: no use in asking again at once.
    pollfd stop{wake_, POLLIN, 0};
    if (failed) ::poll(&stop, 1, kAcceptPauseMs);
  }
}

bool Acceptor::accept_one(int listener) {
  MutexLock lock(mutex_);
  const auto found = listeners_.find(listener);
  if (found == listeners_.end()) return true;  // taken away since
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) found->second(fd);
  return fd >= 0 || errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
}

}  // namespace tidemark::cli
