#include "replicator/site/read_service.h"

#include <algorithm>

namespace tidemark {

void ReadService::start() {
  for (size_t i = 0; i < kReadThreads; ++i) threads_.emplace_back([this] { run(); });
}

void ReadService::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool ReadService::post(const ReadSession& session, std::shared_ptr<const AllowList> list, const WireHeader& header,
                       Message message) {
  if (session.pending->load() >= kReadsPerSessionMax || session.pending_of_key->load() >= kReadsPerKeyMax) return false;
  MutexLock lock(mutex_);
  if (stopping_ || queued_ >= kReadsQueuedMax) return false;
  auto ticket = std::make_shared<const ReadTicket>(session.pending, session.pending_of_key);
  OfKey& key = keys_[session.key];
  if (key.waiting.empty()) turns_.push_back(session.key);
  key.waiting.push_back(
      {session.routing_id, session.host, {session.key, std::move(list)}, header, std::move(message), std::move(ticket)});
  ++queued_;
  work_.notify_one();
  return true;
}

// Without keys all peers are one, and there is nobody to leave a thread to.
bool ReadService::take_next(Request& request) {
  const auto next = std::find_if(turns_.begin(), turns_.end(), [&](const std::string& key) TM_REQUIRES(mutex_) {
    return key.empty() || keys_[key].at_work < kReadThreadsPerKeyMax;
  });
  if (next == turns_.end()) return false;
  std::string name = std::move(*next);
  turns_.erase(next);
  OfKey& key = keys_[name];
  request = std::move(key.waiting.front());
  key.waiting.pop_front();
  ++key.at_work;
  --queued_;
  if (!key.waiting.empty()) turns_.push_back(std::move(name));
  return true;
}

void ReadService::done(const std::string& key) {
  MutexLock lock(mutex_);
  const auto found = keys_.find(key);
  --found->second.at_work;
  if (found->second.at_work == 0 && found->second.waiting.empty()) keys_.erase(found);
  if (!turns_.empty()) work_.notify_one();
}

void ReadService::run() {
  for (;;) {
    Request request;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && !take_next(request)) work_.wait(mutex_);
      if (stopping_) return;
    }
    Outgoing answer;
    answer.routing_id = request.routing_id;
    answer.session = request.header.session;
    answer.message =
        answer_read(groups_, request.host, request.reader, request.header, request.message.bytes().subspan(kWireHeaderSize));
    answer.ticket = std::move(request.ticket);
    outbox_.post(std::move(answer));
    done(request.reader.key);
  }
}

}  // namespace tidemark
