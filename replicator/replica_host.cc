#include "replicator/replica_host.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/logging.h"
#include "replicator/position_case.h"

namespace tidemark {
namespace {

constexpr size_t kHellosQueuedMax = 64;
constexpr size_t kViewsCachedMax = 16;
// While more is waiting to be taken, a sync is put off this long: it is cheaper for many records than for few.
constexpr std::chrono::milliseconds kSyncDelayMax{20};

std::string epoch_path(const std::string& directory) { return directory + "/site.json"; }

// Whether the site can do better later, without anybody deciding anything.
Retry retry_after(const Status& status) {
  switch (status.code()) {
    case Code::kCorrupt:
    case Code::kInvalid: return Retry::kHello;  // this run did not fit: agree on the position again
    default: return Retry::kLater;
  }
}

}  // namespace

ReplicaHost::ReplicaHost(std::string name, std::string directory, GroupOptions options, Outbox& outbox,
                         std::function<void(Group&)> opened)
    : name_(std::move(name)),
      directory_(std::move(directory)),
      options_(std::move(options)),
      outbox_(outbox),
      opened_(std::move(opened)) {}

ReplicaHost::~ReplicaHost() {
  Status status = close();
  if (!status.ok()) log_error("group " + name_ + ": " + status.text());
}

Status ReplicaHost::close() {
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
  {
    MutexLock lock(views_mutex_);
    views_.clear();
  }
  if (!group_ || open_group_.exchange(nullptr) == nullptr) return Status();
  return group_->close();
}

Status ReplicaHost::open_status() {
  MutexLock lock(mutex_);
  return open_status_;
}

Status ReplicaHost::open_existing() {
  Result<std::unique_ptr<Group>> group = Group::open(directory_, OpenMode::kReplica, options_);
  if (!group.ok()) {
    MutexLock lock(mutex_);
    open_status_ = group.status().within("group " + name_);
    return open_status_;
  }
  adopt(std::move(*group));
  return Status();
}

void ReplicaHost::adopt(std::unique_ptr<Group> group) {
  group_ = std::move(group);
  load_epoch();
  open_group_.store(group_.get(), std::memory_order_release);
  if (opened_) opened_(*group_);
}

// --- from the router thread

void ReplicaHost::start_threads() {
  if (ingest_thread_.joinable() || stopping_) return;
  ingest_thread_ = std::thread([this] { run_ingest(); });
  commit_thread_ = std::thread([this] { run_commit(); });
}

bool ReplicaHost::post(Item item, bool limited) {
  MutexLock lock(mutex_);
  if (stopping_ || (limited && hellos_ >= kHellosQueuedMax)) return false;
  if (limited) ++hellos_;
  start_threads();
  queue_.push_back(std::move(item));
  work_.notify_one();
  return true;
}

bool ReplicaHost::post_hello(std::shared_ptr<ShipSession> session, Hello hello) {
  Item item;
  item.kind = Item::Kind::kHello;
  item.session = std::move(session);
  item.hello = std::move(hello);
  return post(std::move(item), true);
}

bool ReplicaHost::post_begin(std::shared_ptr<ShipSession> session, uint64_t request, Position agreed) {
  Item item;
  item.kind = Item::Kind::kBegin;
  item.session = std::move(session);
  item.request = request;
  item.agreed = agreed;
  return post(std::move(item), true);
}

void ReplicaHost::post_data(std::shared_ptr<ShipSession> session, Message message) {
  Item item;
  item.session = std::move(session);
  item.message = std::move(message);
  post(std::move(item), false);
}

void ReplicaHost::forget(const std::shared_ptr<ShipSession>& session) {
  session->over = true;
  MutexLock lock(mutex_);
  if (active_ == session) active_.reset();
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
      if (item.kind != Item::Kind::kData) --hellos_;
      if (queue_.empty() && unsynced_) commit_.notify_one();
    }
    handle(std::move(item));
  }
}

void ReplicaHost::handle(Item item) {
  if (item.session->over) return;
  switch (item.kind) {
    case Item::Kind::kHello: return handle_hello(item);
    case Item::Kind::kBegin: return handle_begin(item);
    case Item::Kind::kData: return handle_data(item);
  }
}

void ReplicaHost::fail_session(const std::shared_ptr<ShipSession>& session, const Status& status, Retry retry) {
  forget(session);
  outbox_.post_error(*session, status, retry, true);
}

Status ReplicaHost::make_replica(const Hello& hello) {
  // Made beside its place and moved there whole: a crash leaves no half-made group. '~' is in no group's name.
  std::string unfinished = directory_ + "~new";
  std::error_code error;
  std::filesystem::remove_all(unfinished, error);
  GroupIdentity identity{hello.group_id, hello.group, Role::kReplica};
  TM_TRY(Group::init_replica(unfinished, identity, options_));
  FileSystem& files = *options_.files;
  TM_TRY(files.rename(unfinished, directory_));
  TM_TRY(files.sync_directory(std::filesystem::path(directory_).parent_path().string()));
  TM_ASSIGN(std::unique_ptr<Group> group, Group::open(directory_, OpenMode::kReplica, options_));
  log_info("group " + name_ + " (" + group_id_text(hello.group_id) + "): a new replica for " + hello.identity);
  adopt(std::move(group));
  return Status();
}

Status ReplicaHost::check_identity(const Hello& hello) const {
  const GroupIdentity& own = group_->identity();
  if (own.id == hello.group_id) return Status();
  return Status(Code::kExists, "another group is called '" + name_ + "' at the site (its id is " + group_id_text(own.id) +
                                   ", this one's " + group_id_text(hello.group_id) +
                                   "): rename one of the two, or remove the directory at the site");
}

void ReplicaHost::handle_hello(const Item& item) {
  const Hello& hello = item.hello;
  bool made = false;
  if (group_ == nullptr) {
    Status status = open_status();  // damaged: opening it again will not help
    if (status.ok()) {
      status = make_replica(hello).within("the replica of group " + name_ + " cannot be made");
      made = status.ok();
    }
    if (!status.ok()) return fail_session(item.session, status, Retry::kLater);
  }
  if (Status status = check_identity(hello); !status.ok()) return fail_session(item.session, status, Retry::kNever);
  if (Status status = group_->log().health(); !status.ok()) {
    return fail_session(item.session, status.within("the site's log of group " + name_ + " has failed; restart the site"),
                        Retry::kLater);
  }
  Position position = group_->position();
  Epoch known = std::max(highest_, position.epoch);
  if (hello.epoch < known) {
    return fail_session(item.session,
                        Status(Code::kStaleEpoch, "a primary of epoch " + std::to_string(known.value()) +
                                                      " has taken over group " + name_ + "; this one is of epoch " +
                                                      std::to_string(hello.epoch.value()) + " and must not write any more"),
                        Retry::kNever);
  }
  if (Status status = raise_epoch(hello.epoch); !status.ok()) return fail_session(item.session, status, Retry::kLater);

  Welcome welcome;
  welcome.role = WireRole::kShip;
  welcome.which = made ? PositionCase::kUnknownGroup
                       : classify_at_site(position, hello.position, [&](Seq seq) { return group_->log().position_at(seq); });
  welcome.window_bytes = kWindowBytes;
  welcome.window_frames = kWindowFrames;
  welcome.group_id = group_->identity().id;
  welcome.position = position;
  welcome.durable = std::min(group_->log().durable(), position.seq);
  welcome.highest = highest_;
  item.session->received = position.seq.value();
  item.session->durable = welcome.durable.value();
  Outgoing answer;
  answer.routing_id = item.session->routing_id;
  answer.session = item.session->id;
  answer.message = encode_welcome(welcome, item.session->id, 0);
  outbox_.post(std::move(answer));
}

void ReplicaHost::handle_begin(const Item& item) {
  if (group_ == nullptr || group_->position() != item.agreed) {
    // Another session has shipped meanwhile.
    return fail_session(item.session, Status(Code::kStale, "the site's position has changed since HELLO"), Retry::kHello);
  }
  std::shared_ptr<ShipSession> older;
  {
    MutexLock lock(mutex_);
    if (item.session->over) return;
    older = std::exchange(active_, item.session);
    if (group_->log().durable() < item.agreed.seq && !unsynced_) {
      unsynced_ = true;
      unsynced_since_ns_ = options_.clock->steady_ns();
      commit_.notify_one();
    }
  }
  if (older != nullptr && older != item.session) {
    older->over = true;
    outbox_.post_error(*older, Status(Code::kBusy, "another connection of group " + name_ + " has taken over"),
                       Retry::kLater, true);
  }
  outbox_.post_ack(item.session);
}

void ReplicaHost::handle_data(const Item& item) {
  {
    MutexLock lock(mutex_);
    if (active_ != item.session) return;
  }
  Bytes message = item.message.bytes();
  Result<DataHeader> data = decode_data_message(message.subspan(kWireHeaderSize));
  if (!data.ok()) return fail_session(item.session, data.status(), Retry::kHello);
  Result<Position> position = group_->ingest(data->run);
  if (!position.ok()) {
    Status status = position.status().within("group " + name_ + " at the site");
    log_warning(status.text() + " (from " + item.session->user + ")");
    return fail_session(item.session, status, retry_after(status));
  }
  ShipSession& session = *item.session;
  session.received = position->seq.value();
  session.consumed_bytes += message.size();
  session.consumed_frames += 1;
  {
    MutexLock lock(mutex_);
    if (!unsynced_) {
      unsynced_ = true;
      unsynced_since_ns_ = options_.clock->steady_ns();
    }
    commit_.notify_one();
  }
  outbox_.post_ack(item.session);
}

// --- the committer

void ReplicaHost::run_commit() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!unsynced_ && !stopping_) commit_.wait(mutex_);
      // Everything that is here goes into one sync; a steady stream is synced every so often.
      while (!stopping_ && !queue_.empty()) {
        auto waited = std::chrono::nanoseconds(options_.clock->steady_ns() - unsynced_since_ns_);
        if (waited >= kSyncDelayMax) break;
        commit_.wait_for(mutex_, kSyncDelayMax - waited);
      }
      if (stopping_) return;
      unsynced_ = false;
    }
    commit_once();
  }
}

void ReplicaHost::commit_once() {
  Status status = group_->sync();
  std::shared_ptr<ShipSession> session;
  {
    MutexLock lock(mutex_);
    session = active_;
  }
  if (session == nullptr) return;
  if (!status.ok()) {
    log_error("group " + name_ + ": " + status.text());
    return fail_session(session, status.within("group " + name_ + " at the site"), Retry::kLater);
  }
  // Not above what this session knows to be received: `received` is stored after the record is in the log.
  uint64_t durable = std::min(group_->log().durable().value(), session->received.load());
  if (durable <= session->durable.load()) return;
  session->durable = durable;
  outbox_.post_ack(session);
}

// --- the highest epoch, and views

void ReplicaHost::load_epoch() {
  highest_ = group_->position().epoch;
  Result<std::string> content = read_file(*options_.files, epoch_path(directory_));
  if (!content.ok()) return;  // never raised above what the log itself says
  nlohmann::json root = nlohmann::json::parse(*content, nullptr, false);
  if (!root.is_object() || !root.contains("epoch") || !root["epoch"].is_number_unsigned()) {
    log_error(epoch_path(directory_) + ": damaged; taking the log's own epoch");
    return;
  }
  highest_ = std::max(highest_, Epoch(root["epoch"].get<uint64_t>()));
}

Status ReplicaHost::raise_epoch(Epoch epoch) {
  if (epoch <= highest_) return Status();
  std::string content = nlohmann::json{{"epoch", epoch.value()}}.dump() + "\n";
  TM_TRY(write_file_atomically(*options_.files, epoch_path(directory_), content));
  highest_ = epoch;
  return Status();
}

Result<std::shared_ptr<TreeView>> ReplicaHost::view(Seq point) {
  Group* open = group();
  if (open == nullptr) return Status(Code::kNotFound, "group " + name_ + " is not open");
  {
    MutexLock lock(views_mutex_);
    for (auto it = views_.begin(); it != views_.end(); ++it) {
      if (it->first != point) continue;
      views_.splice(views_.begin(), views_, it);
      return it->second;
    }
  }
  TM_ASSIGN(std::shared_ptr<TreeView> made, open->view(point));
  MutexLock lock(views_mutex_);
  views_.emplace_front(point, made);
  if (views_.size() > kViewsCachedMax) views_.pop_back();
  return made;
}

}  // namespace tidemark
