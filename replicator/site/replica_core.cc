#include "replicator/site/replica_core.h"

#include "base/logging.h"
#include "log/format/record_walker.h"
#include "log/write/writer.h"
#include "replicator/wire/difference_protocol.h"
#include "replicator/wire/position_case.h"
#include "volume/group/sealed_json.h"

namespace tidemark {
namespace {

Status later_epoch() { return Status(Code::kInvalid, "a record is of a later epoch than its shipper's"); }

// A session takes the copy into no epoch that it has not claimed. What is no record is left to whoever takes the run.
Status check_records(Bytes run, Epoch epoch) {
  const Status walked =
      walk_headers(run, [&](const RecordView& record) { return record.header.epoch > epoch ? later_epoch() : Status(); });
  return walked.code() == Code::kInvalid ? walked : Status();
}

}  // namespace

Status no_right_to_create(const std::string& group) {
  return Status(Code::kNotAuthorised, "there is no group '" + group +
                                          "' at this site, and this key may not create one; add 'create' to its line of the "
                                          "allow-list");
}

ReplicaCore::ReplicaCore(std::string name, std::string directory, GroupOptions options, std::function<void(Group&)> opened)
    : name_(std::move(name)),
      directory_(std::move(directory)),
      options_(std::move(options)),
      opened_(std::move(opened)),
      heard_note_(*options_.files, directory_) {}

Status ReplicaCore::close() {
  difference_.reset();
  if (!group_ || open_group_.exchange(nullptr) == nullptr) return Status();
  return group_->close();
}

Status ReplicaCore::open_status() const {
  MutexLock lock(mutex_);
  return open_status_;
}

std::string ReplicaCore::owner() const {
  MutexLock lock(mutex_);
  return owner_;
}

std::optional<SourceRecord> ReplicaCore::source() const {
  MutexLock lock(mutex_);
  std::optional<SourceRecord> source = source_;
  if (!source) return source;
  source->heard_ns = heard_ns_;
  source->newest = Seq(source_newest_);
  source->connected = connected_;
  return source;
}

void ReplicaCore::heard(Seq newest) {
  heard_ns_ = options_.clock->wall_ns();
  if (newest != Seq()) source_newest_ = newest.value();
  connected_ = true;
}

Status ReplicaCore::note_heard() {
  const Heard heard{heard_ns_, Seq(source_newest_)};
  if (group_ == nullptr || heard.time_ns == 0) return Status();
  return heard_note_.write(heard);
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
  if (group_->identity().id == hello.group_id) return Status();
  return Status(Code::kExists, "the site already has another group named '" + name_ +
                                   "'; its copy is left unchanged. Ship this one to another site directory, or ask the "
                                   "site's operator to move the directory '" +
                                   name_ + "' aside while the site is stopped (keep it: it may be the only copy)");
}

Epoch ReplicaCore::known_epoch() const { return std::max(highest_, group_->log().tail_position().epoch); }

Status ReplicaCore::check_claim(const Claim& claim) const {
  TM_TRY(record_status_);
  const Epoch known = known_epoch();
  if (claim.epoch < known) {
    return Status(Code::kStaleEpoch, "a primary of epoch " + std::to_string(known.value()) + " has taken over group " +
                                         name_ + "; this one is of epoch " + std::to_string(claim.epoch.value()) +
                                         " and must stop writing");
  }
  const std::string owned_by = owner();
  if (claim.who.key.empty() || claim.who.may_own || owned_by.empty() || owned_by == claim.who.key) return Status();
  return Status(Code::kNotAuthorised,
                "group '" + name_ +
                    "' belongs to another key at this site. To let this key take its place, give it the right 'own' in the "
                    "site's allow-list");
}

Status ReplicaCore::check_raise(const Claim& claim, PositionCase which) const {
  const Epoch known = known_epoch();
  if (claim.epoch <= known) return Status();
  const std::string what = "group " + name_ + ": epoch " + std::to_string(claim.epoch.value()) + " is refused here: ";
  if (which == PositionCase::kAhead) {
    return Status(Code::kDiverged, what + "the site holds records that this primary did not report");
  }
  if (claim.position.epoch != claim.epoch) {
    return Status(Code::kNotAuthorised, what + "its primary has no durable record of it");
  }
  const bool first = known == Epoch();  // nobody has shipped yet
  if (!first && claim.epoch.value() - known.value() > kEpochStepMax) {
    return Status(Code::kNotAuthorised,
                  what + "that is more than " + std::to_string(kEpochStepMax) + " takeovers after epoch " +
                      std::to_string(known.value()) +
                      ", the highest known. If it is right, ask the site's operator to move the copy aside, "
                      "so that it is copied again");
  }
  return Status();
}

PositionCase ReplicaCore::compare(const Position& position, const Position& theirs) const {
  return classify_at_site(position, theirs, [this](Seq seq) { return group_->log().position_at(seq); });
}

Result<Position> ReplicaCore::position() const {
  Log& log = group_->log();  // not the index, which may be behind, on a full disk
  const Seq sound = log.sound();
  if (!wants_again_ || sound >= log.appended()) return log.tail_position();
  return log.position_at(sound);
}

Result<Welcome> ReplicaCore::hello(const Hello& hello, const Claimant& who, Retry& retry) {
  bool made = false;
  retry = Retry::kLater;
  if (group_ == nullptr) {
    TM_TRY(open_status());  // damaged: opening it again will not help
    if (!who.may_create) {
      retry = Retry::kNever;
      return no_right_to_create(name_);
    }
    if (Status status = make_replica(hello); !status.ok()) {
      return status.within("the replica of group " + name_ + " cannot be created");
    }
    made = true;
  }
  if (Status health = group_->log().health(); !health.ok()) {
    return health.within("the site's log of group " + name_ + " has failed; restart the site");
  }
  retry = Retry::kNever;
  TM_TRY(check_identity(hello));
  const Claim claim{who, hello.epoch, hello.position, hello.openings};
  TM_TRY(check_claim(claim));
  if (made && !who.key.empty()) {
    retry = Retry::kLater;
    TM_TRY(save_record(highest_, who.key, source()));
    MutexLock lock(mutex_);
    owner_ = who.key;
  }
  TM_ASSIGN(const Position position, this->position());
  Welcome welcome;
  welcome.role = WireRole::kShip;
  welcome.which = made ? PositionCase::kUnknownGroup : compare(position, hello.position);
  welcome.window_bytes = kWindowBytes;
  welcome.window_frames = kWindowFrames;
  welcome.group_id = group_->identity().id;
  welcome.position = position;
  welcome.durable = std::min(durable(), position.seq);
  welcome.highest = highest_;
  welcome.cut_to = cut_to(claim);
  return welcome;
}

// Only what is of the source's own tenure, and not known to be durable there.
Position ReplicaCore::cut_to(const Claim& claim) const {
  Log& log = group_->log();
  const Position tail = log.tail_position();
  if (tail.epoch != claim.epoch || log.sound() < log.appended()) return {};
  for (auto to = claim.openings.rbegin(); to != claim.openings.rend(); ++to) {
    if (to->seq == Seq() || to->epoch != claim.epoch || to->seq >= tail.seq) continue;
    if (to->seq < std::max(log.settled(), log.base())) return {};
    const auto held = log.position_at(to->seq);
    if (held.ok() && *held == *to) return *to;
  }
  return {};
}

Welcome ReplicaCore::epoch_news() const {
  Welcome welcome;
  welcome.role = WireRole::kShip;
  welcome.which = PositionCase::kDiverged;
  welcome.group_id = group_->identity().id;
  welcome.position = group_->log().tail_position();
  welcome.highest = known_epoch();
  return welcome;
}

Status ReplicaCore::check_begin(const Claim& claim, const Position& agreed, Retry& retry) const {
  retry = Retry::kHello;
  const Status changed(Code::kStale,
                       "the site's position has changed since HELLO");  // another session has shipped meanwhile
  if (group_ == nullptr) return changed;
  TM_ASSIGN(const Position held, position());
  const bool cuts = held != agreed && agreed.seq != Seq() && agreed == cut_to(claim);
  if (held != agreed && !cuts) return changed;
  retry = Retry::kNever;
  TM_TRY(check_claim(claim));
  if (cuts) return Status();
  const PositionCase which = compare(group_->log().tail_position(), claim.position);
  if (which == PositionCase::kDiverged) {
    return Status(Code::kDiverged, "the site holds another history of group " + name_);
  }
  return check_raise(claim, which);
}

Status ReplicaCore::begin(const Claim& claim, const Position& agreed) {
  Retry retry{};
  TM_TRY(check_begin(claim, agreed, retry));
  difference_.reset();
  TM_ASSIGN(const Position held, position());
  if (held != agreed) TM_TRY(group_->cut_tail(agreed));
  const std::string before = owner();
  const std::string owned_by = claim.who.key.empty() ? before : claim.who.key;
  if (claim.epoch > highest_ || owned_by != before) {
    const Epoch epoch = std::max(claim.epoch, highest_);
    TM_TRY(save_record(epoch, owned_by, source()));
    if (!before.empty() && owned_by != before) {
      log_warning("group " + name_ + ": key " + owned_by + " now owns it; key " + before + " no longer does");
    }
    highest_ = epoch;
  }
  heard(claim.position.seq);
  MutexLock lock(mutex_);
  owner_ = owned_by;
  return Status();
}

Status ReplicaCore::check_epoch(Epoch epoch) const {
  if (epoch >= highest_) return Status();
  return Status(Code::kStaleEpoch, "a primary of epoch " + std::to_string(highest_.value()) + " has taken over group " +
                                       name_ + "; this session is of epoch " + std::to_string(epoch.value()));
}

Result<Position> ReplicaCore::take(Epoch epoch, Bytes body) {
  TM_TRY(check_epoch(epoch));
  TM_ASSIGN(DataHeader data, decode_data_message(body));
  TM_TRY(check_records(data.run, epoch));
  if (data.settled.value() > source_newest_) source_newest_ = data.settled.value();
  return group_->ingest(data.run, data.settled);
}

void ReplicaCore::settle(Seq told, Seq received) {
  if (Group* open = group(); open != nullptr) open->log_writer().settle(std::min(told, received));
}

Result<Accept> ReplicaCore::offer(Epoch epoch, const DifferenceOffer& offer) {
  if (group_ == nullptr) return Status(Code::kStale, "the replica is not open");
  TM_TRY(check_epoch(epoch));
  if (offer.target.base.epoch > epoch) return later_epoch();
  const Log& log = group_->log();
  if (wants_again_ && log.sound() < log.appended() && offer.from.seq == log.sound()) {
    wants_again_ = false;
    return Status(Code::kStale,
                  "record " + std::to_string(offer.from.seq.next().value()) +
                      " is damaged here, and the source no longer holds it: the copy continues after it; repair "
                      "it from another copy with `tidemark verify --repair`");
  }
  TM_ASSIGN(difference_, group_->begin_difference(offer));
  difference_bytes_ = difference_pieces_ = 0;
  // A copy without anything needs every symbolic link, whatever its number.
  const Ino next_ino = offer.from.seq == Seq() ? Ino() : difference_->next_ino();
  log_info("group " + name_ + ": the source no longer holds the records after seq " +
           std::to_string(offer.from.seq.value()) + "; a difference brings this copy to seq " +
           std::to_string(offer.target.base.seq.value()));
  return Accept{next_ino, difference_->staged()};
}

Result<Position> ReplicaCore::piece(Epoch epoch, uint64_t number, Bytes body) {
  TM_TRY(check_epoch(epoch));
  if (difference_ == nullptr) return Status(Code::kInvalid, "no difference was offered");
  // The tree may be whole without what a lost piece has: that has to be found here.
  if (number != ++difference_pieces_) {
    return Status(Code::kCorrupt, "piece " + std::to_string(difference_pieces_) + " of the difference is missing: piece " +
                                      std::to_string(number) + " came instead");
  }
  TM_ASSIGN(const DifferencePart part, decode_difference(body));
  difference_bytes_ += body.size();
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
    case Code::kStaleEpoch: return Retry::kNever;
    default: return Retry::kLater;
  }
}

uint64_t ReplicaCore::bytes() const {
  if (group_ == nullptr) return 0;
  return group_->log().bytes() + group_->log().pack_bytes() + (difference_ == nullptr ? 0 : difference_bytes_);
}

Status ReplicaCore::commit() { return group_->sync(); }

std::chrono::nanoseconds ReplicaCore::note_now_and_then() {
  return group_ == nullptr ? std::chrono::nanoseconds(0) : group_->log_writer().note_now_and_then();
}

Seq ReplicaCore::durable() const {
  const Log& log = group_->log();
  const Seq held = wants_again_ ? std::min(log.durable(), log.sound()) : log.durable();
  return std::min(held, group_->watermarks().copied());
}

// --- what is remembered

void ReplicaCore::load_record() {
  highest_ = group_->position().epoch;
  Result<std::string> content = read_file(*options_.files, site_record_path(directory_));
  if (!content.ok()) return;  // never raised above what the log itself says
  auto root = open_sealed_json(*content, site_record_path(directory_));
  if (!root.ok() || !root->contains("epoch") || !(*root)["epoch"].is_number_unsigned()) {
    // Whoever shipped last may have been fenced off since: nobody may ship until a person has looked.
    record_status_ =
        Status(Code::kCorrupt, site_record_path(directory_) +
                                   " is damaged, so the site cannot tell which primary is the newest; remove it at "
                                   "the site if no other primary has taken over");
    log_error(record_status_.text());
    return;
  }
  highest_ = std::max(highest_, Epoch((*root)["epoch"].get<uint64_t>()));
  MutexLock lock(mutex_);
  if (root->contains("owner") && (*root)["owner"].is_string()) owner_ = (*root)["owner"].get<std::string>();
  if (!root->contains("pair")) return;
  source_ = source_from_json((*root)["pair"]);
  const Heard heard = read_heard(*options_.files, directory_);
  heard_ns_ = std::max(heard.time_ns, source_ ? source_->heard_ns : 0);
  source_newest_ = std::max(heard.newest, source_ ? source_->newest : Seq()).value();
  if (!source_) log_error(site_record_path(directory_) + ": its record of the source is damaged and ignored");
}

Status ReplicaCore::save_record(Epoch epoch, const std::string& owner, const std::optional<SourceRecord>& source) {
  nlohmann::ordered_json root = {{"epoch", epoch.value()}};
  if (!owner.empty()) root["owner"] = owner;
  if (source) root["pair"] = source_to_json(*source);
  // A source's own words may be in it, in any bytes.
  std::string text = root.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return write_file_atomically(*options_.files, site_record_path(directory_),
                               seal_json(nlohmann::ordered_json::parse(text)));
}

Status ReplicaCore::news(const PairNews& news) {
  std::optional<SourceRecord> before = source();
  SourceRecord record = before.value_or(SourceRecord());
  record.news = news;
  record.state = news.state;
  record.since_ns = options_.clock->wall_ns();
  record.cause = news.cause;
  record.ended = false;
  TM_TRY(save_record(highest_, owner(), record));
  if (!before || before->state != record.state) {
    log_info("group " + name_ + ": the pair from " + news.source + " is " + std::string(pair_state_name(news.state)) +
             (news.cause.empty() ? "" : ": " + news.cause));
  }
  MutexLock lock(mutex_);
  source_ = std::move(record);
  return Status();
}

Status ReplicaCore::lost(bool orderly) {
  difference_.reset();
  connected_ = false;
  std::optional<SourceRecord> record = source();
  bool suspended = record && (record->state == PairState::kSuspended || record->state == PairState::kFailed);
  if (!record || suspended) return Status();
  record->since_ns = options_.clock->wall_ns();
  record->ended = orderly;
  if (orderly) {
    record->cause = "the source has stopped";
  } else {
    record->cause = "the source is silent; it last reported " + std::string(pair_state_name(record->news.state));
    record->state = PairState::kFailed;
    log_warning("group " + name_ + ": " + record->cause);
  }
  TM_TRY(save_record(highest_, owner(), record));
  MutexLock lock(mutex_);
  source_ = std::move(record);
  return Status();
}

}  // namespace tidemark
