#include "replicator/site/outbox.h"

namespace tidemark {

void Outbox::post(Outgoing outgoing) {
  {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(outgoing));
  }
  wake_.wake();
}

void Outbox::post_ack(const std::shared_ptr<ShipSession>& session) {
  if (session->ack_queued.exchange(true)) return;
  Outgoing outgoing;
  outgoing.routing_id = session->routing_id;
  outgoing.session = session->id;
  outgoing.acked = session;
  post(std::move(outgoing));
}

void Outbox::post_error(const ShipSession& session, const Status& status, Retry retry, bool ends_session) {
  Outgoing outgoing;
  outgoing.routing_id = session.routing_id;
  outgoing.session = session.id;
  outgoing.message = encode_error(status, retry, session.id, 0);
  outgoing.ends_session = ends_session;
  post(std::move(outgoing));
}

std::deque<Outgoing> Outbox::take_all() {
  wake_.clear();
  MutexLock lock(mutex_);
  return std::exchange(queue_, {});
}

}  // namespace tidemark
