#include "replicator/pair_link.h"

#include <array>

#include "base/clock.h"
#include "base/logging.h"
#include "replicator/endpoint.h"
#include "replicator/position_case.h"

namespace tidemark {
namespace {

// A session shorter than this was none: the pause before the next keeps growing (two primaries that push each other out).
constexpr std::chrono::seconds kSessionCounts{2};

// Nothing will be different before a person has done something.
bool is_refusal(const Status& status) {
  switch (status.code()) {
    case Code::kDiverged:
    case Code::kStaleEpoch:
    case Code::kExists:
    case Code::kNotAuthorised:
    case Code::kUnsupported: return true;
    default: return false;
  }
}

}  // namespace

std::chrono::milliseconds Backoff::next() {
  auto whole = current_.count();
  std::uniform_int_distribution<long> part(whole * 3 / 4, whole);
  current_ = std::min(kLongest, current_ * 2);
  return std::chrono::milliseconds(part(random_));
}

PairLink::PairLink(Group& group, PairConfig config, ZmqContext& context)
    : group_(group), config_(std::move(config)), context_(context) {
  publish(pair_state::kSimplex, false, "");
  thread_ = std::thread([this] { run(); });
}

PairLink::~PairLink() {
  stop();
  thread_.join();
}

void PairLink::stop() {
  stopping_ = true;
  halt_.wake();
  work_.wake();
}

std::string PairLink::last_error() {
  MutexLock lock(error_mutex_);
  return last_error_;
}

void PairLink::run() {
  while (!stopping_) {
    SteadyTime began = std::chrono::steady_clock::now();
    Status status = attempt();
    cursor_.reset();
    if (stopping_) break;
    if (std::chrono::steady_clock::now() - began > kSessionCounts) backoff_.reset();
    failed(status);
    zmq_pollitem_t halt = poll_item(halt_);
    static_cast<void>(poll_items(std::span(&halt, 1), backoff_.next()).ok());
  }
  publish(shown_.state, false, "");
}

Status PairLink::attempt() {
  ConnectTarget target;
  TM_ASSIGN(Endpoint endpoint, parse_endpoint(config_.endpoint, false));
  target.endpoint = endpoint.text();
  TM_ASSIGN(target.keys, load_client_keys(config_.server_key, config_.own_key, endpoint.is_local(), config_.endpoint));
  TM_ASSIGN(std::unique_ptr<Connection> connection,
            Connection::open(context_, target, kHandshakeMax + std::chrono::milliseconds(500), &halt_));
  Status status = agree(*connection);
  if (status.ok()) status = ship(*connection);
  if (session_ != 0) connection->send_last(encode_bye(session_));
  return status;
}

Status PairLink::agree(Connection& connection) {
  Log& log = group_.log();
  auto own_at = [&log](Seq seq) { return log.position_at(seq); };
  goal_ = log.durable();
  TM_ASSIGN(Position newest, log.position_at(goal_));
  Hello hello;
  hello.role = WireRole::kShip;
  hello.group_id = group_.identity().id;
  hello.group = group_.identity().name;
  hello.identity = own_identity();
  hello.epoch = log.tail_position().epoch;
  hello.position = newest;
  session_ = 0;
  SteadyTime deadline = std::chrono::steady_clock::now() + kHelloMax;
  TM_ASSIGN(Greeted greeted, say_hello(connection, hello, deadline, &halt_, nullptr));
  session_ = greeted.session;
  const Welcome& welcome = greeted.welcome;
  if (welcome.group_id != hello.group_id) return Status(Code::kCorrupt, "the site answered for another group");
  if (welcome.highest > hello.epoch) return Status(Code::kStaleEpoch, "the site follows a newer primary");
  // More may have become durable since HELLO.
  TM_ASSIGN(newest, log.position_at(log.durable()));
  Result<PositionCase> which = classify_at_shipper(newest, welcome.position, own_at);
  if (!which.ok()) {
    return which.status().within(
        "site '" + config_.site + "' stands at seq " + std::to_string(welcome.position.seq.value()) +
        ", which this log cannot be compared with (oldest record here: " + std::to_string(log.first().value()) + ")");
  }
  TM_TRY(refuse_position(*which, newest, welcome.position, config_.site, group_.identity().name));
  if (welcome.position.seq.next() < log.first() && log.first() <= log.durable()) {
    return Status(Code::kNotFound, "site '" + config_.site + "' needs records from seq " +
                                       std::to_string(welcome.position.seq.next().value()) +
                                       " on, the oldest held here is " + std::to_string(log.first().value()));
  }
  window_bytes_ = std::min(welcome.window_bytes, kWindowBytes);
  window_frames_ = std::min(welcome.window_frames, kWindowFrames);
  if (window_bytes_ < kWireMax || window_frames_ == 0) return Status(Code::kCorrupt, "the site grants no window");
  sent_bytes_ = sent_frames_ = 0;
  acked_ = Ack();
  acked_.received = welcome.position.seq;
  acked_.durable = std::min(welcome.durable, welcome.position.seq);
  acked_durable_ = acked_.durable.value();
  sent_ = welcome.position.seq;
  cursor_ = std::make_unique<LogCursor>(log, sent_.next());
  Message begin = Message::own(encode_begin(welcome.position, session_, 1));
  TM_TRY(send_within(connection, begin, deadline, &halt_));
  heard_ = spoke_ = std::chrono::steady_clock::now();
  ever_connected_ = true;
  refused_ = false;
  log_info("group " + group_.identity().name + ": site '" + config_.site + "' (" + std::string(position_case_name(*which)) +
           ") continues after seq " + std::to_string(sent_.value()));
  publish(acked_.durable >= goal_ ? pair_state::kDuplex : pair_state::kCopying, true, "");
  return Status();
}

bool PairLink::may_send() const {
  return sent_ < group_.log().durable() && sent_frames_ - acked_.consumed_frames < window_frames_ &&
         sent_bytes_ - acked_.consumed_bytes + kWireMax <= window_bytes_;
}

Status PairLink::ship(Connection& connection) {
  while (!stopping_) {
    work_.clear();
    TM_TRY(take_messages(connection));  // before anybody is called silent: it may be us who slept
    TM_TRY(send_ready(connection));
    SteadyTime now = std::chrono::steady_clock::now();
    if (now - heard_ > kPeerSilenceMax) {
      return Status(Code::kTimeout, "site '" + config_.site + "' at " + config_.endpoint + " has been silent for " +
                                        std::to_string(kPeerSilenceMax.count() / 1000) + " s");
    }
    if (now - spoke_ >= kHeartbeatInterval) TM_TRY(heartbeat(connection));
    auto pause = std::chrono::ceil<std::chrono::milliseconds>(kHeartbeatInterval - (now - spoke_));
    TM_TRY(connection.wait(std::clamp(pause, std::chrono::milliseconds(1), kHeartbeatInterval), false, &work_));
  }
  return Status();
}

// Sends while there is something durable, room in the window and room in the queue.
Status PairLink::send_ready(Connection& connection) {
  while (may_send() && !stopping_) {
    TM_ASSIGN(LogCursor::Run run, cursor_->read(kRunMax, group_.log().durable()));
    if (run.bytes.empty()) return Status();
    Message message(kWireHeaderSize + kDataFixed + run.bytes.size());
    encode_data_message(message.span(), {run.first, run.last, run.bytes}, session_, 0);
    size_t size = message.bytes().size();
    for (;;) {
      TM_ASSIGN(bool sent, connection.try_send(message));
      if (sent) break;
      // The queue is as long as the window, so this is the connection's end or its very beginning.
      TM_TRY(connection.wait(kHeartbeatInterval, true, &halt_));
      TM_TRY(take_messages(connection));
      if (stopping_) return Status();
      if (std::chrono::steady_clock::now() - heard_ > kPeerSilenceMax) {
        return Status(Code::kTimeout, "site '" + config_.site + "' takes nothing");
      }
    }
    sent_bytes_ += size;
    sent_frames_ += 1;
    sent_ = run.last;
    spoke_ = std::chrono::steady_clock::now();
    TM_TRY(take_messages(connection));
  }
  return Status();
}

Status PairLink::take_messages(Connection& connection) {
  bool acked = false;
  for (;;) {
    TM_ASSIGN(std::optional<Message> message, connection.try_receive());
    if (!message.has_value()) break;
    Bytes body;
    TM_ASSIGN(WireHeader header, open_message(message->bytes(), body));
    heard_ = std::chrono::steady_clock::now();
    if (header.type == MessageType::kError) {
      TM_ASSIGN(WireError error, decode_error(body));
      session_ = 0;
      return error.status;
    }
    if (header.session != session_) continue;
    if (header.type != MessageType::kAck) return Status(Code::kCorrupt, "the site sent what a shipper does not expect");
    TM_TRY(take_ack(body));
    acked = true;
  }
  if (acked) publish(acked_.durable >= goal_ ? pair_state::kDuplex : pair_state::kCopying, true, "");
  return Status();
}

Status PairLink::take_ack(Bytes body) {
  TM_ASSIGN(Ack ack, decode_ack(body));
  bool falls = ack.received < acked_.received || ack.durable < acked_.durable ||
               ack.consumed_bytes < acked_.consumed_bytes || ack.consumed_frames < acked_.consumed_frames;
  bool invented = ack.received > sent_ || ack.consumed_bytes > sent_bytes_ || ack.consumed_frames > sent_frames_;
  if (falls || invented) return Status(Code::kCorrupt, "the site acknowledges what cannot be");
  acked_ = ack;
  acked_durable_ = ack.durable.value();
  shown_.acked_ns = system_clock().wall_ns();
  return Status();
}

Status PairLink::heartbeat(Connection& connection) {
  Message message = Message::own(encode_heartbeat(group_.log().durable(), session_));
  TM_TRY(connection.try_send(message).status());  // a full queue: what is in it does as well
  spoke_ = std::chrono::steady_clock::now();
  return Status();
}

void PairLink::publish(std::string_view state, bool connected, std::string_view error) {
  if (shown_.state != state) {
    shown_.state = state;
    shown_.since_ns = system_clock().wall_ns();
  }
  shown_.connected = connected;
  shown_.sent = std::max(sent_, acked_.received);
  shown_.received = acked_.received;
  shown_.durable = acked_.durable;
  shown_.last_error = error;
  group_.watermarks().update(config_.site, shown_);
}

void PairLink::failed(const Status& status) {
  // The site let go of a session that may be had again at once: not worth a word.
  std::string text = status.ok() ? "the connection ended" : status.text();
  refused_ = is_refusal(status);
  {
    MutexLock lock(error_mutex_);
    if (last_error_ != text) log_warning("group " + group_.identity().name + ": pair '" + config_.site + "': " + text);
    last_error_ = text;
  }
  bool still_simplex = !ever_connected_ && !refused_;
  publish(still_simplex ? pair_state::kSimplex : pair_state::kFailed, false, text);
}

}  // namespace tidemark
