#include "replicator/source/pair_core.h"

#include <algorithm>

#include "base/logging.h"
#include "log/read/cursor.h"
#include "log/write/writer.h"
#include "replicator/wire/connection.h"
#include "replicator/wire/position_case.h"

namespace tidemark {
namespace {

// A site that got records early hears not much later that they are durable here.
constexpr std::chrono::milliseconds kSettledTellMax{20};

// A pair that is to be suspended drains over a new connection where it loses one, but does not wait longer than this for it.
constexpr std::chrono::seconds kDrainReconnectMax{30};

constexpr int64_t as_ns(std::chrono::nanoseconds time) { return time.count(); }
std::string seconds_text(std::chrono::milliseconds time) { return std::to_string(time.count() / 1000) + " s"; }

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

PairCore::PairCore(Group& group, Pair pair, Clock& clock, Persist persist)
    : group_(group),
      config_(std::move(pair.config)),
      status_(std::move(pair.status)),
      clock_(clock),
      persist_(std::move(persist)),
      limit_(config_.bytes_per_second),
      exposure_(status_.exposed_since_ns, group_.log().durable(), clock_.wall_ns()) {
  // The machine may have lost what the site has acknowledged early.
  acked_.durable = acked_.received = std::min(status_.durable, group_.log().appended());
  reached_ = status_.reached;
  // It was at work when it was last heard of, so all that is durable may have been sent.
  const bool at_rest = status_.state == PairState::kSuspended || status_.state == PairState::kFailed;
  if (!at_rest) reached_ = std::max(reached_, group_.log().durable());
  // It was duplex when it was last heard of: until it is connected or known to be lost, nothing is acknowledged without it.
  const bool withheld = withholds(status_) && !status_.fenced;  // it was on its way back to duplex
  waits_ = config_.mode == PairMode::kSync && (status_.state == PairState::kDuplex || withheld);
  lost_ns_ = now();
  publish();
}

// --- states

bool PairCore::wants_connection() const {
  return !status_.parked && (status_.wanted == PairWanted::kRun || status_.state == PairState::kSuspending);
}

Status PairCore::enter(PairStatus next, PairState to, const std::string& cause, bool parked) {
  change_state(next, to, cause, clock_.wall_ns());
  next.parked = next.parked || parked;
  exposure_.note(acked_.durable, group_.log().durable(), clock_.wall_ns());
  next.exposed_since_ns = exposure_.since_ns();
  next.durable = durable_to_save();
  next.reached = std::max(reached_, acked_.durable);
  if (to == PairState::kDuplex) next.armed = config_.mode == PairMode::kSync && config_.fence == PairFence::kData;
  TM_TRY(persist_(next).within("the state of the pair with '" + config_.site + "' cannot be saved"));
  if (next.state != status_.state) {
    log_info("group " + group_.identity().name + ": pair '" + config_.site +
             "': " + std::string(pair_state_name(status_.state)) + " -> " + std::string(pair_state_name(to)) +
             (cause.empty() ? "" : ": " + cause));
  }
  status_ = std::move(next);
  if (to == PairState::kSuspended || to == PairState::kFailed) waits_ = false;  // only now: what is said is what is saved
  lag_.begin_copy();
  tell_state();
  publish();
  return Status();
}

// What a site has early may be lost here yet, and then another record takes its number: the site does not have that one.
Seq PairCore::durable_to_save() const { return std::min(acked_.durable, group_.log().durable()); }

Status PairCore::suspend() {
  TM_TRY(may_suspend(status_, config_.site));
  PairStatus next = status_;
  next.wanted = PairWanted::kSuspended;
  if (status_.state != PairState::kDuplex || config_.mode == PairMode::kSync || !session_.connected) {
    return enter(next, PairState::kSuspended, "suspended by an operator");
  }
  TM_TRY(group_.log_writer().sync(kLatest));
  next.drain_to = group_.settled();
  const std::string cause = "an operator suspends it; it drains to seq " + std::to_string(next.drain_to.value());
  TM_TRY(enter(next, PairState::kSuspending, cause));
  return advance_after_command();
}

Status PairCore::resume() {
  TM_TRY(may_resume(status_, config_.site));
  PairStatus next = status_;
  next.wanted = PairWanted::kRun;
  set_goal();
  TM_TRY(enter(next, resumed_state(next), "resumed by an operator"));
  return advance_after_command();
}

// The command has succeeded. What follows by itself is tried again with each acknowledgement.
Status PairCore::advance_after_command() {
  if (Status further = advance(); !further.ok()) log_warning(further.text());
  return Status();
}

// With the difference goes the view that keeps the base where it is: giving a pair up is to make a prune possible.
Status PairCore::park(const std::string& cause) {
  TM_TRY(enter(status_, PairState::kFailed, cause, true));
  session_.difference.reset();
  session_.ready = PairMessage();
  return Status();
}

Status PairCore::advance() {
  // A copy that lost power may not know any more that its last records are settled. Until its source tells it again, they are not passed on.
  if (status_.state == PairState::kSuspending && acked_.durable >= std::min(status_.drain_to, group_.settled())) {
    return enter(PairState::kSuspended, "suspended by an operator");
  }
  bool on_its_way = status_.state == PairState::kCopying || status_.state == PairState::kResyncing;
  if (!on_its_way || !session_.shipping || acked_.durable < goal_) return Status();
  return reach_duplex();
}

// A sync pair gets there in two steps: first everybody waits for the site, then, once what was durable before that is durable
// there as well, it is duplex. So nothing falls between.
Status PairCore::reach_duplex() {
  if (config_.mode == PairMode::kSync && !waits_) {
    waits_ = true;
    publish();
    set_goal();
    if (acked_.durable < goal_) return Status();
  }
  // What was written while this goal was being reached is not there yet: the next one is nearer, or the line is too slow.
  if (config_.mode == PairMode::kAsync && now() - goal_ns_ > as_ns(kCaughtUpLag)) {
    set_goal();
    if (acked_.durable < goal_) return Status();
  }
  TM_TRY(enter(PairState::kDuplex,
               "everything up to seq " + std::to_string(acked_.durable.value()) + " is durable at the site" + lost_));
  lost_.clear();
  return Status();
}

void PairCore::set_goal() {
  goal_ = group_.settled();
  goal_ns_ = now();
}

// Half the bound for each goal: when one is set, the one before was just reached.
Status PairCore::check_lag() {
  if (config_.mode != PairMode::kAsync || status_.state != PairState::kDuplex) return Status();
  if (acked_.durable >= goal_) set_goal();
  if (now() - goal_ns_ <= as_ns(kDuplexLagMax) / 2) return Status();
  const std::string text = "the site falls behind: seq " + std::to_string(goal_.value()) + ", durable here for more than " +
                           seconds_text(kDuplexLagMax / 2) + ", is not yet durable there";
  set_goal();
  return enter(PairState::kResyncing, text);
}

// --- a connection

Status PairCore::greet() {
  Log& log = group_.log();
  session_ = Session();
  session_.connected = true;
  window_ = SendWindow();
  set_goal();
  session_.hello.role = WireRole::kShip;
  session_.hello.group_id = group_.identity().id;
  session_.hello.group = group_.identity().name;
  session_.hello.identity = own_identity();
  TM_ASSIGN(session_.hello.position, log.position_at(goal_));
  session_.hello.epoch =
      group_.identity().role == Role::kPrimary ? log.tail_position().epoch : session_.hello.position.epoch;
  session_.hello.openings = group_.openings();
  session_.control.push_back(encode_hello(session_.hello));
  session_.greeted_ns = session_.heard_ns = session_.spoke_ns = session_.progress_ns = now();
  return Status();
}

Status PairCore::receive(const Message& message) {
  Bytes body;
  TM_ASSIGN(WireHeader header, open_message(message.bytes(), body));
  session_.heard_ns = now();
  if (header.type == MessageType::kError) {
    TM_ASSIGN(WireError error, decode_error(body));
    session_.id = 0;
    return error.status.code() == Code::kStaleEpoch ? superseded(Epoch(), error.status) : error.status;
  }
  if (header.type == MessageType::kWelcome && !session_.shipping) return welcome(body, header.session);
  if (header.session != session_.id || session_.id == 0) return Status();
  switch (header.type) {
    case MessageType::kAck: return take_ack(body);
    case MessageType::kDownstream: return take_downstream(body);
    case MessageType::kAccept: return take_accept(body);
    case MessageType::kFetch: return take_fetch(body, header.request);
    default: return Status(Code::kCorrupt, "the site sent an unexpected message");
  }
}

Status PairCore::welcome(Bytes body, uint64_t session) {
  TM_ASSIGN(Welcome welcome, decode_welcome(body));
  if (!wants_connection()) return Status();  // suspended meanwhile: it stays so, and this connection ends
  if (welcome.role != WireRole::kShip || session == 0)
    return Status(Code::kCorrupt, "the site answered with another session");
  session_.id = session;
  TM_TRY(check_welcome(welcome));
  return begin(welcome);
}

bool PairCore::is_opening(const Position& position) const {
  const auto& openings = session_.hello.openings;
  return position.seq != Seq() && std::find(openings.begin(), openings.end(), position) != openings.end();
}

// Whether what the site holds is a beginning of our history.
Status PairCore::check_welcome(const Welcome& welcome) {
  Log& log = group_.log();
  auto own_at = [&log](Seq seq) { return log.position_at(seq); };
  if (welcome.group_id != session_.hello.group_id) return Status(Code::kCorrupt, "the site answered for another group");
  if (welcome.highest > session_.hello.epoch) {
    return superseded(
        welcome.highest,
        Status(Code::kStaleEpoch, "the site follows a primary of epoch " + std::to_string(welcome.highest.value()) +
                                      "; this one is of epoch " + std::to_string(session_.hello.epoch.value())));
  }
  if (group_.superseded())
    return Status(Code::kStaleEpoch, "this volume is fenced: a newer primary has taken over its group");
  // More may have been appended since HELLO, and the site has some of it early.
  const Position newest = log.tail_position();
  Result<PositionCase> which = classify_at_shipper(newest, welcome.position, own_at);
  const bool follows = which.ok() ? *which != PositionCase::kAhead && *which != PositionCase::kDiverged
                                  : which.status().code() != Code::kNotFound;
  session_.agreed = follows || !is_opening(welcome.cut_to) ? welcome.position : welcome.cut_to;
  if (session_.agreed != welcome.position) {
    log_warning("group " + group_.identity().name + ": pair '" + config_.site + "': the site drops records " +
                std::to_string(session_.agreed.seq.next().value()) + " to " + std::to_string(welcome.position.seq.value()) +
                ", which it got early and this machine lost before they were durable here; they were never acknowledged");
    return Status();
  }
  if (!which.ok()) {
    return which.status().within(
        "site '" + config_.site + "' is at seq " + std::to_string(welcome.position.seq.value()) +
        ", which this log cannot be compared with (oldest record here: " + std::to_string(log.first().value()) +
        "); remove or rename the group's directory at the site to copy this one again");
  }
  return refuse_position(*which, newest, welcome.position, config_.site, group_.identity().name);
}

Status PairCore::superseded(Epoch by, const Status& why) {
  if (group_.identity().role != Role::kPrimary) return why;  // a copy: its source is told by its own sites
  const Status saved = group_.supersede({by, group_.log().tail_position().epoch, config_.site, clock_.wall_ns()});
  if (!saved.ok()) log_error("group " + group_.identity().name + ": " + saved.text());
  return why;
}

Status PairCore::begin(const Welcome& welcome) {
  if (!window_.open(welcome.window_bytes, welcome.window_frames)) {
    return Status(Code::kCorrupt, "the site granted no window");
  }
  if (session_.agreed != welcome.position) acked_.durable = std::min(acked_.durable, session_.agreed.seq);
  note_loss(session_.agreed.seq);
  shipped_.begin(session_.agreed.seq);
  acked_ = Ack();
  acked_.received = sent_ = reached_ = session_.agreed.seq;
  acked_.durable = std::min(welcome.durable, session_.agreed.seq);
  session_.cursor = std::make_shared<LogCursor>(group_.log(), sent_.next());
  session_.control.push_back(encode_begin(session_.agreed, session_.id, 1));
  session_.shipping = true;
  refused_ = diverged_ = false;
  last_error_.clear();
  limit_.restart(now());
  session_.begun_ns = now();
  if (status_.state != PairState::kSuspending) {
    std::string cause = "connected; the site continues after seq " + std::to_string(sent_.value()) + lost_;
    TM_TRY(enter(resumed_state(status_), cause));
  } else {
    tell_state();
  }
  TM_TRY(advance());
  publish();
  return Status();
}

// What a site has acknowledged as durable it holds, whatever happens to its machine. One that does not has lost it: its disk, or somebody
// who was at its files.
void PairCore::note_loss(Seq held) {
  if (held >= acked_.durable) return;
  const std::string records =
      "records " + std::to_string(held.next().value()) + " to " + std::to_string(acked_.durable.value());
  lost_ =
      "; the site has lost " + records + ", which it had acknowledged: they are sent again; verify its copy and its disk";
  log_error("group " + group_.identity().name + ": pair '" + config_.site + "'" + lost_);
}

Status PairCore::take_ack(Bytes body) {
  TM_ASSIGN(Ack ack, decode_ack(body));
  const bool falls = ack.received < acked_.received || ack.durable < acked_.durable;
  if (falls || ack.received > sent_ || !window_.acknowledge(ack.consumed_bytes, ack.consumed_frames)) {
    return Status(Code::kCorrupt, "the site sent an impossible acknowledgement");
  }
  if (ack.durable > acked_.durable) session_.progress_ns = now();
  if (!session_.begun) session_.line.set_round_trip(now() - session_.begun_ns);
  session_.line.acknowledge(ack.consumed_bytes, now());
  shipped_.consumed(ack.consumed_frames);
  acked_ = ack;
  session_.begun = true;
  acked_wall_ns_ = clock_.wall_ns();
  if (session_.difference && acked_.received == session_.difference->offer().target.base.seq) {
    session_.difference.reset();
    session_.cursor = std::make_shared<LogCursor>(group_.log(), acked_.received.next());
  }
  window_.made_durable(acked_.durable);
  drop_untold_downstream();
  TM_TRY(advance());
  publish();
  return Status();
}

void PairCore::end() {
  if (durable_to_save() == status_.durable) return;
  PairStatus next = status_;
  next.exposed_since_ns = exposure_.since_ns();
  next.durable = durable_to_save();
  next.reached = std::max(reached_, acked_.durable);
  const Status saved = persist_(next);
  if (saved.ok()) status_ = std::move(next);
  if (!saved.ok() && saved.code() != Code::kNotFound) log_warning(saved.text());  // the pair was removed: nobody asks for it
}

void PairCore::disconnected(const Status& why) {
  if (session_.shipping) lost_ns_ = now();
  cut_off_downstream();
  session_ = Session();
  window_.close();
  if (!wants_connection()) return publish();
  std::string text = why.ok() ? "the connection ended" : why.text();
  refused_ = is_refusal(why);
  diverged_ = why.code() == Code::kDiverged;
  if (text != last_error_) log_warning("group " + group_.identity().name + ": pair '" + config_.site + "': " + text);
  last_error_ = text;
  if (status_.state == PairState::kSuspending) return drain_without_connection();
  // A pair that has never reached its site stays simplex: nothing has failed that ever worked.
  bool still_simplex = status_.state == PairState::kSimplex && !refused_;
  if (!still_simplex && status_.state != PairState::kFailed) {
    // What cannot be saved did not happen: a sync pair's waiters go on waiting, and the next attempt tries again.
    if (Status saved = enter(PairState::kFailed, text); !saved.ok()) log_error(saved.text());
  }
  publish();
}

// What an operator has suspended ends suspended, whatever becomes of the connection meanwhile.
void PairCore::drain_without_connection() {
  if (!refused_ && now() - lost_ns_ < as_ns(kDrainReconnectMax)) return publish();
  const std::string missing = "suspended by an operator before it drained to seq " +
                              std::to_string(status_.drain_to.value()) + "; the site is known to have record " +
                              std::to_string(acked_.durable.value()) + ": " + last_error_;
  if (Status saved = enter(PairState::kSuspended, missing); !saved.ok()) log_error(saved.text());
  publish();
}

// --- sending

bool PairCore::early() const { return session_.begun && config_.mode == PairMode::kSync && !group_.openings().empty(); }

Seq PairCore::last_to_send() const {
  const Seq end = early() ? group_.log().syncing() : group_.settled();
  return status_.state == PairState::kSuspending ? std::min(end, status_.drain_to) : end;
}

// What is durable here is news for a site that got it early; what is behind it waits for that. DATA says it as well.
bool PairCore::heartbeat_due() const {
  const int64_t silent = now() - session_.spoke_ns;
  if (silent >= as_ns(kHeartbeatInterval)) return true;
  const bool says_soon = session_.difference || session_.ready.ready || sent_ < last_to_send();
  return settled_to_tell() > session_.told && !says_soon && (prompt() || silent >= as_ns(kSettledTellMax));
}

bool PairCore::may_send() {
  if ((!session_.difference && sent_ >= last_to_send()) || !has_room()) return false;
  return limit_.allows(now());
}

Status PairCore::send(const TrySend& try_send) {
  session_.full = false;
  if (session_.shipping && group_.superseded())
    return Status(Code::kStaleEpoch, "a newer primary has taken over this volume's group");
  TM_TRY(check_time());
  if (session_.shipping) TM_TRY(check_lag());
  TM_TRY(send_control(try_send));
  if (session_.shipping && wants_connection() && !session_.full) TM_TRY(send_data(try_send));
  if (session_.shipping && !session_.full && heartbeat_due()) {
    session_.told = std::max(session_.told, settled_to_tell());
    session_.control.push_back(encode_heartbeat(session_.told, session_.id));
    TM_TRY(send_control(try_send));
  }
  return Status();
}

Status PairCore::check_time() {
  if (!session_.shipping) {
    if (now() - session_.greeted_ns <= as_ns(kHelloMax)) return Status();
    return Status(Code::kTimeout, "site '" + config_.site + "' at " + config_.endpoint + " did not answer HELLO in time");
  }
  if (now() - session_.heard_ns > as_ns(kPeerSilenceMax)) {
    return Status(Code::kTimeout, "site '" + config_.site + "' at " + config_.endpoint + " has been silent for " +
                                      seconds_text(kPeerSilenceMax));
  }
  if (acked_.durable >= group_.settled() || sent_ <= acked_.durable) session_.progress_ns = now();
  // What is on its way over a slow line is nobody's fault.
  if (waits_ && now() - session_.progress_ns > as_ns(session_.stall_max + session_.line.transit())) {
    return Status(Code::kTimeout, "site '" + config_.site + "' answers, but has made nothing durable for " +
                                      seconds_text(session_.stall_max));
  }
  return Status();
}

Status PairCore::send_control(const TrySend& try_send) {
  while (!session_.control.empty()) {
    Message message = Message::copy_of(as_bytes(session_.control.front()));
    TM_ASSIGN(bool sent, try_send(message));
    if (!sent) {
      session_.full = true;
      return Status();
    }
    session_.control.pop_front();
    session_.spoke_ns = now();
  }
  return Status();
}

void PairCore::count_sent(size_t bytes, Seq last) {
  window_.add(bytes);
  shipped_.sent(bytes, last);
  session_.line.add(bytes, now());
  limit_.spend(bytes);
  session_.spoke_ns = now();
}

std::chrono::milliseconds PairCore::pause() const {
  int64_t left = as_ns(kHeartbeatInterval) - (now() - session_.spoke_ns);
  const bool more = session_.difference ? session_.accepted && has_room() && !session_.full : sent_ < last_to_send();
  const bool throttled = session_.shipping && limit_.limits() && more;
  if (throttled) left = std::min(left, as_ns(std::chrono::milliseconds(10)));
  if (early() && session_.told < sent_) left = std::min(left, as_ns(kSettledTellMax));
  auto pause = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds(left));
  return std::clamp<std::chrono::milliseconds>(pause, std::chrono::milliseconds(1), kHeartbeatInterval);
}

// --- what others see

void PairCore::tell_state() {
  if (!session_.shipping) return;
  PairNews news;
  news.mode = config_.mode;
  news.fence = config_.fence;
  news.state = status_.state;
  news.since_ns = status_.since_ns;
  news.source = own_identity();
  news.cause = status_.cause;
  session_.control.push_back(encode_pair_news(news, session_.id));
  session_.told_at_frames = window_.sent_frames() + 1;
}

void PairCore::publish() {
  exposure_.note(acked_.durable, group_.log().durable(), clock_.wall_ns());
  SiteProgress shown;
  shown.state = pair_state_name(status_.state);
  shown.mode = pair_mode_name(config_.mode);
  shown.fence = pair_fence_name(config_.fence);
  shown.sent = std::max(sent_, acked_.received);
  shown.received = acked_.received;
  shown.durable = acked_.durable;
  shown.connected = session_.shipping;
  shown.since_ns = status_.since_ns;
  shown.acked_ns = acked_wall_ns_;
  shown.cause = status_.cause;
  shown.last_error = last_error_;
  shown.waits = waits_ || withholds(status_);
  shown.withholds = withholds(status_);
  shown.wanted = pair_wanted_name(status_.wanted);
  shown.fenced = status_.fenced;
  shown.diverged = diverged_;
  shown.parked = status_.parked;
  shown.shipped_bytes = shipped_.once();
  shown.resent_bytes = shipped_.again();
  PairLag::SitePosition site{acked_.durable, window_.durable_end(), {}};
  if (session_.difference) site.difference_bytes_left = session_.difference->bytes_left();
  lag_.measure(group_.log(), site, now());
  const bool copying = status_.state == PairState::kCopying || status_.state == PairState::kResyncing;
  lag_.show(shown, copying, clock_.wall_ns());
  group_.watermarks().update(config_.site, shown);
}

}  // namespace tidemark
