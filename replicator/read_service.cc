#include "replicator/read_service.h"

#include "replicator/read_handler.h"

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

bool ReadService::post(const ReadSession& session, const WireHeader& header, Message message) {
  if (session.pending->load() >= kReadsPerSessionMax || session.pending_of_key->load() >= kReadsPerKeyMax) return false;
  MutexLock lock(mutex_);
  if (stopping_ || queue_.size() >= kReadsQueuedMax) return false;
  auto ticket = std::make_shared<const ReadTicket>(session.pending, session.pending_of_key);
  queue_.push_back({session.routing_id, session.host, header, std::move(message), std::move(ticket)});
  work_.notify_one();
  return true;
}

void ReadService::run() {
  for (;;) {
    Request request;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) work_.wait(mutex_);
      if (stopping_) return;
      request = std::move(queue_.front());
      queue_.pop_front();
    }
    Outgoing answer;
    answer.routing_id = request.routing_id;
    answer.session = request.header.session;
    answer.message = answer_read(groups_, request.host, request.header, request.message.bytes().subspan(kWireHeaderSize));
    answer.ticket = std::move(request.ticket);
    outbox_.post(std::move(answer));
  }
}

}  // namespace tidemark
