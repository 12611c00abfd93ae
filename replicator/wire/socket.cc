#include "replicator/wire/socket.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/descriptors.h"
#include "base/mutex.h"

namespace tidemark {
namespace {

// Of one context. A pair takes three for each of its lines.
constexpr int kSocketsMax = 16384;
// A socket takes two at once, the first of a context nine; the rest is for what other threads do meanwhile.
constexpr size_t kSpareDescriptors = 24;

}  // namespace

Status zmq_status(int error, std::string_view what) {
  Code code = Code::kIo;
  if (error == EADDRINUSE) code = Code::kBusy;
  if (error == EINVAL || error == EPROTONOSUPPORT || error == ENOCOMPATPROTO) code = Code::kInvalid;
  if (error == EHOSTUNREACH) code = Code::kUnreachable;
  if (error == ETERM) code = Code::kInterrupted;
  return Status(code, std::string(what) + ": " + zmq_strerror(error), error);
}

ZmqContext::ZmqContext() : handle_(zmq_ctx_new()) {
  CHECK_INVARIANT(handle_ != nullptr);
  zmq_ctx_set(handle_, ZMQ_BLOCKY, 0);  // sockets linger for 0 ms unless told otherwise
  zmq_ctx_set(handle_, ZMQ_MAX_SOCKETS, kSocketsMax);
}

std::shared_ptr<ZmqContext> ZmqContext::of_this_process() {
  static Mutex mutex;
  static std::weak_ptr<ZmqContext> known;
  MutexLock lock(mutex);
  std::shared_ptr<ZmqContext> context = known.lock();
  if (context == nullptr) known = context = std::make_shared<ZmqContext>();
  return context;
}

ZmqContext::~ZmqContext() {
  while (zmq_ctx_term(handle_) != 0 && zmq_errno() == EINTR) {
  }
}

std::string ZmqContext::unique_name(std::string_view prefix) {
  static std::atomic<uint64_t> counter{0};
  return "inproc://" + std::string(prefix) + std::to_string(counter.fetch_add(1));
}

Message::Message(size_t size) { CHECK_INVARIANT(zmq_msg_init_size(&message_, size) == 0); }

Message Message::own(std::string&& text, std::shared_ptr<const void> held) {
  struct Owned {
    std::string text;
    std::shared_ptr<const void> held;
  };
  auto owned = std::make_unique<Owned>(Owned{std::move(text), std::move(held)});
  Message message;
  auto release = [](void*, void* hint) { delete static_cast<Owned*>(hint); };
  Owned* raw = owned.release();
  CHECK_INVARIANT(zmq_msg_init_data(&message.message_, raw->text.data(), raw->text.size(), release, raw) == 0);
  return message;
}

Message Message::copy_of(Bytes bytes) {
  Message message(bytes.size());
  if (!bytes.empty()) std::memcpy(message.span().data(), bytes.data(), bytes.size());
  return message;
}

std::string Message::property(const char* name) const {
  const char* value = zmq_msg_gets(&message_, name);
  return value == nullptr ? std::string() : std::string(value);
}

int Message::source_fd() const { return zmq_msg_get(&message_, ZMQ_SRCFD); }

Result<Socket> Socket::open(ZmqContext& context, int type) {
  TM_TRY(check_descriptors(kSpareDescriptors, "a connection"));  // libzmq ends the process where it runs out of them inside
  void* handle = zmq_socket(context.handle(), type);
  if (handle == nullptr) return zmq_status(zmq_errno(), "cannot make a socket");
  return Socket(handle);
}

void Socket::close() {
  if (handle_ != nullptr) zmq_close(std::exchange(handle_, nullptr));
}

namespace {
Status set_option(void* handle, int option, const void* value, size_t size) {
  if (zmq_setsockopt(handle, option, value, size) == 0) return Status();
  return zmq_status(zmq_errno(), "socket option " + std::to_string(option));
}
}  // namespace

Status Socket::set(int option, int value) { return set_option(handle_, option, &value, sizeof value); }
Status Socket::set(int option, int64_t value) { return set_option(handle_, option, &value, sizeof value); }
Status Socket::set(int option, std::string_view value) { return set_option(handle_, option, value.data(), value.size()); }

Status Socket::bind(const std::string& endpoint) {
  if (zmq_bind(handle_, endpoint.c_str()) == 0) return Status();
  return zmq_status(zmq_errno(), "cannot listen on " + endpoint);
}

Status Socket::connect(const std::string& endpoint) {
  if (zmq_connect(handle_, endpoint.c_str()) == 0) return Status();
  return zmq_status(zmq_errno(), "cannot connect to " + endpoint);
}

Result<std::string> Socket::last_endpoint() {
  std::array<char, 1024> text{};
  size_t size = text.size();
  if (zmq_getsockopt(handle_, ZMQ_LAST_ENDPOINT, text.data(), &size) != 0) return zmq_status(zmq_errno(), "last endpoint");
  return std::string(text.data());
}

Status Socket::monitor(const std::string& endpoint, int mask) {
  if (zmq_socket_monitor(handle_, endpoint.c_str(), mask) == 0) return Status();
  return zmq_status(zmq_errno(), "cannot watch a socket");
}

void Socket::stop_monitor() {
  if (handle_ != nullptr) static_cast<void>(zmq_socket_monitor(handle_, nullptr, 0));
}

Result<bool> Socket::try_send(Message& message, bool more) {
  while (zmq_msg_send(message.raw(), handle_, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0) {
    int error = zmq_errno();
    if (error == EAGAIN) return false;
    if (error != EINTR) return zmq_status(error, "cannot send");
  }
  return true;
}

Result<bool> Socket::try_receive(Message& message) {
  while (zmq_msg_recv(message.raw(), handle_, ZMQ_DONTWAIT) < 0) {
    int error = zmq_errno();
    if (error == EAGAIN) return false;
    if (error != EINTR) return zmq_status(error, "cannot receive");
  }
  return true;
}

WakeFd::WakeFd() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CHECK_INVARIANT(fd_ >= 0); }
WakeFd::~WakeFd() { ::close(fd_); }

void WakeFd::wake() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(fd_, &one, sizeof one);  // a full counter wakes as well
}

void WakeFd::clear() {
  uint64_t count = 0;
  [[maybe_unused]] ssize_t taken = ::read(fd_, &count, sizeof count);
}

Status poll_items(std::span<zmq_pollitem_t> items, std::chrono::milliseconds timeout) {
  long wait = timeout.count() < 0 ? 0 : static_cast<long>(timeout.count());
  if (zmq_poll(items.data(), static_cast<int>(items.size()), wait) >= 0 || zmq_errno() == EINTR) return Status();
  return zmq_status(zmq_errno(), "poll");
}

}  // namespace tidemark
