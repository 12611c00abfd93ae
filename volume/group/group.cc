#include "volume/group/group.h"

#include <algorithm>

#include "base/logging.h"
#include "log/write/writer.h"
#include "volume/group/committer.h"
#include "volume/group/directory.h"
#include "volume/group/housekeeping.h"
#include "volume/group/occupied.h"
#include "volume/group/opening.h"
#include "volume/group/openings.h"
#include "volume/history/prune.h"
#include "volume/tree/live_volume.h"

namespace tidemark {
namespace {

constexpr uint64_t kRoomLeast = 1 << 20;  // of the largest write that the kernel sends

Status check_role(const std::string& directory, Role role, OpenMode mode) {
  if (mode == OpenMode::kPrimary && role == Role::kReplica) {
    return Status(Code::kReadOnly, directory + " is a copy kept by a site; mount a point of it: " + directory + "@latest");
  }
  if (mode == OpenMode::kReplica && role == Role::kPrimary) {
    return Status(Code::kReadOnly, directory + " is a primary's own group and accepts no records from a site");
  }
  return Status();
}

Status check_finished(const std::string& directory, const GroupIdentity& identity) {
  if (identity.unfinished.empty()) return Status();
  TM_ASSIGN(const auto holder, lock_holder(directory));
  if (holder) {
    return Status(Code::kBusy, directory + " is not complete yet: process " + std::to_string(holder->pid) +
                                   " is working on it (" + identity.unfinished + ")");
  }
  return Status(Code::kNotFound, directory + " holds only part of a volume: it was being " + identity.unfinished +
                                     " when that was interrupted; remove it and start again");
}

}  // namespace

Status Group::init(const std::string& directory, const InitOptions& init, const GroupOptions& options) {
  GroupIdentity identity;
  identity.name = init.name;
  identity.unfinished = init.unfinished;
  TM_TRY(check_new_outside_groups(directory, directory));
  TM_ASSIGN(identity.id, random_group_id());
  TM_ASSIGN(const auto lock, make_group_directory(directory, identity, options));
  TM_ASSIGN(auto log,
            LogWriter::open(*options.files, *options.clock, log_directory(directory), options.log, Seq(0), nullptr));
  Genesis body;
  body.group = identity.id;
  body.name = identity.name;
  body.root_mode = init.root_mode & 07777;
  body.uid = init.uid;
  body.gid = init.gid;
  const RecordDraft draft = make_draft(RecordType::kGenesis, 0, kRootIno, encode_genesis(body));
  TM_TRY(log->append({&draft, 1}, Epoch(1)).status());
  TM_TRY(log->sync(kLatest));
  log.reset();
  return write_identity(directory, identity, *options.files);
}

Status Group::init_replica(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options) {
  GroupIdentity replica = identity;
  replica.role = Role::kReplica;
  TM_ASSIGN(const auto lock, make_group_directory(directory, replica, options));
  return write_identity(directory, replica, *options.files);
}

Result<GroupIdentity> Group::identify(const std::string& directory, FileSystem& files) {
  return read_identity(directory, files);
}

Status Group::declare_finished(const std::string& directory, FileSystem& files) {
  TM_ASSIGN(GroupIdentity identity, identify(directory, files));
  if (identity.unfinished.empty()) return Status();
  identity.unfinished.clear();
  return write_identity(directory, identity, files);
}

Result<std::unique_ptr<Group>> Group::open(const std::string& directory, OpenMode mode, const GroupOptions& options) {
  auto pinned = PinnedDirectory::pin(directory);
  if (!pinned.ok() && pinned.status().code() != Code::kNotFound) return pinned.status();
  auto identity = identify(directory, *options.files);
  const bool salvaging = options.salvage && mode == OpenMode::kRead;
  if (!identity.ok() && !(salvaging && identity.status().code() == Code::kCorrupt)) return identity.status();
  if (identity.ok()) TM_TRY(check_role(directory, identity->role, mode));
  if (identity.ok() && !options.finishing) TM_TRY(check_finished(directory, *identity));
  Opened opened;
  if (mode == OpenMode::kRead) {
    auto read = identity.ok() ? open_reader(directory, *identity, options) : Result<Opened>(identity.status());
    if (!read.ok() && salvaging && read.status().code() == Code::kCorrupt)
      read = salvage_group(directory, options, read.status());
    TM_ASSIGN(opened, std::move(read));
  } else {
    const std::string purpose = options.purpose.empty() ? "in use" : options.purpose;
    TM_ASSIGN(auto lock, DirectoryLock::take(directory, purpose, options.lock_patience));
    TM_ASSIGN(opened, recover_group(directory, *identity, options, std::move(lock)));
  }
  if (pinned.ok()) opened.core->directory = std::move(*pinned);
  // Where group.json is what is damaged, the index still knows the id.
  GroupIdentity known{opened.core->state->meta().group, "damaged", Role::kPrimary};
  if (identity.ok()) known = std::move(*identity);
  return std::unique_ptr<Group>(new Group(directory, std::move(known), options, mode, std::move(opened)));
}

Group::Group(std::string directory, GroupIdentity identity, const GroupOptions& options, OpenMode mode, Opened opened)
    : directory_(std::move(directory)),
      identity_(std::move(identity)),
      options_(options),
      mode_(mode),
      core_(std::move(opened.core)),
      recovery_(std::move(opened.recovery)),
      committer_(std::make_unique<Committer>(*core_, watermarks_, mode == OpenMode::kPrimary)),
      volume_(std::make_unique<LiveVolume>(*committer_)),
      pruner_(std::make_unique<Pruner>(directory_, *options_.files, *options_.clock, *core_, *committer_)) {
  const Epoch newest = core_->log->tail_position().epoch;
  committer_->epoch = newest == Epoch(0) ? Epoch(1) : newest;
  committer_->log_limit = options_.log_limit;
  if (core_->log->sound() < core_->log->appended()) put_back_to_ = core_->log->appended();
  if (mode_ != OpenMode::kRead) {
    pruner_->finish_earlier();
    flusher_ = TaskPool::add(housekeeping(), kUnflushedMax, [this] { return committer_->flush_what_is_old(); });
  }
  remember_successor();
  remember_opening();
}

Group::~Group() {
  if (Status closed = close(); !closed.ok()) log_error("closing " + where_now(directory_) + ": " + closed.text());
}

Status Group::close() {
  if (mode_ == OpenMode::kRead || closed_) return Status();
  closed_ = true;
  flusher_.reset();
  pruner_->stop();
  TM_TRY(log_writer().sync(kLatest));  // the index must not know what the log may have lost
  return core_->state->flush();
}

Log& Group::log() { return *core_->log; }
LogWriter& Group::log_writer() { return core_->log_writer(); }
Volume& Group::volume() { return *volume_; }
Seq Group::newest() const { return committer_->newest(); }
Seq Group::base() const { return std::max(core_->log->base(), Seq(newest() == Seq(0) ? 0 : 1)); }
int64_t Group::base_time_ns() const { return core_->log->floor().time_ns; }
Position Group::position() const { return core_->state->meta().applied; }

Seq Group::settled() const {
  const Seq durable = core_->log->durable();
  return mode_ == OpenMode::kReplica ? std::min(durable, core_->log->settled()) : durable;
}

Status Group::read_only() const { return Status(Code::kReadOnly, directory_ + " is open for reading only"); }

Status Group::sync() {
  if (mode_ == OpenMode::kRead) return read_only();
  const Seq upto = core_->log->appended();
  TM_TRY(log_writer().sync(kLatest));
  return mode_ == OpenMode::kPrimary ? watermarks_.wait_copied(upto) : Status();
}

Status Group::checkpoint() {
  if (mode_ == OpenMode::kRead) return read_only();
  TM_TRY(log_writer().sync(kLatest));
  return core_->state->flush();
}

Result<VolumeSpace> Group::space() {
  VolumeSpace space;
  TM_ASSIGN(space.disk, options_.files->space(directory_));
  space.disk.available_bytes -= std::min(space.disk.available_bytes, options_.log.reserve_bytes);
  space.log_bytes = core_->log->bytes();
  space.pack_bytes = core_->log->pack_bytes();
  if (mode_ != OpenMode::kRead) space.pool = log_writer().pool();
  for (const PoolUse& each : space.pool) space.disk.available_bytes += each.available;
  space.inodes = core_->state->meta().inodes;
  return space;
}

Result<PruneReport> Group::prune(const PruneRequest& request) {
  if (mode_ == OpenMode::kRead) return read_only();
  if (mode_ == OpenMode::kPrimary) return pruner_->prune(request);
  PruneRequest limited = request;
  limited.keep.push_back({core_->log->settled(), "what the source is known to have on its disk"});
  return pruner_->prune(limited);
}

Status Group::rewrite_base_image() { return mode_ == OpenMode::kRead ? read_only() : pruner_->rewrite_image(); }

void Group::stop_pruning() { pruner_->stop(); }

Result<std::vector<ShownDamage>> Group::where_shown(const std::vector<Seq>& records) {
  return core_->state->where_shown(records, base());
}

Result<uint64_t> Group::index_fingerprint() { return core_->state->fingerprint(); }

std::optional<Superseded> Group::superseded() const {
  MutexLock lock(superseded_mutex_);
  return superseded_;
}

// What is damaged says at least that there was one.
void Group::remember_successor() {
  if (identity_.role != Role::kPrimary) return;
  auto known = load_superseded(directory_, *options_.files);
  if (known.ok() && !*known) return;
  Superseded by;
  by.own = core_->log->tail_position().epoch;
  if (known.ok()) by = **known;
  std::string text = superseded_text(directory_, by);
  if (!known.ok()) text = known.status().text() + "; " + text;
  if (mode_ == OpenMode::kPrimary) log_error(text);
  watermarks_.refuse_writes(text);
  MutexLock lock(superseded_mutex_);
  superseded_ = by;
  superseded_saved_ = known.ok();
}

// Before the first record of this opening: where that is not on the disk, sites get no record early.
void Group::remember_opening() {
  if (mode_ != OpenMode::kPrimary) return;
  auto noted = note_opening(directory_, core_->log->tail_position(), *options_.files);
  if (noted.ok()) {
    openings_ = std::move(*noted);
  } else {
    log_warning(noted.status().within("noting that the volume was opened").text());
  }
}

Status Group::takes_changes() {
  if (mode_ == OpenMode::kRead) return Status();
  if (Status health = core_->log->health(); !health.ok()) return health.within("the log has failed");
  if (committer_->failed()) {
    return Status(Code::kPoisoned, "the index has failed: nothing is accepted until the group is reopened");
  }
  if (mode_ == OpenMode::kPrimary) TM_TRY(watermarks_.may_write());
  TM_ASSIGN(const VolumeSpace space, this->space());
  const bool counted = space.disk.total_bytes != 0;
  if (!counted || space.disk.available_bytes >= kRoomLeast) return Status();
  return Status(Code::kNoSpace,
                "the disk under " + directory_ + " is full: new data is refused; the reserve is kept for removals");
}

Status Group::supersede(const Superseded& by) {
  if (mode_ != OpenMode::kPrimary) return Status(Code::kInvalid, directory_ + " is not open as a primary's group");
  bool first = false;
  Superseded known;
  {
    MutexLock lock(superseded_mutex_);
    first = !superseded_;
    if (first || by.epoch > superseded_->epoch) {
      superseded_ = by;
      superseded_saved_ = false;
    }
    if (superseded_saved_) return Status();
    known = *superseded_;
  }
  watermarks_.refuse_writes(superseded_text(directory_, known));  // before it is saved: the disk may be slow, or full
  if (first) log_error("group " + identity_.name + ": " + superseded_text(directory_, known));
  MutexLock lock(superseded_mutex_);
  TM_TRY(save_superseded(directory_, *superseded_, *options_.files).within("cannot save that the volume is fenced"));
  superseded_saved_ = true;
  return Status();
}

}  // namespace tidemark
