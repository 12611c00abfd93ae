#include "replicator/remote/remote_pool.h"

#include <thread>

#include "replicator/wire/endpoint.h"

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kRetryPause{100};

// The connection may be better next time.
bool is_loss(const Status& status) {
  return status.code() == Code::kUnreachable || status.code() == Code::kTimeout || status.code() == Code::kBusy;
}

}  // namespace

Result<std::shared_ptr<RemotePool>> RemotePool::connect(const RemoteAddress& address, const RemoteOptions& options) {
  TM_ASSIGN(Endpoint endpoint, parse_endpoint(address.endpoint, false));
  ConnectTarget target;
  target.endpoint = endpoint.text();
  TM_ASSIGN(target.keys, load_client_keys(options.server_key, options.own_key, endpoint.is_local(), address.endpoint));
  std::shared_ptr<RemotePool> pool(new RemotePool(std::move(target), address, options.timeout));
  SteadyTime deadline = std::chrono::steady_clock::now() + options.timeout;
  TM_ASSIGN(std::unique_ptr<Link> link, pool->take_link(deadline, nullptr));
  pool->give_back(std::move(link));
  return pool;
}

Result<std::unique_ptr<RemotePool::Link>> RemotePool::open_link(SteadyTime deadline, Retry* retry) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  auto link = std::make_unique<Link>();
  TM_ASSIGN(link->connection, Connection::open(context_, target_, std::min(left, kHandshakeMax), nullptr));
  Hello hello;
  hello.role = WireRole::kRead;
  hello.group = address_.group;
  hello.identity = own_identity();
  TM_ASSIGN(Greeted greeted, say_hello(*link->connection, hello, deadline, nullptr, retry));
  link->session = greeted.session;
  return link;
}

Result<std::unique_ptr<RemotePool::Link>> RemotePool::take_link(SteadyTime deadline, Retry* retry) {
  {
    MutexLock lock(mutex_);
    while (idle_.empty() && links_ >= kRemoteConnectionsMax) {
      auto left = deadline - std::chrono::steady_clock::now();
      if (left.count() <= 0) return Status(Code::kTimeout, "site at " + address_.endpoint + ": every connection is in use");
      returned_.wait_for(mutex_, left);
    }
    while (!idle_.empty()) {
      std::unique_ptr<Link> link = std::move(idle_.back());
      idle_.pop_back();
      // A site closes what has been idle for long.
      if (link->connection->wait(std::chrono::milliseconds(0), false, nullptr).ok()) return link;
      --links_;
    }
    ++links_;
  }
  Result<std::unique_ptr<Link>> link = open_link(deadline, retry);
  if (!link.ok()) give_back(nullptr);
  return link;
}

void RemotePool::give_back(std::unique_ptr<Link> link) {
  MutexLock lock(mutex_);
  if (link != nullptr) {
    idle_.push_back(std::move(link));
  } else {
    --links_;
  }
  returned_.notify_one();
}

Result<std::vector<Received>> RemotePool::exchange(Link& link, MessageType type, const std::vector<std::string>& bodies,
                                                   SteadyTime deadline, Retry* retry, bool* keep) {
  *keep = false;
  uint64_t first = link.next_request;
  link.next_request += bodies.size();
  for (size_t i = 0; i < bodies.size(); ++i) {
    MessageWriter writer;
    writer.body().put_raw(bodies[i]);
    Message message = Message::own(writer.finish(type, link.session, first + i));
    TM_TRY(send_within(*link.connection, message, deadline, nullptr));
  }
  // Several threads work at the site, so they come in any order.
  std::vector<Received> answers(bodies.size());
  WireError failure;
  uint64_t failed = bodies.size();
  for (size_t i = 0; i < bodies.size(); ++i) {
    *retry = Retry::kLater;
    TM_ASSIGN(Answer answer, await_answer(*link.connection, {reply_to(type), first, bodies.size()}, deadline, nullptr));
    size_t index = answer.request - first;
    if (answer.failure.status.ok()) {
      answers[index] = std::move(answer.received);
    } else if (index < failed) {
      failed = index;  // the first one is what a caller who asked one by one would have seen
      failure = std::move(answer.failure);
    }
    // The session is over: no other answer will come.
    if (failure.retry == Retry::kHello) break;
  }
  *retry = failure.retry;
  *keep = failure.retry != Retry::kHello;
  if (!failure.status.ok()) return failure.status;
  return answers;
}

Result<std::vector<Received>> RemotePool::call_many(MessageType type, const std::vector<std::string>& bodies) {
  SteadyTime deadline = std::chrono::steady_clock::now() + timeout_;
  for (;;) {
    Retry retry = Retry::kLater;
    Status failure;
    Result<std::unique_ptr<Link>> link = take_link(deadline, &retry);
    if (link.ok()) {
      bool keep = false;
      Result<std::vector<Received>> answers = exchange(**link, type, bodies, deadline, &retry, &keep);
      give_back(keep ? std::move(*link) : nullptr);
      if (answers.ok()) return answers;
      failure = answers.status();
    } else {
      failure = link.status();
      if (!is_loss(failure)) return failure;
    }
    bool again = retry == Retry::kHello || (retry == Retry::kLater && is_loss(failure));
    if (!again || std::chrono::steady_clock::now() + kRetryPause >= deadline) return failure;
    if (retry == Retry::kLater) std::this_thread::sleep_for(kRetryPause);
  }
}

Result<Received> RemotePool::call_once(MessageType type, std::string_view body, std::chrono::milliseconds timeout) {
  const SteadyTime now = std::chrono::steady_clock::now();
  Retry retry = Retry::kLater;
  TM_ASSIGN(std::unique_ptr<Link> link, take_link(now + timeout_, &retry));
  bool keep = false;
  Result<std::vector<Received>> answers = exchange(*link, type, {std::string(body)}, now + timeout, &retry, &keep);
  give_back(keep ? std::move(link) : nullptr);
  if (!answers.ok()) return answers.status();
  return std::move(answers->front());
}

Result<Received> RemotePool::call(MessageType type, std::string_view body) {
  TM_ASSIGN(std::vector<Received> answers, call_many(type, {std::string(body)}));
  return std::move(answers.front());
}

}  // namespace tidemark
