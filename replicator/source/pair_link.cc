#include "replicator/source/pair_link.h"

#include "base/clock.h"
#include "replicator/wire/endpoint.h"

namespace tidemark {
namespace {

// A session shorter than this was none: the pause before the next keeps growing (two primaries that push each other out).
constexpr std::chrono::seconds kSessionCounts{2};
constexpr std::chrono::seconds kIdle{60};  // suspended: until a command comes

void wait_for(const WakeFd& wake, std::chrono::milliseconds timeout) {
  zmq_pollitem_t item = poll_item(wake);
  static_cast<void>(poll_items(std::span(&item, 1), timeout).ok());
}

}  // namespace

std::chrono::milliseconds Backoff::next() {
  auto whole = current_.count();
  std::uniform_int_distribution<long> part(whole * 3 / 4, whole);
  current_ = std::min(kLongest, current_ * 2);
  return std::chrono::milliseconds(part(random_));
}

PairLink::PairLink(Group& group, const Pair& pair, ZmqContext& context, PairCore::Persist persist)
    : group_(group), context_(context), config_(pair.config), core_(group, pair, system_clock(), std::move(persist)) {
  thread_ = std::thread([this] { run(); });
}

PairLink::~PairLink() {
  if (thread_.joinable()) end();
}

void PairLink::stop() {
  stopping_ = true;
  halt_.wake();
  work_.wake();
}

void PairLink::end() {
  stop();
  thread_.join();
  const WatermarkNews news(group_.watermarks());
  MutexLock lock(mutex_);
  core_.end();
  ended_ = true;
}

Status PairLink::command(const std::function<Status()>& change) {
  if (ended_) return Status(Code::kNotFound, "the pair with site '" + config_.site + "' has just ended");
  Status status = change();
  work_.wake();
  return status;
}

Status PairLink::suspend() {
  const WatermarkNews news(group_.watermarks());
  MutexLock lock(mutex_);
  return command([core = &core_] { return core->suspend(); });
}

Status PairLink::resume() {
  const WatermarkNews news(group_.watermarks());
  MutexLock lock(mutex_);
  return command([core = &core_] { return core->resume(); });
}

Status PairLink::park(const std::string& cause) {
  const WatermarkNews news(group_.watermarks());
  MutexLock lock(mutex_);
  return command([core = &core_, &cause] { return core->park(cause); });
}

PairLink::Progress PairLink::progress() {
  MutexLock lock(mutex_);
  return {core_.durable(), core_.refused() || !core_.wants_connection(), core_.last_error()};
}

void PairLink::run() {
  while (!stopping_) {
    work_.clear();
    bool wanted = false;
    {
      MutexLock lock(mutex_);
      wanted = core_.wants_connection();
    }
    if (!wanted) {
      backoff_.reset();
      wait_for(work_, kIdle);
      continue;
    }
    auto began = std::chrono::steady_clock::now();
    Status status = attempt();
    if (std::chrono::steady_clock::now() - began > kSessionCounts) backoff_.reset();
    {
      const WatermarkNews news(group_.watermarks());
      MutexLock lock(mutex_);
      // An orderly end of ours is no failure of the pair: it stays what it was.
      if (stopping_) break;
      core_.disconnected(status);
      if (!core_.wants_connection()) continue;
    }
    wait_for(halt_, backoff_.next());
  }
}

Status PairLink::attempt() {
  TM_ASSIGN(const std::vector<Endpoint> endpoints, parse_lines(config_.endpoint));
  TM_ASSIGN(const ClientKeys keys,
            load_client_keys(config_.server_key, config_.own_key, all_local(endpoints), config_.endpoint));
  const size_t main = main_line_++ % endpoints.size();  // where this one fails, the next is tried next
  auto opened = Connection::open(context_, {endpoints[main].text(), keys}, kConnectMax, &halt_);
  TM_TRY(opened.status());
  std::unique_ptr<Connection> connection = std::move(*opened);
  Lines lines(context_, keys, work_);
  for (size_t i = 0; i < endpoints.size(); ++i) {
    if (i != main) lines.add(endpoints[i].text());
  }
  main_line_ = main;
  Status status = converse(*connection, lines);
  if (!status.ok()) ++main_line_;
  MutexLock lock(mutex_);
  if (core_.session() != 0) {
    // Whether it has everything is known there from now on.
    connection->send_last(encode_heartbeat(core_.settled_to_tell(), core_.session()));
    connection->send_last(encode_bye(core_.session()));
  }
  return status;
}

Status PairLink::converse(Connection& connection, Lines& lines) {
  {
    const WatermarkNews news(group_.watermarks());
    MutexLock lock(mutex_);
    TM_TRY(core_.greet());
  }
  while (!stopping_) {
    work_.clear();
    std::chrono::milliseconds pause{0};
    bool full = false, again = false;
    std::optional<PairReading> wanted;
    {
      const WatermarkNews news(group_.watermarks());
      MutexLock lock(mutex_);
      TM_TRY(take_messages(connection));  // before anybody is called silent: it may be us who slept
      TM_TRY(lines.keep(core_.under_way() ? core_.session() : 0));
      TM_TRY(core_.send([&lines, &connection, core = &core_](Message& message) {
        return core->one_line() ? connection.try_send(message) : lines.try_send(connection, message);
      }));
      if (core_.done()) return Status();
      // What happened before it was known what to be woken for is looked at now.
      again = early_.exchange(core_.early()) != core_.early();
      again = prompt_.exchange(core_.prompt()) != core_.prompt() || again;
      pause = core_.pause();
      full = core_.full();
      wanted = core_.wants_reading();
    }
    if (wanted) {
      TM_ASSIGN(PairMessage message, read(*wanted, connection, lines));
      const WatermarkNews news(group_.watermarks());
      MutexLock lock(mutex_);
      core_.take_reading(std::move(message));
      continue;
    }
    if (!again) TM_TRY(connection.wait(pause, full, &work_));
  }
  return Status();
}

Result<PairMessage> PairLink::read(const PairReading& wanted, Connection& connection, Lines& lines) {
  {
    MutexLock lock(lent_mutex_);
    lent_ = {&connection, &lines, wanted.session, system_clock().steady_ns(), wanted.tells};
  }
  Result<PairMessage> message = read_for(wanted, group_);
  MutexLock lock(lent_mutex_);
  lent_ = Lent();
  return message;
}

// A site that gets records early need not be woken for their sync, unless others behind it wait for that.
void PairLink::poke(LogProgress progress) {
  const bool settled = progress == LogProgress::kDurable;
  if (early_ ? !settled || prompt_ : settled) work_.wake();
}

void PairLink::beat() {
  MutexLock lock(lent_mutex_);
  if (lent_.connection == nullptr) return;
  const int64_t now = system_clock().steady_ns();
  if (std::chrono::nanoseconds(now - lent_.spoke_ns) < kHeartbeatInterval) return;
  lent_.spoke_ns = now;
  Message heartbeat = Message::own(encode_heartbeat(lent_.tells ? group_.settled() : Seq(), lent_.session));
  // A queue that is full or a connection that is gone is for our own thread to find.
  static_cast<void>(lent_.connection->try_send(heartbeat).ok());
  lent_.lines->beat(lent_.session);
}

Status PairLink::take_messages(Connection& connection) {
  for (;;) {
    TM_ASSIGN(std::optional<Message> message, connection.try_receive());
    if (!message.has_value()) return Status();
    TM_TRY(core_.receive(*message));
  }
}

}  // namespace tidemark
