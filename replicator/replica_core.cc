#include "replicator/replica_core.h"

#include "base/logging.h"
#include "replicator/position_case.h"
#include "volume/sealed_json.h"

namespace tidemark {
namespace {

std::string record_path(const std::string& directory) { return directory + "/site.json"; }

nlohmann::ordered_json source_json(const SourceRecord& source) {
  return {{"source", source.news.source},
          {"mode", pair_mode_name(source.news.mode)},
          {"fence", pair_fence_name(source.news.fence)},
          {"said_state", pair_state_name(source.news.state)},
          {"said_since_ns", source.news.since_ns},
          {"said_cause", source.news.cause},
          {"state", pair_state_name(source.state)},
          {"since_ns", source.since_ns},
          {"cause", source.cause}};
}

std::optional<SourceRecord> source_from(const nlohmann::ordered_json& json) {
  try {
    SourceRecord source;
    source.news.source = json.at("source").get<std::string>();
    source.news.mode = pair_mode_from_name(json.at("mode").get<std::string>()).value();
    source.news.fence = pair_fence_from_name(json.at("fence").get<std::string>()).value();
    source.news.state = pair_state_from_name(json.at("said_state").get<std::string>()).value();
    source.news.since_ns = json.at("said_since_ns").get<int64_t>();
    source.news.cause = json.at("said_cause").get<std::string>();
    source.state = pair_state_from_name(json.at("state").get<std::string>()).value();
    source.since_ns = json.at("since_ns").get<int64_t>();
    source.cause = json.at("cause").get<std::string>();
    return source;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

ReplicaCore::ReplicaCore(std::string name, std::string directory, GroupOptions options, std::function<void(Group&)> opened)
    : name_(std::move(name)), directory_(std::move(directory)), options_(std::move(options)), opened_(std::move(opened)) {}

Status ReplicaCore::close() {
  difference_.reset();
  if (!group_ || open_group_.exchange(nullptr) == nullptr) return Status();
  return group_->close();
}

Status ReplicaCore::open_status() const {
  MutexLock lock(mutex_);
  return open_status_;
}

std::optional<SourceRecord> ReplicaCore::source() const {
  MutexLock lock(mutex_);
  return source_;
}

Status ReplicaCore::open_existing() {
  Result<std::unique_ptr<Group>> group = Group::open(directory_, OpenMode::kReplica, options_);
  if (!group.ok()) {
    MutexLock lock(mutex_);
    open_status_ = group.status().within("group " + name_);
    return open_status_;
  }
  adopt(std::move(*group));
  return Status();
}

void ReplicaCore::adopt(std::unique_ptr<Group> group) {
  group_ = std::move(group);
  load_record();
  open_group_.store(group_.get(), std::memory_order_release);
  if (opened_) opened_(*group_);
}

// --- a session

// What a crash leaves of this is no group yet, and counts as nothing the next time.
Status ReplicaCore::make_replica(const Hello& hello) {
  GroupIdentity identity{hello.group_id, hello.group, Role::kReplica};
  TM_TRY(Group::init_replica(directory_, identity, options_));
  TM_ASSIGN(std::unique_ptr<Group> group, Group::open(directory_, OpenMode::kReplica, options_));
  log_info("group " + name_ + " (" + group_id_text(hello.group_id) + "): a new replica for " + hello.identity);
  adopt(std::move(group));
  return Status();
}

Status ReplicaCore::check_identity(const Hello& hello) const {
  const GroupIdentity& own = group_->identity();
  if (own.id == hello.group_id) return Status();
  return Status(Code::kExists, "another group is called '" + name_ + "' at the site (its id is " + group_id_text(own.id) +
                                   ", this one's " + group_id_text(hello.group_id) +
                                   "): rename one of the two, or remove the directory at the site");
}

Result<Welcome> ReplicaCore::hello(const Hello& hello, Retry& retry) {
  bool made = false;
  retry = Retry::kLater;
  difference_.reset();
  if (group_ == nullptr) {
    TM_TRY(open_status());  // damaged: opening it again will not help
    if (Status status = make_replica(hello); !status.ok()) {
      return status.within("the replica of group " + name_ + " cannot be made");
    }
    made = true;
  }
  if (Status health = group_->log().health(); !health.ok()) {
    return health.within("the site's log of group " + name_ + " has failed; restart the site");
  }
  retry = Retry::kNever;
  TM_TRY(check_identity(hello));
  TM_TRY(record_status_);
  Position position = group_->log().tail_position();  // the index may be behind, on a full disk
  Epoch known = std::max(highest_, position.epoch);
  if (hello.epoch < known) {
    return Status(Code::kStaleEpoch, "a primary of epoch " + std::to_string(known.value()) + " has taken over group " +
                                         name_ + "; this one is of epoch " + std::to_string(hello.epoch.value()) +
                                         " and must not write any more");
  }
  retry = Retry::kLater;
  TM_TRY(raise_epoch(hello.epoch));
  Welcome welcome;
  welcome.role = WireRole::kShip;
  welcome.which = made ? PositionCase::kUnknownGroup
                       : classify_at_site(position, hello.position, [&](Seq seq) { return group_->log().position_at(seq); });
  welcome.window_bytes = kWindowBytes;
  welcome.window_frames = kWindowFrames;
  welcome.group_id = group_->identity().id;
  welcome.position = position;
  welcome.durable = std::min(durable(), position.seq);
  welcome.highest = highest_;
  return welcome;
}

Status ReplicaCore::begin(const Position& agreed) {
  if (group_ != nullptr && group_->log().tail_position() == agreed) return Status();
  return Status(Code::kStale, "the site's position has changed since HELLO");  // another session has shipped meanwhile
}

Result<Position> ReplicaCore::take(Bytes body) {
  TM_ASSIGN(DataHeader data, decode_data_message(body));
  return group_->ingest(data.run);
}

Result<Accept> ReplicaCore::offer(const DifferenceOffer& offer) {
  if (group_ == nullptr) return Status(Code::kStale, "the replica is not open");
  TM_ASSIGN(difference_, group_->begin_difference(offer));
  // A copy without anything needs every symbolic link, whatever its number.
  const Ino next_ino = offer.from.seq == Seq() ? Ino() : difference_->next_ino();
  log_info("group " + name_ + ": the source no longer holds what follows seq " + std::to_string(offer.from.seq.value()) +
           "; a difference brings this copy to seq " + std::to_string(offer.target.base.seq.value()));
  return Accept{next_ino, difference_->staged()};
}

Result<Position> ReplicaCore::piece(Bytes body) {
  if (difference_ == nullptr) return Status(Code::kInvalid, "no difference was offered");
  TM_ASSIGN(const DifferencePart part, decode_difference(body));
  switch (part.piece.kind) {
    case DifferencePiece::Kind::kRecords: TM_TRY(difference_->add_records(part.piece.bytes)); break;
    case DifferencePiece::Kind::kRows: TM_TRY(difference_->add_rows(part.piece.bytes)); break;
    default: {
      const auto taken = std::move(difference_);
      TM_TRY(group_->finish_difference(*taken, part.held_marks));
      log_info("group " + name_ + ": brought by difference to seq " + std::to_string(group_->position().seq.value()));
    }
  }
  return group_->log().tail_position();
}

Retry ReplicaCore::retry_after(const Status& status) {
  switch (status.code()) {
    case Code::kCorrupt:
    case Code::kInvalid: return Retry::kHello;  // this run did not fit: agree on the position again
    default: return Retry::kLater;
  }
}

Status ReplicaCore::commit() { return group_->sync(); }

Seq ReplicaCore::durable() const { return std::min(group_->log().durable(), group_->watermarks().copied()); }

// --- what is remembered

void ReplicaCore::load_record() {
  highest_ = group_->position().epoch;
  Result<std::string> content = read_file(*options_.files, record_path(directory_));
  if (!content.ok()) return;  // never raised above what the log itself says
  auto root = open_sealed_json(*content, record_path(directory_));
  if (!root.ok() || !root->contains("epoch") || !(*root)["epoch"].is_number_unsigned()) {
    // Whoever shipped last may have been fenced off since: nobody may ship until a person has looked.
    record_status_ =
        Status(Code::kCorrupt, record_path(directory_) +
                                   " is damaged, so the site cannot tell which primary is the newest; remove it at "
                                   "the site if no other primary has taken over");
    log_error(record_status_.text());
    return;
  }
  highest_ = std::max(highest_, Epoch((*root)["epoch"].get<uint64_t>()));
  if (!root->contains("pair")) return;
  MutexLock lock(mutex_);
  source_ = source_from((*root)["pair"]);
  if (!source_) log_error(record_path(directory_) + ": what it says of the source is damaged and not used");
}

Status ReplicaCore::save_record(Epoch epoch, const std::optional<SourceRecord>& source) {
  nlohmann::ordered_json root = {{"epoch", epoch.value()}};
  if (source) root["pair"] = source_json(*source);
  // A source's own words may be in it, in any bytes.
  std::string text = root.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return write_file_atomically(*options_.files, record_path(directory_), seal_json(nlohmann::ordered_json::parse(text)));
}

Status ReplicaCore::raise_epoch(Epoch epoch) {
  if (epoch <= highest_) return Status();
  TM_TRY(save_record(epoch, source()));
  highest_ = epoch;
  return Status();
}

Status ReplicaCore::news(const PairNews& news) {
  std::optional<SourceRecord> before = source();
  SourceRecord record{news, news.state, options_.clock->wall_ns(), news.cause};
  TM_TRY(save_record(highest_, record));
  if (!before || before->state != record.state) {
    log_info("group " + name_ + ": the pair from " + news.source + " is " + std::string(pair_state_name(news.state)) +
             (news.cause.empty() ? "" : ": " + news.cause));
  }
  MutexLock lock(mutex_);
  source_ = std::move(record);
  return Status();
}

Status ReplicaCore::lost(bool orderly) {
  std::optional<SourceRecord> record = source();
  bool suspended = record && (record->state == PairState::kSuspended || record->state == PairState::kFailed);
  if (!record || suspended) return Status();
  record->since_ns = options_.clock->wall_ns();
  if (orderly) {
    record->cause = "the source has ended its work for now";
  } else {
    record->cause = "the source is silent; it last said " + std::string(pair_state_name(record->news.state));
    record->state = PairState::kFailed;
    log_warning("group " + name_ + ": " + record->cause);
  }
  TM_TRY(save_record(highest_, record));
  MutexLock lock(mutex_);
  source_ = std::move(record);
  return Status();
}

}  // namespace tidemark
