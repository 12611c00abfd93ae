#include "replicator/site/replica_host.h"

#include "base/logging.h"
#include "replicator/remote/site_source.h"
#include "replicator/wire/difference_protocol.h"

namespace tidemark {
namespace {

constexpr size_t kHellosQueuedMax = 64;
// While more is waiting to be taken, a sync is put off this long: it is cheaper for many records than for few.
constexpr std::chrono::milliseconds kSyncDelayMax{20};
// A message of at most this size that nothing follows is synced by the ingestion itself: waking the committer, and telling first that it
// is received, can take as long as a quick disk.
constexpr size_t kOwnSyncMax = size_t{64} << 10;

// Progress behind this site is passed on at most this often.
constexpr std::chrono::milliseconds kReportEvery{500};

std::vector<DownstreamSite> downstream_of(const Watermarks& watermarks) {
  std::vector<DownstreamSite> sites;
  for (const auto& [name, progress] : watermarks.snapshot()) {
    if (name.size() > kDownstreamNameMax || sites.size() == kDownstreamMax) continue;
    DownstreamSite site;
    site.name = name;
    site.mode = pair_mode_from_name(progress.mode).value_or(PairMode::kAsync);
    site.state = pair_state_from_name(progress.state).value_or(PairState::kSimplex);
    site.connected = progress.connected;
    site.durable = progress.durable;
    site.acked_ns = progress.acked_ns;
    sites.push_back(std::move(site));
  }
  return sites;
}

// 0: never.
std::chrono::nanoseconds sooner(std::chrono::nanoseconds one, std::chrono::nanoseconds other) {
  if (one.count() == 0 || other.count() == 0) return std::max(one, other);
  return std::min(one, other);
}

}  // namespace

ReplicaHost::ReplicaHost(std::string name, std::string directory, GroupOptions options, const HostLimits& limits,
                         Outbox& outbox, std::function<void(Group&)> opened)
    : name_(name),
      clock_(*options.clock),
      outbox_(outbox),
      limits_(limits),
      opened_(std::move(opened)),
      core_(std::move(name), std::move(directory), std::move(options), [this](Group& group) { this->opened(group); }),
      healing_(std::make_shared<SessionSource>(outbox)),
      views_(clock_, limits.reader_hold) {}

ReplicaHost::~ReplicaHost() {
  Status status = close();
  if (!status.ok()) log_error("group " + name_ + ": " + status.text());
}

Status ReplicaHost::close() {
  stop_healing();
  std::thread ingest, commit;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_.notify_all();
    commit_.notify_all();
    ingest.swap(ingest_thread_);
    commit.swap(commit_thread_);
  }
  if (ingest.joinable()) ingest.join();
  if (commit.joinable()) commit.join();
  views_.clear();
  if (Group* open = group(); open != nullptr) {
    open->watermarks().on_change(nullptr);
    open->log().set_record_source(nullptr);
  }
  open_shipper_ = nullptr;
  shipper_.reset();
  return core_.close();
}

Status ReplicaHost::open_existing() {
  TM_TRY(core_.open_existing());
  if (Status full = may_grow(); !full.ok()) log_warning(full.text());
  return Status();
}

void ReplicaHost::opened(Group& group) {
  Result<std::unique_ptr<Shipper>> shipper = Shipper::start(group);
  if (shipper.ok()) {
    shipper_ = std::move(*shipper);
    open_shipper_.store(shipper_.get(), std::memory_order_release);
  } else {
    log_error("group " + name_ + ": nothing is forwarded: " + shipper.status().text());
  }
  group.watermarks().on_change([this] {
    MutexLock lock(mutex_);
    progressed_ = true;
    commit_.notify_one();
  });
  // What is damaged here: from the source while it ships, else from where this site forwards to.
  group.log().set_record_sources({healing_, make_site_source(group.identity(), [directory = group.directory()] {
                                    std::vector<PairConfig> targets;
                                    auto pairs = load_pairs(directory);
                                    for (Pair& pair : pairs.ok() ? *pairs : std::vector<Pair>()) {
                                      targets.push_back(std::move(pair.config));
                                    }
                                    return targets;
                                  })});
  if (opened_) opened_(group);
}

// --- from the router thread

// DATA is bounded by the window, the end of a session by its beginning.
bool ReplicaHost::is_limited(Item::Kind kind) { return kind != Item::Kind::kData && kind != Item::Kind::kLost; }

void ReplicaHost::start_threads() {
  if (ingest_thread_.joinable() || stopping_) return;
  ingest_thread_ = std::thread([this] { run_ingest(); });
  commit_thread_ = std::thread([this] { run_commit(); });
}

bool ReplicaHost::post(Item item) {
  const bool limited = is_limited(item.kind);
  {
    MutexLock lock(mutex_);
    if (stopping_ || (limited && hellos_ >= kHellosQueuedMax)) return false;
    if (limited) ++hellos_;
    start_threads();
    queue_.push_back(std::move(item));
  }
  work_.notify_one();  // without the lock, for which it would wait next
  return true;
}

bool ReplicaHost::post_hello(std::shared_ptr<ShipSession> session, Hello hello, Claimant who) {
  Item item;
  item.kind = Item::Kind::kHello;
  item.session = std::move(session);
  item.hello = std::move(hello);
  item.who = std::move(who);
  return post(std::move(item));
}

bool ReplicaHost::post_begin(std::shared_ptr<ShipSession> session, uint64_t request, Position agreed) {
  Item item;
  item.kind = Item::Kind::kBegin;
  item.session = std::move(session);
  item.request = request;
  item.agreed = agreed;
  return post(std::move(item));
}

bool ReplicaHost::post_offer(std::shared_ptr<ShipSession> session, const DifferenceOffer& offer) {
  Item item;
  item.kind = Item::Kind::kOffer;
  item.session = std::move(session);
  item.offer = offer;
  return post(std::move(item));
}

void ReplicaHost::post_data(std::shared_ptr<ShipSession> session, Message message) {
  Item item;
  item.session = std::move(session);
  item.message = std::move(message);
  post(std::move(item));
}

void ReplicaHost::post_news(std::shared_ptr<ShipSession> session, PairNews news) {
  Item item;
  item.kind = Item::Kind::kNews;
  item.session = std::move(session);
  item.news = std::move(news);
  post(std::move(item));  // too many waiting: what is said later counts
}

void ReplicaHost::heard(const ShipSession& session, Seq newest) {
  if (session.begun && !session.over) core_.heard(newest);
}

void ReplicaHost::tick(const ShipSession& session, bool connected) {
  if (!session.begun || session.over) return;
  if (!connected) core_.cut_off();
  MutexLock lock(mutex_);
  if (stopping_) return;
  heard_ = true;
  commit_.notify_one();
}

Status ReplicaHost::fetched(const ShipSession& session, uint64_t request, std::string run) {
  return healing_->answer(session, request, std::move(run));
}

void ReplicaHost::forget(const std::shared_ptr<ShipSession>& session, bool orderly) {
  session->over = true;
  healing_->end(*session);
  MutexLock lock(mutex_);
  if (active_ != session) return;
  active_.reset();
  if (stopping_) return;
  Item item;
  item.kind = Item::Kind::kLost;
  item.session = session;
  item.orderly = orderly;
  queue_.push_back(std::move(item));  // one an active session
  work_.notify_one();
}

// --- the ingestion

void ReplicaHost::run_ingest() {
  for (;;) {
    Item item;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) work_.wait(mutex_);
      if (stopping_) return;
      item = std::move(queue_.front());
      queue_.pop_front();
      if (is_limited(item.kind)) --hellos_;
      if (queue_.empty() && unsynced_) commit_.notify_one();
    }
    handle(std::move(item));
  }
}

void ReplicaHost::handle(Item item) {
  if (item.kind == Item::Kind::kLost) {
    std::erase_if(early_,
                  [&](const auto& early) { return early.second.session == item.session; });  // a newer one may have begun
    if (Status saved = core_.lost(item.orderly); !saved.ok()) log_error("group " + name_ + ": " + saved.text());
    return;
  }
  // The last word of a session comes before its end, and is heard after it.
  if (item.kind == Item::Kind::kNews ? !item.session->begun : item.session->over.load()) return;
  switch (item.kind) {
    case Item::Kind::kHello: return handle_hello(item);
    case Item::Kind::kBegin: return handle_begin(item);
    case Item::Kind::kOffer: return handle_offer(item);
    case Item::Kind::kData: return handle_data(std::move(item));
    case Item::Kind::kNews:
      if (Status saved = core_.news(item.news); !saved.ok()) fail_session(item.session, saved, Retry::kLater);
      return;
    case Item::Kind::kLost: return;
  }
}

void ReplicaHost::fail_session(const std::shared_ptr<ShipSession>& session, const Status& status, Retry retry) {
  forget(session, false);
  outbox_.post_error(*session, status, retry, true);
}

void ReplicaHost::handle_hello(const Item& item) {
  Retry retry = Retry::kNever;
  item.session->claim = {item.who, item.hello.epoch, item.hello.position, item.hello.openings};
  Result<Welcome> welcome = core_.hello(item.hello, item.who, retry);
  if (welcome.status().code() == Code::kStaleEpoch) post_welcome(*item.session, core_.epoch_news());
  if (!welcome.ok()) return fail_session(item.session, welcome.status(), retry);
  if (Status full = may_grow(); !full.ok()) return fail_session(item.session, full, Retry::kLater);
  item.session->received = welcome->position.seq.value();
  item.session->durable = welcome->durable.value();
  post_welcome(*item.session, *welcome);
}

void ReplicaHost::post_welcome(const ShipSession& session, const Welcome& welcome) {
  Outgoing answer;
  answer.routing_id = session.routing_id;
  answer.session = session.id;
  answer.message = encode_welcome(welcome, session.id, 0);
  outbox_.post(std::move(answer));
}

// Nothing of the older session is taken or acknowledged any more.
void ReplicaHost::end_older(const std::shared_ptr<ShipSession>& newer) {
  std::shared_ptr<ShipSession> older;
  {
    MutexLock lock(mutex_);
    if (active_ == newer) return;
    older = std::exchange(active_, nullptr);
  }
  if (older == nullptr) return;
  older->over = true;
  older->begun = false;
  healing_->end(*older);
  const bool superseded = older->claim.epoch < newer->claim.epoch;
  const Status why = superseded
                         ? Status(Code::kStaleEpoch, "a primary of epoch " + std::to_string(newer->claim.epoch.value()) +
                                                         " has taken over group " + name_)
                         : Status(Code::kBusy, "another connection of group " + name_ + " has taken over");
  outbox_.post_error(*older, why, superseded ? Retry::kNever : Retry::kLater, true);
}

void ReplicaHost::handle_begin(const Item& item) {
  const ShipSession& session = *item.session;
  Retry retry = Retry::kHello;
  if (Status fits = core_.check_begin(session.claim, item.agreed, retry); !fits.ok()) {
    return fail_session(item.session, fits, retry);
  }
  end_older(item.session);  // before a higher epoch is on disk, not after
  const bool cuts = item.agreed.seq < Seq(item.session->received);
  if (cuts) views_.clear();  // readers look again
  if (Status begun = core_.begin(session.claim, item.agreed); !begun.ok()) {
    if (Status saved = core_.lost(false); !saved.ok()) log_error("group " + name_ + ": " + saved.text());
    return fail_session(item.session, begun.within("group " + name_ + " at the site"), Retry::kLater);
  }
  if (cuts) item.session->received = item.session->durable = item.agreed.seq.value();
  {
    MutexLock lock(mutex_);
    if (item.session->over) return;
    active_ = item.session;
    if (group()->log().durable() < item.agreed.seq && !unsynced_) {
      unsynced_ = true;
      unsynced_since_ns_ = clock_.steady_ns();
    }
    progressed_ = true;  // the new shipper knows nothing of what is behind this site
    commit_.notify_one();
  }
  item.session->begun = true;
  outbox_.post_ack(item.session);
  healing_->begin(item.session);
}

void ReplicaHost::told(const std::shared_ptr<ShipSession>& session, Seq durable) {
  if (!session->begun || session->over) return;
  session->told = std::max(session->told.load(), durable.value());
  core_.settle(durable, Seq(session->received));
}

void ReplicaHost::handle_offer(const Item& item) {
  {
    MutexLock lock(mutex_);
    if (active_ != item.session) return;
  }
  Result<Accept> accept = core_.offer(item.session->claim.epoch, item.offer);
  if (!accept.ok()) {
    const Status status = accept.status().within("group " + name_ + " at the site");
    return fail_session(item.session, status, ReplicaCore::retry_after(status));
  }
  Outgoing answer;
  answer.routing_id = item.session->routing_id;
  answer.session = item.session->id;
  answer.message = encode_accept(*accept, item.session->id);
  outbox_.post(std::move(answer));
}

void ReplicaHost::handle_data(Item item) {
  {
    MutexLock lock(mutex_);
    if (active_ != item.session) return;
  }
  if (!early_.empty() && early_.begin()->second.session != item.session) early_.clear();
  if (item.session->several_lines && put_in_order(item)) return;
  take_data(item);
  while (!early_.empty() && !item.session->over && early_.begin()->first == Seq(item.session->received).next()) {
    const Item next = std::move(early_.extract(early_.begin()).mapped());
    take_data(next);
  }
}

bool ReplicaHost::put_in_order(Item& item) {
  Bytes body;
  Result<WireHeader> header = open_message(item.message.bytes(), body);
  if (!header.ok() || header->type != MessageType::kData) return false;
  Result<DataHeader> data = decode_data_message(body);
  if (!data.ok()) return false;  // whoever takes it says why
  const Seq received(item.session->received);
  if (data->first > received.next()) return early_.try_emplace(data->first, std::move(item)).second;
  if (data->last > received) return false;
  count_consumed(item);
  outbox_.post_ack(item.session);
  return true;
}

void ReplicaHost::count_consumed(const Item& item) {
  item.session->consumed_bytes += item.message.bytes().size();
  item.session->consumed_frames += 1;
}

void ReplicaHost::take_data(const Item& item) {
  if (Status full = may_grow(); !full.ok()) return fail_session(item.session, full, Retry::kLater);
  Bytes message = item.message.bytes();
  Bytes body;
  Result<WireHeader> header = open_message(message, body);
  const bool piece = header.ok() && header->type == MessageType::kDifference;
  const Epoch epoch = item.session->claim.epoch;
  Result<Position> position =
      piece ? core_.piece(epoch, header->request, body) : core_.take(epoch, message.subspan(kWireHeaderSize));
  if (!position.ok()) {
    Status status = position.status().within("group " + name_ + " at the site");
    log_warning(status.text() + " (from " + item.session->user + ")");
    return fail_session(item.session, status, ReplicaCore::retry_after(status));
  }
  ShipSession& session = *item.session;
  session.received = position->seq.value();
  core_.settle(Seq(session.told), position->seq);
  count_consumed(item);
  bool own = false;
  {
    MutexLock lock(mutex_);
    if (!unsynced_) unsynced_since_ns_ = clock_.steady_ns();
    own = message.size() <= kOwnSyncMax && queue_.empty() && early_.empty() && !committing_;
    unsynced_ = !own;
    committing_ = committing_ || own;
    if (!own) commit_.notify_one();
  }
  if (own && commit_once()) return;  // that has told the shipper
  if (!session.over) outbox_.post_ack(item.session);
}

// --- the committer

void ReplicaHost::run_commit() {
  std::chrono::nanoseconds again{0};
  for (;;) {
    bool sync = false, heard = false;
    {
      MutexLock lock(mutex_);
      while ((!unsynced_ || committing_) && !progressed_ && !heard_ && !stopping_) {
        if (again.count() == 0) {
          commit_.wait(mutex_);
        } else if (!commit_.wait_for(mutex_, again)) {
          break;
        }
      }
      // Everything that is here goes into one sync; a steady stream is synced every so often.
      while (unsynced_ && !committing_ && !stopping_ && !queue_.empty()) {
        auto waited = std::chrono::nanoseconds(clock_.steady_ns() - unsynced_since_ns_);
        if (waited >= kSyncDelayMax) break;
        commit_.wait_for(mutex_, kSyncDelayMax - waited);
      }
      if (stopping_) return;
      sync = !committing_ && std::exchange(unsynced_, false);
      committing_ = committing_ || sync;
      progressed_ = false;
      heard = std::exchange(heard_, false);
    }
    if (sync) {
      commit_once();
    } else {
      acknowledge();
    }
    if (heard) note_heard();
    again = sooner(report_downstream(), core_.note_now_and_then());
  }
}

bool ReplicaHost::commit_once() {
  const Status status = core_.commit();
  std::shared_ptr<ShipSession> session;
  {
    MutexLock lock(mutex_);
    committing_ = false;
    if (unsynced_) commit_.notify_one();
    session = active_;
  }
  if (status.ok()) return acknowledge();
  log_error("group " + name_ + ": " + status.text());
  if (session != nullptr) fail_session(session, status.within("group " + name_ + " at the site"), Retry::kLater);
  return acknowledge();
}

bool ReplicaHost::acknowledge() {
  std::shared_ptr<ShipSession> session;
  {
    MutexLock lock(mutex_);
    session = active_;
  }
  if (session == nullptr) return false;
  // Not above what this session knows to be received: `received` is stored after the record is in the log.
  const uint64_t durable = std::min(core_.durable().value(), session->received.load());
  uint64_t known = session->durable.load();
  while (durable > known && !session->durable.compare_exchange_weak(known, durable)) {
  }
  if (durable <= known) return false;
  outbox_.post_ack(session);
  return true;
}

void ReplicaHost::note_heard() {
  const Status noted = core_.note_heard();
  if (!noted.ok() && !note_failed_)
    log_warning("group " + name_ + ": cannot save when its source was last heard from: " + noted.text());
  note_failed_ = !noted.ok();
}

std::chrono::nanoseconds ReplicaHost::report_downstream() {
  std::shared_ptr<ShipSession> session;
  {
    MutexLock lock(mutex_);
    session = active_;
  }
  if (session == nullptr || group() == nullptr) return {};
  std::vector<DownstreamSite> sites = downstream_of(group()->watermarks());
  bool known = reported_to_ == session->id ? sites == reported_ : sites.empty();
  if (known) return {};
  std::chrono::nanoseconds since(clock_.steady_ns() - reported_ns_);
  if (reported_to_ == session->id && since < kReportEvery) return kReportEvery - since;
  Outgoing outgoing;
  outgoing.routing_id = session->routing_id;
  outgoing.session = session->id;
  outgoing.message = encode_downstream(sites, session->id);
  outbox_.post(std::move(outgoing));
  reported_ = std::move(sites);
  reported_to_ = session->id;
  reported_ns_ = clock_.steady_ns();
  return {};
}

// --- what it may cost

Result<std::shared_ptr<TreeView>> ReplicaHost::view(const std::string& key, Seq point) {
  Group* open = group();
  if (open == nullptr) return Status(Code::kNotFound, "group " + name_ + " is not open");
  return views_.view(*open, key, point);
}

Status ReplicaHost::may_grow() {
  if (limits_.quota == nullptr) return Status();
  limits_.quota->set(name_, core_.owner(), core_.bytes());
  return limits_.quota->may_grow(name_, limits_.bytes_max);
}

}  // namespace tidemark
