#include "replicator/wire/difference_protocol.h"
#include "tests/replicator/sim_world.h"

namespace tidemark::test {
namespace {

constexpr size_t kQueueMax = 80;  // messages, as libzmq's queues are set
constexpr int64_t kRetryNs = 200'000'000;
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kLongestRecord = 70'000;

}  // namespace

SimLink::SimLink(SimWorld& world, SimNode& source, SimNode& target, const Pair& pair)
    : world_(world), source_(source), target_(target), saved_(pair) {
  if (world.faults.slow) bytes_per_second_ = 2'000 + world.below(6) * 7'000;
}

void SimLink::start() {
  auto persist = [this](const PairStatus& status) {
    if (!calm && world_.below(20) == 0) return Status(Code::kNoSpace, "the disk is full");
    saved_.status = status;
    const PairConfig& config = saved_.config;
    if (status.state == PairState::kDuplex) promised_ = config.mode == PairMode::kSync && config.fence == PairFence::kData;
    return Status();
  };
  core_ = std::make_unique<PairCore>(source_.group(), saved_, world_.clock, persist);
}

void SimLink::stop() {
  core_.reset();  // first: who loses power notices nothing, and saves nothing
  drop(Status(Code::kUnreachable, "power failed"), false);
}

void SimLink::target_lost() {
  session_ = 0;
  begun_ = false;
  drop(Status(Code::kUnreachable, "the site lost power"), false);
}

void SimLink::cut() {
  if (up_) drop(Status(Code::kUnreachable, "the connection is gone"), false);
}

void SimLink::command(bool suspend) {
  if (suspend) {
    if (!core_->suspend().ok()) return;
    held_ = true;
    promised_ = false;
  } else if (core_->resume().ok()) {
    held_ = false;
  }
}

void SimLink::usurped() {
  if (session_ != 0) end_session(Status(Code::kStaleEpoch, "a newer primary has taken over"), Retry::kNever);
}

size_t SimLink::queued_bytes() const {
  size_t bytes = 0;
  for (const Sent& sent : to_target_) bytes += sent.doubled ? 0 : sent.text.size();
  for (const Sent& sent : to_source_) bytes += sent.doubled ? 0 : sent.text.size();
  return bytes;
}

void SimLink::drop(const Status& why, bool orderly) {
  if (!up_) return;
  up_ = false;
  to_target_.clear();
  to_source_.clear();
  if (session_ != 0 && begun_) (void)target_.replica->lost(orderly);
  session_ = 0;
  begun_ = false;
  next_attempt_ns_ = world_.clock.steady_ns() + kRetryNs;
  if (core_ != nullptr) core_->disconnected(why);
}

void SimLink::put(std::deque<Sent>& queue, std::string text) {
  if (world_.faults.mangle && !calm && world_.below(150) == 0) {
    switch (world_.below(4)) {
      case 0: text[world_.below(text.size())] ^= static_cast<char>(1u << world_.below(8)); break;
      case 1: text.resize(world_.below(text.size())); break;
      case 2: queue.push_back({world_.clock.steady_ns(), text, 0, true}); break;
      case 3:
        if (!queue.empty()) std::swap(queue.back().text, text);
        break;
    }
  }
  // Messages of one connection arrive in the order in which they were sent.
  int64_t due = world_.clock.steady_ns() + static_cast<int64_t>(world_.below(3) * world_.below(20'000'000));
  if (!queue.empty()) due = std::max(due, queue.back().due_ns);
  const int64_t begun = due;
  if (bytes_per_second_ != 0 && &queue == &to_target_) {
    due += static_cast<int64_t>(text.size()) * kSecondNs / static_cast<int64_t>(bytes_per_second_);
  }
  queue.push_back({due, std::move(text), begun});
}

void SimLink::connect() {
  up_ = true;
  if (Status greeted = core_->greet(); !greeted.ok()) drop(greeted, false);
}

void SimLink::turn() {
  if (core_ == nullptr) return;
  if (!up_ && core_->wants_connection() && world_.clock.steady_ns() >= next_attempt_ns_) connect();
  if (!up_) return;
  if (!silent_) deliver_to_target();
  if (!silent_) note_movement();
  if (up_ && !silent_) deliver_to_source();
  if (!up_) return;
  if (Status sent = send(); !sent.ok()) return drop(sent, false);
  if (!core_->done()) return;
  while (up_ && !to_target_.empty()) {  // what was said before good-bye arrives before it
    Sent next = std::move(to_target_.front());
    to_target_.pop_front();
    target_receives(next.text);
  }
  drop(Status(), true);
}

// As PairLink's thread does it.
Status SimLink::send() {
  auto try_send = [&](Message& message) -> Result<bool> {
    if (to_target_.size() >= kQueueMax) return false;
    put(to_target_, std::string(as_text(message.bytes())));
    return true;
  };
  TM_TRY(core_->send(try_send));
  while (const std::optional<PairReading> wanted = core_->wants_reading()) {
    TM_ASSIGN(PairMessage read, read_for(*wanted, source_.group()));
    core_->take_reading(std::move(read));
    TM_TRY(core_->send(try_send));
  }
  return Status();
}

void SimLink::deliver_to_source() {
  while (up_ && !to_source_.empty() && to_source_.front().due_ns <= world_.clock.steady_ns()) {
    Sent next = std::move(to_source_.front());
    to_source_.pop_front();
    Status taken = core_->receive(Message::copy_of(as_bytes(next.text)));
    if (source_.primary && taken.code() == Code::kStaleEpoch) world_.tell();
    if (!taken.ok()) drop(taken, false);
  }
}

// What a site's router says while a long message comes in.
void SimLink::note_movement() {
  const int64_t now = world_.clock.steady_ns();
  if (!begun_ || to_target_.empty() || to_target_.front().begun_ns == to_target_.front().due_ns) return;
  if (now < to_target_.front().begun_ns || now - noted_ns_ < kSecondNs) return;
  noted_ns_ = now;
  acknowledge();
}

bool SimLink::keeps_queue_short() const {
  size_t bytes = 0;
  for (const Sent& sent : to_target_) bytes += sent.doubled ? 0 : sent.text.size();
  return bytes_per_second_ == 0 || bytes <= kUnderWayFirst + 2 * kLongestRecord + bytes_per_second_ * 2;
}

void SimLink::deliver_to_target() {
  while (up_ && !to_target_.empty() && to_target_.front().due_ns <= world_.clock.steady_ns()) {
    Sent next = std::move(to_target_.front());
    to_target_.pop_front();
    target_receives(next.text);
  }
}

void SimLink::end_session(const Status& why, Retry retry) {
  target_says(encode_error(why, retry, session_, 0));
  if (begun_) (void)target_.replica->lost(false);
  session_ = 0;
  begun_ = false;
}

Seq SimLink::durable_there() const {
  return world_.faults.disk_lies ? ack_.received : std::min(target_.replica->durable(), ack_.received);
}

void SimLink::acknowledge() {
  if (!begun_) return;
  if (claim_.epoch < target_.replica->highest())
    return world_.fail("a session of a lower epoch than promised is acknowledged");
  ack_.durable = std::max(ack_.durable, durable_there());
  target_.must_hold = std::max(target_.must_hold, ack_.durable);
  target_says(encode_ack(ack_, session_));
}

void SimLink::commit() {
  if (target_.replica->group() == nullptr || hangs_) return;
  if (!target_.replica->commit().ok()) return end_session(Status(Code::kIo, "cannot sync"), Retry::kLater);
  if (durable_there() > ack_.durable) acknowledge();  // else there is nothing to say
}

// What a site's router and host do with a message, without their threads.
void SimLink::target_receives(const std::string& text) {
  Bytes body;
  Result<WireHeader> header = open_message(as_bytes(text), body);
  if (!header.ok()) return end_session(header.status(), Retry::kHello);
  if (header->type == MessageType::kHello) {
    Result<Hello> hello = decode_hello(body);
    if (!hello.ok()) return end_session(hello.status(), Retry::kHello);
    Retry retry = Retry::kNever;
    session_ = world_.below(1u << 30) + 1;
    begun_ = false;
    claim_ = {{}, hello->epoch, hello->position, hello->openings};
    Result<Welcome> welcome = target_.replica->hello(*hello, claim_.who, retry);
    if (welcome.status().code() == Code::kStaleEpoch) {
      target_says(encode_welcome(target_.replica->epoch_news(), session_, 0));
    }
    if (!welcome.ok()) return end_session(welcome.status(), retry);
    ack_ = Ack();
    ack_.received = welcome->position.seq;
    ack_.durable = welcome->durable;
    target_.must_hold = std::max(target_.must_hold, welcome->durable);
    arrived_bytes_ = 0;
    return target_says(encode_welcome(*welcome, session_, 0));
  }
  if (header->session != session_ || session_ == 0) return;
  switch (header->type) {
    case MessageType::kBegin: {
      Result<Position> agreed = decode_begin(body);
      Status begun = agreed.ok() ? target_.replica->begin(claim_, *agreed) : agreed.status();
      if (!begun.ok()) return end_session(begun, Retry::kHello);
      if (agreed->seq < ack_.received) {
        world_.give_up(target_, agreed->seq);
        ack_.received = ack_.durable = agreed->seq;
      }
      begun_ = true;
      return acknowledge();
    }
    case MessageType::kOffer: {
      Result<DifferenceOffer> offer = decode_offer(body);
      if (!begun_ || !offer.ok()) return end_session(offer.status(), Retry::kHello);
      Result<Accept> accept = target_.replica->offer(claim_.epoch, *offer);
      if (!accept.ok()) return end_session(accept.status(), ReplicaCore::retry_after(accept.status()));
      return target_says(encode_accept(*accept, session_));
    }
    case MessageType::kDifference:
    case MessageType::kData: {
      if (!begun_) return;
      arrived_bytes_ += text.size();
      if (arrived_bytes_ - ack_.consumed_bytes > kWindowBytes)
        return end_session(Status(Code::kLimit, "window"), Retry::kHello);
      Result<Position> position = header->type == MessageType::kDifference
                                      ? target_.replica->piece(claim_.epoch, header->request, body)
                                      : target_.replica->take(claim_.epoch, body);
      if (!position.ok()) return end_session(position.status(), ReplicaCore::retry_after(position.status()));
      ack_.received = position->seq;
      ack_.consumed_bytes += text.size();
      ack_.consumed_frames += 1;
      return acknowledge();
    }
    case MessageType::kHeartbeat: {
      const Result<Seq> told = decode_heartbeat(body);
      if (begun_ && told.ok()) target_.replica->settle(*told, ack_.received);
      return acknowledge();
    }
    case MessageType::kPairNews: {
      Result<PairNews> news = decode_pair_news(body);
      if (news.ok() && begun_) (void)target_.replica->news(*news);
      return;
    }
    default: return;
  }
}

}  // namespace tidemark::test
