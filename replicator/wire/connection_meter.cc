#include "replicator/wire/connection_meter.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <optional>

#include "base/clock.h"
#include "base/logging.h"

namespace tidemark {
namespace {

constexpr std::chrono::seconds kMovedEvery{1};

constexpr int kWatched = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED;

// Bytes libzmq has read from the connection so far; nothing where that cannot be told.
std::optional<uint64_t> bytes_taken(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  if (size < offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) return std::nullopt;
  int unread = 0;
  if (::ioctl(fd, FIONREAD, &unread) != 0 || unread < 0) return std::nullopt;
  return info.tcpi_bytes_received - std::min<uint64_t>(info.tcpi_bytes_received, static_cast<uint64_t>(unread));
}

// libzmq has no call to end a peer's connection. What is not a socket (any more) is left alone.
void shut_connection(int fd) {
  // Reset it when libzmq closes it: what the peer still has on the way is not waited for.
  linger at_once{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::shutdown(fd, SHUT_RDWR);
}

}  // namespace

Status ConnectionMeter::watch(ZmqContext& context, Socket& socket) {
  std::string events = context.unique_name("tidemark.meter.");
  TM_TRY(socket.monitor(events, kWatched));
  TM_ASSIGN(monitor_, Socket::open(context, ZMQ_PAIR));
  TM_TRY(monitor_.set(ZMQ_LINGER, 0));
  return monitor_.connect(events);
}

void ConnectionMeter::stop(Socket& socket) {
  if (!take_events().ok()) log_warning("the site's connections can no longer be monitored");
  socket.stop_monitor();
}

uint64_t ConnectionMeter::message(int fd) {
  if (fd < 0) return 0;
  // What became of descriptors before this message came is known first.
  if (Status taken = take_events(); !taken.ok()) log_warning("the site's connections: " + taken.text());
  Meter& meter = meters_[fd];
  meter.heard = meter.spoke = true;
  if (meter.which == 0) meter.which = next_which_++;
  return meter.which;
}

bool ConnectionMeter::is_open(int fd, uint64_t which) const {
  const auto found = meters_.find(fd);
  return fd < 0 || (found != meters_.end() && found->second.which == which);
}

Status ConnectionMeter::shut(int fd, uint64_t which) {
  TM_TRY(take_events());
  auto found = meters_.find(fd);
  if (found != meters_.end() && found->second.which == which) shut_connection(fd);
  return Status();
}

Status ConnectionMeter::take_events() {
  for (;;) {
    Message event;
    TM_ASSIGN(bool got, monitor_.try_receive(event));
    if (!got) return Status();
    if (event.more()) {
      Message address;
      TM_TRY(monitor_.try_receive(address).status());
    }
    if (event.bytes().size() < 6) continue;
    auto kind = load_le<uint16_t>(event.bytes().data());
    auto fd = load_le<int32_t>(event.bytes().data() + 2);
    meters_.erase(fd);
    if (kind != ZMQ_EVENT_ACCEPTED) continue;
    if (meters_.size() >= kConnectionsMax) {
      shut_connection(fd);
    } else {
      meters_[fd].which = next_which_++;
    }
  }
}

int64_t ConnectionMeter::moved_ns(int fd, uint64_t which) const {
  const auto found = meters_.find(fd);
  return found != meters_.end() && found->second.which == which ? found->second.moved_ns : 0;
}

void ConnectionMeter::look(Meter& meter, uint64_t taken, int64_t now_ns) {
  const auto since = std::chrono::nanoseconds(now_ns - meter.looked_ns);
  if (since < kMovedEvery) return;
  const auto seconds = static_cast<uint64_t>(std::chrono::ceil<std::chrono::seconds>(since).count());
  const bool first = meter.looked_ns == 0;
  if (!first && taken > meter.looked_bytes + kMeterBytesASecond * seconds) meter.moved_ns = now_ns;
  meter.looked_bytes = taken;
  meter.looked_ns = now_ns;
}

bool ConnectionMeter::over_limit(Meter& meter, uint64_t taken, int64_t now_ns) {
  if (meter.heard || taken < meter.base_bytes) {
    meter.heard = false;
    meter.base_bytes = taken;
    meter.base_ns = now_ns;
    return false;
  }
  auto silent = std::chrono::nanoseconds(now_ns - meter.base_ns);
  if (silent > (meter.spoke ? std::chrono::nanoseconds(kConnectionIdleMax) : kFirstMessageMax)) return true;
  auto seconds = static_cast<uint64_t>(std::chrono::ceil<std::chrono::seconds>(silent).count());
  uint64_t allowed = kWireMax + kMeterSlack + kMeterBytesASecond * seconds;
  if (taken - meter.base_bytes <= allowed) return false;
  log_warning("closed a connection that sent " + std::to_string(taken - meter.base_bytes) +
              " bytes without ending a message");
  return true;
}

Status ConnectionMeter::check() {
  TM_TRY(take_events());
  int64_t now = system_clock().steady_ns();
  if (now - checked_ns_ < std::chrono::nanoseconds(kMeterInterval).count()) return Status();
  checked_ns_ = now;
  for (auto& [fd, meter] : meters_) {
    const std::optional<uint64_t> taken = bytes_taken(fd);
    if (!taken) continue;
    look(meter, *taken, now);
    if (!over_limit(meter, *taken, now)) continue;
    meter.heard = true;  // until it is gone
    shut_connection(fd);
  }
  return Status();
}

}  // namespace tidemark
