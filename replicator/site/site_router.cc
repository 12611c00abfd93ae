#include "replicator/site/site_router.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/logging.h"
#include "replicator/wire/difference_protocol.h"
#include "replicator/wire/endpoint.h"
#include "replicator/wire/read_protocol.h"

namespace tidemark {
namespace {

constexpr int kMessagesARound = 64;  // then the outbox has its turn

int64_t now_ns() { return system_clock().steady_ns(); }
int64_t as_ns(std::chrono::nanoseconds time) { return time.count(); }

// A number nobody can guess, never 0.
uint64_t random_session() {
  uint64_t value = 0;
  while (value == 0) {
    if (getrandom(&value, sizeof value, 0) != sizeof value) value = 0;
  }
  return value;
}

std::string readable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

Status may_ask(MessageType type, const Rights& rights) {
  if (type == MessageType::kPrune && !rights.prune) {
    return Status(Code::kNotAuthorised,
                  "this key has no right to prune here; use a separate key with 'prune' in the site's allow-list");
  }
  if (type == MessageType::kPrune || rights.read || (type == MessageType::kResolve && rights.prune)) return Status();
  return Status(Code::kNotAuthorised, "this key has no right to read here; add 'read' to its line of the allow-list");
}

std::string name_list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (text.size() > 300) return text + ", …";
    text += (text.empty() ? "" : ", ") + name;
  }
  return text.empty() ? "none" : text;
}

}  // namespace

void SiteRouter::stop() {
  stopping_ = true;
  outbox_.wake().wake();
}

void SiteRouter::read_allow_list() {
  read_list_ = true;
  outbox_.wake().wake();
}

Status SiteRouter::run() {
  while (!stopping_) {
    std::array<zmq_pollitem_t, 3> items{poll_item(socket_, ZMQ_POLLIN), poll_item(outbox_.wake()), meter_.item()};
    TM_TRY(poll_items(items, kMeterInterval));
    TM_TRY(drain_socket());
    drain_outbox();
    TM_TRY(meter_.check());
    if (allow_ != nullptr && allow_->look(read_list_.exchange(false))) enforce_rights();
    expire();
  }
  return Status();
}

Status SiteRouter::drain_socket() {
  for (int i = 0; i < kMessagesARound; ++i) {
    Message id;
    TM_ASSIGN(bool got, socket_.try_receive(id));
    if (!got) return Status();
    Origin origin;
    origin.routing_id = as_text(id.bytes());
    Message message;
    bool more = id.more();
    size_t parts = 0;
    while (more) {
      // Only the first part is kept; the others go as they come.
      Message part;
      TM_ASSIGN(bool there, socket_.try_receive(part));
      if (!there) break;
      more = part.more();
      if (++parts == 1) message = std::move(part);
    }
    if (allow_ != nullptr) origin.user = message.property("User-Id");
    origin.fd = message.source_fd();
    origin.connection = meter_.message(origin.fd);
    if (parts == 1) {
      dispatch(origin, std::move(message));
    } else {
      strike(origin, Status(Code::kInvalid, "a message is one frame, not " + std::to_string(parts)), 0);
    }
  }
  return Status();
}

void SiteRouter::dispatch(const Origin& origin, Message message) {
  Bytes body;
  Result<WireHeader> header = open_message(message.bytes(), body);
  if (!header.ok()) return strike(origin, header.status(), 0);
  if (header->type == MessageType::kHello) return handle_hello(origin, body, *header);
  if (header->type == MessageType::kLine) return handle_line(origin, *header);
  auto found = peers_.find(origin.routing_id);
  if (found == peers_.end() || found->second.session != header->session || found->second.user != origin.user) {
    // What was on its way when its session ended is no offence.
    if (header->type == MessageType::kBye) return;
    send(origin.routing_id, encode_error(Status(Code::kStale, "this session has ended; send HELLO again"), Retry::kHello,
                                         header->session, header->request));
    return;
  }
  found->second.heard_ns = now_ns();
  handle_session(origin, found->second, *header, body, std::move(message));
}

size_t SiteRouter::sessions_of(const std::string& user) const {
  return static_cast<size_t>(
      std::count_if(peers_.begin(), peers_.end(), [&](const auto& one) { return one.second.user == user; }));
}

uint64_t SiteRouter::data_of(const std::string& user) const {
  uint64_t bytes = 0;
  for (const auto& [routing_id, peer] : peers_) bytes += peer.user == user ? peer.unconsumed() : 0;
  return bytes;
}

std::shared_ptr<ReadCount> SiteRouter::reads_of(const std::string& user) {
  std::weak_ptr<ReadCount>& known = reads_of_[user];
  std::shared_ptr<ReadCount> count = known.lock();
  if (count == nullptr) known = count = std::make_shared<ReadCount>(0);
  return count;
}

Rights SiteRouter::rights_of(const std::string& user, const std::string& group) const {
  if (allow_ != nullptr) return group.empty() ? allow_->now()->rights_somewhere(user) : allow_->now()->rights(user, group);
  Rights all;  // loopback and ipc without keys: everybody who reaches us, and who may write does not prune
  all.append = true;
  all.create = true;
  all.read = true;
  return all;
}

void SiteRouter::handle_hello(const Origin& origin, Bytes body, const WireHeader& header) {
  Result<Hello> hello = decode_hello(body);
  if (!hello.ok()) return strike(origin, hello.status(), header.request);
  hello->identity = readable(std::move(hello->identity));
  drop(origin.routing_id);  // a second hello on a connection replaces the first
  const Status status = greet(origin, *hello);
  if (status.ok()) return;
  const std::string name = allow_ == nullptr ? "" : allow_->now()->name(origin.user);
  warnings_.warn(now_ns(), "refused " + hello->identity + (name.empty() ? "" : " (" + name + ")") + ": " + status.text());
  Retry retry = status.code() == Code::kLimit ? Retry::kLater : Retry::kNever;
  send(origin.routing_id, encode_error(status, retry, 0, header.request));
}

Status SiteRouter::greet(const Origin& origin, const Hello& hello) {
  if (!hello.group.empty()) TM_TRY(check_peer_name(hello.group, "group"));  // before anything is compared with the list
  if (peers_.size() >= kSessionsMax) return Status(Code::kLimit, "the site has reached its limit of peers");
  if (sessions_of(origin.user) >= kSessionsPerKeyMax) {
    return Status(Code::kLimit, "this key has reached its limit of 256 sessions here");
  }
  const Rights rights = rights_of(origin.user, hello.group);
  return hello.role == WireRole::kShip ? greet_shipper(origin, hello, rights) : greet_reader(origin, hello, rights);
}

SiteRouter::Peer& SiteRouter::add_peer(const Origin& origin, uint64_t session, const std::string& group) {
  Peer& peer = peers_[origin.routing_id];
  peer.group = group;
  peer.user = origin.user;
  peer.fd = origin.fd;
  peer.connection = origin.connection;
  peer.session = session;
  peer.heard_ns = now_ns();
  return peer;
}

Status SiteRouter::greet_shipper(const Origin& origin, const Hello& hello, const Rights& rights) {
  if (!rights.append) {
    return Status(Code::kNotAuthorised, "this key has no right to append to group '" + hello.group +
                                            "' here; add 'append' to a line of the allow-list for this key and group");
  }
  const Claimant who{origin.user, rights.create, rights.own};
  const auto may_know = [&](const std::string& name) { return rights_of(origin.user, name).any(); };
  TM_ASSIGN(ReplicaHost * host, groups_.find_or_add(hello.group, hello.group_id, who, may_know));
  auto session = std::make_shared<ShipSession>();
  session->routing_id = origin.routing_id;
  session->user = hello.identity;
  session->id = random_session();
  if (!host->post_hello(session, hello, who)) return Status(Code::kLimit, "the site is busy with this group");
  Peer& peer = add_peer(origin, session->id, hello.group);
  peer.ship = std::move(session);
  peer.host = host;
  return Status();
}

Status SiteRouter::greet_reader(const Origin& origin, const Hello& hello, const Rights& rights) {
  if (!rights.read && !rights.prune) {
    return Status(Code::kNotAuthorised, "this key has no right to read " +
                                            (hello.group.empty() ? "" : "group '" + hello.group + "' ") +
                                            "here; add 'read' to a line of the allow-list for this key and group");
  }
  ReplicaHost* host = nullptr;
  Welcome welcome;
  welcome.role = WireRole::kRead;
  if (!hello.group.empty()) {
    host = groups_.find(hello.group);
    Group* group = host == nullptr ? nullptr : host->group();
    if (group == nullptr) {
      if (host != nullptr) TM_TRY(host->open_status());
      std::vector<std::string> names = groups_.names();
      std::erase_if(names, [&](const std::string& name) { return !rights_of(origin.user, name).any(); });
      return Status(Code::kNotFound, "no group '" + hello.group + "' at this site; it holds: " + name_list(names));
    }
    welcome.group_id = group->identity().id;
    welcome.position = group->position();
    welcome.durable = group->log().durable();
    if (welcome.position.seq != Seq(0)) welcome.which = PositionCase::kBehind;
  }
  Peer& peer = add_peer(origin, random_session(), hello.group);
  peer.read = std::make_unique<ReadSession>();
  peer.read->key = origin.user;
  peer.read->routing_id = origin.routing_id;
  peer.read->id = peer.session;
  peer.read->pending_of_key = reads_of(origin.user);
  peer.read->host = host;
  if (host != nullptr) host->views().came(origin.user);
  send(origin.routing_id, encode_welcome(welcome, peer.session, 0));
  return Status();
}

void SiteRouter::handle_session(const Origin& origin, Peer& peer, const WireHeader& header, Bytes body, Message message) {
  if (header.type == MessageType::kBye) return drop(origin.routing_id, true);
  if (peer.ship != nullptr) return handle_ship(origin, peer, header, body, std::move(message));
  if (is_read_request(header.type)) return handle_read(origin, peer, header, std::move(message));
  strike(origin, Status(Code::kInvalid, "a reader may not send this"), header.request);
}

// A session's number is known to its peer alone, who must be the same one here.
void SiteRouter::handle_line(const Origin& origin, const WireHeader& header) {
  drop(origin.routing_id);
  const auto main = std::find_if(peers_.begin(), peers_.end(), [&](const auto& one) {
    const Peer& peer = one.second;
    return peer.ship != nullptr && !peer.line && peer.session == header.session && peer.user == origin.user;
  });
  if (main == peers_.end() || header.session == 0 || peers_.size() >= kSessionsMax ||
      sessions_of(origin.user) >= kSessionsPerKeyMax) {
    send(origin.routing_id, encode_error(Status(Code::kStale, "there is no such session, or no room for a line of it"),
                                         Retry::kHello, header.session, header.request));
    return;
  }
  const std::shared_ptr<ShipSession> ship = main->second.ship;
  ReplicaHost* host = main->second.host;
  ship->several_lines = true;
  const std::string group = main->second.group;
  Peer& peer = add_peer(origin, header.session, group);
  peer.ship = ship;
  peer.host = host;
  peer.line = true;
  send(origin.routing_id, encode_ack(Ack(), header.session));
}

bool SiteRouter::handle_on_line(const Origin& origin, Peer& peer, const WireHeader& header) {
  if (peer.ship->over) {
    drop(origin.routing_id);
    return false;
  }
  switch (header.type) {
    case MessageType::kData: return true;
    case MessageType::kBye: drop(origin.routing_id); return false;
    case MessageType::kHeartbeat: send(origin.routing_id, encode_ack(Ack(), header.session)); return false;
    default:
      strike(origin, Status(Code::kInvalid, "this message is not allowed on an extra line"), header.request);
      return false;
  }
}

void SiteRouter::handle_ship(const Origin& origin, Peer& peer, const WireHeader& header, Bytes body, Message message) {
  peer.host->heard(*peer.ship, Seq());
  if (peer.line && !handle_on_line(origin, peer, header)) return;
  switch (header.type) {
    case MessageType::kBegin: {
      Result<Position> agreed = decode_begin(body);
      if (!agreed.ok()) return strike(origin, agreed.status(), header.request);
      if (!peer.host->post_begin(peer.ship, header.request, *agreed)) {
        send(origin.routing_id, encode_error(Status(Code::kLimit, "the site is busy with this group"), Retry::kLater,
                                             header.session, header.request));
      }
      return;
    }
    case MessageType::kHeartbeat: {
      const Result<Seq> durable = decode_heartbeat(body);
      if (!durable.ok()) return strike(origin, durable.status(), 0);
      peer.host->told(peer.ship, *durable);
      peer.host->heard(*peer.ship, *durable);
      outbox_.post_ack(peer.ship);
      return;
    }
    case MessageType::kPairNews: {
      Result<PairNews> news = decode_pair_news(body);
      if (!news.ok()) return strike(origin, news.status(), 0);
      peer.host->post_news(peer.ship, std::move(*news));
      return;
    }
    case MessageType::kFetched: {
      Result<std::string> run = decode_fetched(body);
      const Status taken = run.ok() ? peer.host->fetched(*peer.ship, header.request, std::move(*run)) : run.status();
      if (!taken.ok()) strike(origin, taken, header.request);
      return;
    }
    case MessageType::kOffer: {
      Result<DifferenceOffer> offer = decode_offer(body);
      if (!offer.ok()) return strike(origin, offer.status(), header.request);
      if (!peer.host->post_offer(peer.ship, *offer)) {
        send(origin.routing_id, encode_error(Status(Code::kLimit, "the site is busy with this group"), Retry::kLater,
                                             header.session, header.request));
      }
      return;
    }
    case MessageType::kDifference:
    case MessageType::kData: {
      ShipSession& ship = *peer.ship;
      ship.arrived_bytes += message.bytes().size();
      ship.arrived_frames += 1;
      const uint64_t unconsumed = ship.arrived_bytes - ship.consumed_bytes;
      // Never more in memory than the window the shipper was given, whatever it sends.
      if (unconsumed > kWindowBytes || ship.arrived_frames - ship.consumed_frames > kWindowFrames) {
        return strike(origin, Status(Code::kLimit, "more was sent than the window allows"), header.request);
      }
      if (unconsumed > kDataUnshared && data_of(peer.user) > kDataPerKeyMax) {
        return strike(origin, Status(Code::kLimit, "the sessions of this key sent more than the site can take now"),
                      header.request);
      }
      peer.host->post_data(peer.ship, std::move(message));
      return;
    }
    default: return strike(origin, Status(Code::kInvalid, "a shipper may not send this"), header.request);
  }
}

void SiteRouter::handle_read(const Origin& origin, Peer& peer, const WireHeader& header, Message message) {
  if (message.bytes().size() > kReadRequestMax) {
    return strike(origin, Status(Code::kTooLarge, "a read request must not exceed 1 KiB"), header.request);
  }
  if (Status may = may_ask(header.type, rights_of(peer.user, peer.group)); !may.ok()) {
    send(origin.routing_id, encode_error(may, Retry::kNever, header.session, header.request));
    return;
  }
  if (reads_.post(*peer.read, allow_ == nullptr ? nullptr : allow_->now(), header, std::move(message))) return;
  send(origin.routing_id, encode_error(Status(Code::kBusy, "the site has too many requests waiting"), Retry::kLater,
                                       header.session, header.request));
}

void SiteRouter::strike(const Origin& origin, const Status& status, uint64_t request) {
  const StrikeBook::Strikes strikes =
      strikes_.add(origin.routing_id, origin.fd, origin.connection, now_ns(),
                   [this](int fd, uint64_t connection) { return meter_.is_open(fd, connection); });
  if (strikes.count == 1) {
    warnings_.warn(now_ns(), "a peer" + (origin.user.empty() ? "" : " with key " + origin.user) + ": " + status.text());
  }
  drop(origin.routing_id);
  if (strikes.count < kStrikesMax) {
    Retry retry = status.code() == Code::kUnsupported ? Retry::kNever : Retry::kHello;
    send(origin.routing_id, encode_error(status, retry, 0, request));
    return;
  }
  Status shut = meter_.shut(origin.fd, strikes.connection);
  if (!shut.ok()) log_warning(shut.text());
  strikes_.forget(origin.routing_id);
}

void SiteRouter::drop(const std::string& routing_id, bool orderly) {
  auto found = peers_.find(routing_id);
  if (found == peers_.end()) return;
  const bool main = found->second.ship != nullptr && !found->second.line;
  if (main) found->second.host->forget(found->second.ship, orderly);
  if (found->second.read != nullptr && found->second.read->host != nullptr) {
    found->second.read->host->views().left(found->second.user);
  }
  peers_.erase(found);
}

void SiteRouter::drain_outbox() {
  for (Outgoing& outgoing : outbox_.take_all()) {
    auto found = peers_.find(outgoing.routing_id);
    bool current = found != peers_.end() && found->second.session == outgoing.session;
    bool sent = false;
    if (outgoing.acked != nullptr) {
      ShipSession& session = *outgoing.acked;
      session.ack_queued = false;  // first, so that what happens from now on makes another
      Ack ack;
      // In this order: durable never above received, whatever is stored meanwhile.
      ack.durable = Seq(session.durable);
      ack.received = Seq(session.received);
      ack.consumed_bytes = session.consumed_bytes;
      ack.consumed_frames = session.consumed_frames;
      // One that was replaced hears no more: a higher epoch may be on disk.
      sent = session.over || !current || send(outgoing.routing_id, encode_ack(ack, session.id));
    } else if (current) {
      sent = send(outgoing.routing_id, std::move(outgoing.message), std::move(outgoing.ticket));
    }
    // Gone, or it does not read what it asked for.
    if (current && (!sent || outgoing.ends_session)) drop(outgoing.routing_id);
  }
}

bool SiteRouter::send(const std::string& routing_id, std::string&& message, std::shared_ptr<const void> held) {
  Message id = Message::copy_of(as_bytes(routing_id));
  Result<bool> taken = socket_.try_send(id, true);
  if (!taken.ok() || !*taken) return false;
  Message body = Message::own(std::move(message), std::move(held));
  Result<bool> sent = socket_.try_send(body);
  return sent.ok() && *sent;
}

void SiteRouter::note_movement(const std::string& routing_id, Peer& peer) {
  const int64_t moved = meter_.moved_ns(peer.fd, peer.connection);
  if (peer.ship == nullptr || !peer.ship->begun || moved <= peer.heard_ns) return;
  peer.heard_ns = moved;
  peer.host->heard(*peer.ship, Seq());
  if (peer.line) {
    send(routing_id, encode_ack(Ack(), peer.session));
  } else {
    outbox_.post_ack(peer.ship);
  }
}

void SiteRouter::expire() {
  int64_t now = now_ns();
  if (now - expired_ns_ < as_ns(std::chrono::seconds(1))) return;
  expired_ns_ = now;
  groups_.expire_views();
  std::vector<std::string> silent;
  for (auto& [routing_id, peer] : peers_) {
    note_movement(routing_id, peer);
    if (peer.ship != nullptr && !peer.line) peer.host->tick(*peer.ship, meter_.is_open(peer.fd, peer.connection));
    // A shipper speaks every second; three times its limit allows for a machine under load.
    std::chrono::nanoseconds limit = peer.ship != nullptr ? std::chrono::nanoseconds(kPeerSilenceMax * 3) : kReaderIdleMax;
    // A shipper that is gone may be back in a moment: its silence decides. What a reader had is of no use to anybody.
    const bool gone = peer.read != nullptr && !meter_.is_open(peer.fd, peer.connection);
    const bool waits = peer.read != nullptr && peer.read->pending->load() != 0;  // for us: a prune takes long
    if (gone || (!waits && now - peer.heard_ns > as_ns(limit))) silent.push_back(routing_id);
  }
  for (const std::string& routing_id : silent) drop(routing_id);
  std::erase_if(reads_of_, [](const auto& one) { return one.second.expired(); });
}

void SiteRouter::enforce_rights() {
  const std::shared_ptr<const AllowList> list = allow_->now();
  std::vector<std::string> without;
  for (auto& [routing_id, peer] : peers_) {
    const Rights rights = peer.group.empty() ? list->rights_somewhere(peer.user) : list->rights(peer.user, peer.group);
    const bool may_stay = peer.ship != nullptr ? rights.append : rights.read || rights.prune;
    if (!may_stay) without.push_back(routing_id);
  }
  for (const std::string& routing_id : without) {
    const Peer& peer = peers_[routing_id];
    log_warning("a session of key " + peer.user + " ends: the allow-list no longer has the key or this right");
    send(routing_id,
         encode_error(Status(Code::kNotAuthorised, "the site's allow-list has changed: this key is no longer allowed"),
                      Retry::kNever, peer.session, 0));
    if (!list->knows(peer.user)) {
      if (Status shut = meter_.shut(peer.fd, peer.connection); !shut.ok()) log_warning(shut.text());
    }
    drop(routing_id);
  }
}

}  // namespace tidemark
