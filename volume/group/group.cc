#include "volume/group/group.h"

#include <algorithm>

#include "base/logging.h"
#include "volume/group/committer.h"
#include "volume/group/directory.h"
#include "volume/group/housekeeping.h"
#include "volume/group/occupied.h"
#include "volume/group/opening.h"
#include "volume/group/openings.h"
#include "volume/history/base_image.h"
#include "volume/history/prune.h"
#include "volume/tree/live_volume.h"
#include "volume/tree/record_check.h"

namespace tidemark {
namespace {

constexpr uint64_t kRoomLeast = 1 << 20;  // of the largest write that the kernel sends

constexpr int64_t kTickNs = 10'000'000;  // by so much our clock may lag behind the one that somebody took a time from

class OpenGroup final : public Group {
 public:
  OpenGroup(std::string directory, GroupIdentity identity, const GroupOptions& options, OpenMode mode, Opened opened)
      : directory_(std::move(directory)),
        identity_(std::move(identity)),
        options_(options),
        mode_(mode),
        core_(std::move(opened.core)),
        recovery_(std::move(opened.recovery)),
        committer_(*core_->log, *core_->state, watermarks_, mode == OpenMode::kPrimary),
        volume_(committer_),
        pruner_(directory_, *options_.files, *options_.clock, *core_, committer_) {
    const Epoch newest = core_->log->tail_position().epoch;
    committer_.epoch = newest == Epoch(0) ? Epoch(1) : newest;
    committer_.log_limit = options_.log_limit;
    if (core_->log->sound() < core_->log->appended()) put_back_to_ = core_->log->appended();
    if (mode_ != OpenMode::kRead) {
      pruner_.finish_earlier();
      flusher_ = TaskPool::add(housekeeping(), kUnflushedMax, [this] { return committer_.flush_what_is_old(); });
    }
    remember_successor();
    remember_opening();
  }

  ~OpenGroup() override {
    if (Status closed = close(); !closed.ok()) log_error("closing " + where_now(directory_) + ": " + closed.text());
  }

  Status close() override {
    if (mode_ == OpenMode::kRead || closed_) return Status();
    closed_ = true;
    flusher_.reset();
    pruner_.stop();
    TM_TRY(core_->log->sync(kLatest));  // the index must not know what the log may have lost
    return core_->state->flush();
  }

  const std::string& directory() const override { return directory_; }
  const GroupIdentity& identity() const override { return identity_; }
  const RecoveryReport& recovery() const override { return recovery_; }
  Log& log() override { return *core_->log; }
  Watermarks& watermarks() override { return watermarks_; }
  Status takes_changes() override;
  Status supersede(const Superseded& by) override;
  std::optional<Superseded> superseded() const override {
    MutexLock lock(superseded_mutex_);
    return superseded_;
  }
  Volume& volume() override { return volume_; }
  Seq newest() const override { return committer_.newest(); }
  Seq base() const override { return std::max(core_->log->base(), Seq(newest() == Seq(0) ? 0 : 1)); }
  int64_t base_time_ns() const override { return core_->log->floor().time_ns; }
  Position position() const override { return core_->state->meta().applied; }

  Result<std::shared_ptr<TreeView>> view(Seq point) override { return open_view(point, ViewKind::kHolds); }
  Result<std::shared_ptr<TreeView>> passing_view(Seq point) override { return open_view(point, ViewKind::kPassing); }

  Result<Seq> resolve(std::string_view text) override {
    TM_ASSIGN(PointText point, parse_point(text, options_.clock->wall_ns()));
    switch (point.kind) {
      case PointText::Kind::kNewest: return checked(newest());
      case PointText::Kind::kSeq: return checked(point.seq);
      case PointText::Kind::kMark: {
        TM_ASSIGN(Mark mark, find_mark(point.mark));
        return checked(mark.seq);
      }
      case PointText::Kind::kTime: {
        TM_TRY(check_past(point.time_ns));
        TM_ASSIGN(Seq seq, core_->log->seq_at_time(point.time_ns));
        if (seq == Seq(0) && base() <= Seq(1)) {
          return Status(Code::kNoSuchPoint, format_time(point.time_ns) + " is before the first record of this group");
        }
        if (seq < base()) return below_base(format_time(point.time_ns));
        TM_TRY(check_time(point.time_ns, seq));
        return checked(std::min(seq, newest()));
      }
    }
    return Status(Code::kInvalid, "this kind of point is not known");
  }

  Result<Mark> create_mark(const MarkRequest& request) override;
  Result<Mark> find_mark(std::string_view name) override;
  Result<std::vector<Mark>> list_marks(MarkId after, size_t max) override;
  Status hold_mark(std::string_view name, bool held) override;

  Status sync() override {
    const Seq upto = core_->log->appended();
    TM_TRY(core_->log->sync(kLatest));
    return mode_ == OpenMode::kPrimary ? watermarks_.wait_copied(upto) : Status();
  }
  Status checkpoint() override {
    if (mode_ == OpenMode::kRead) return Status(Code::kReadOnly, directory_ + " is open for reading only");
    TM_TRY(core_->log->sync(kLatest));
    return core_->state->flush();
  }

  Result<VolumeSpace> space() override {
    VolumeSpace space;
    TM_ASSIGN(space.disk, options_.files->space(directory_));
    space.disk.available_bytes -= std::min(space.disk.available_bytes, options_.log.reserve_bytes);
    space.log_bytes = core_->log->bytes();
    space.pack_bytes = core_->log->pack_bytes();
    space.pool = core_->log->pool();
    for (const PoolUse& each : space.pool) space.disk.available_bytes += each.available;
    space.inodes = core_->state->meta().inodes;
    return space;
  }

  Result<PruneReport> prune(const PruneRequest& request) override {
    if (mode_ == OpenMode::kPrimary) return pruner_.prune(request);
    if (mode_ == OpenMode::kReplica) {
      PruneRequest limited = request;
      limited.keep.push_back({core_->log->settled(), "what the source is known to have on its disk"});
      return pruner_.prune(limited);
    }
    return Status(Code::kReadOnly, directory_ + " is open for reading only");
  }
  Status rewrite_base_image() override {
    if (mode_ != OpenMode::kRead) return pruner_.rewrite_image();
    return Status(Code::kReadOnly, directory_ + " is open for reading only");
  }
  void stop_pruning() override { pruner_.stop(); }
  const RetentionPolicy& retention() const override { return options_.retention; }
  const LogLimit& log_limit() const override { return options_.log_limit; }
  std::chrono::seconds scrub_every() const override { return options_.scrub_every; }
  Result<Position> ingest(Bytes run, Seq settled) override;
  Result<std::unique_ptr<DifferenceReader>> read_difference(const Position& from) override;
  Result<std::unique_ptr<DifferenceWriter>> begin_difference(const DifferenceOffer& offer) override;
  Status finish_difference(DifferenceWriter& taken, const std::optional<std::vector<MarkId>>& held_marks) override;
  Status cut_tail(const Position& to) override;
  [[nodiscard]] const std::vector<Position>& openings() const override { return openings_; }
  [[nodiscard]] Seq settled() const override {
    const Seq durable = core_->log->durable();
    return mode_ == OpenMode::kReplica ? std::min(durable, core_->log->settled()) : durable;
  }
  Result<std::vector<ShownDamage>> where_shown(const std::vector<Seq>& records) override {
    return core_->state->where_shown(records, base());
  }
  Result<uint64_t> index_fingerprint() override { return core_->state->fingerprint(); }

 private:
  void remember_successor();
  void remember_opening();
  Result<std::shared_ptr<TreeView>> open_view(Seq point, ViewKind kind) {
    if (point == kLatest) point = newest();
    TM_TRY(check_point(point));
    auto view = make_point_view(core_, point, kind);
    if (view == nullptr) return below_base("seq:" + std::to_string(point.value()));
    TM_TRY(check_point(point));  // cut meanwhile
    return view;
  }
  Status check_point(Seq point) const {
    if (point >= base() && point <= newest() && point != Seq(0)) return check_gaps(point);
    if (newest() == Seq(0)) return Status(Code::kNoSuchPoint, "this group has no record yet");
    if (point < core_->log->base()) return below_base("seq:" + std::to_string(point.value()));
    return Status(Code::kNoSuchPoint, "seq:" + std::to_string(point.value()) +
                                          " is not available; points from seq:" + std::to_string(base().value()) +
                                          " to seq:" + std::to_string(newest().value()) + " are");
  }
  // Between two points that can be shown there may be some that were never here.
  [[nodiscard]] Status check_gaps(Seq point) const {
    for (const Gap& gap : core_->log->gaps()) {
      if (gap.covers(point) && point != gap.to.seq) return in_gap("seq:" + std::to_string(point.value()), gap);
    }
    return Status();
  }
  static Status in_gap(const std::string& what, const Gap& gap) {
    return Status(Code::kNoSuchPoint,
                  what + " was never held here: the source had dropped it before this copy caught up; points up to seq:" +
                      std::to_string(gap.from.seq.value()) + ", and from seq:" + std::to_string(gap.to.seq.value()) +
                      " of " + format_time(gap.time_ns) + " on are available");
  }
  // What is newest now is not what will be newest then. A record may be younger than our clock says: it has its primary's time.
  [[nodiscard]] Status check_past(int64_t time_ns) const {
    if (time_ns <= options_.clock->wall_ns() + kTickNs) return Status();
    if (newest() == Seq(0)) return Status(Code::kNoSuchPoint, "this group has no record yet");
    TM_ASSIGN(const int64_t last, core_->log->time_of(newest()));
    if (time_ns <= last) return Status();
    return Status(Code::kNoSuchPoint, format_time(time_ns) + " is in the future; the newest record is seq:" +
                                          std::to_string(newest().value()) + " of " + format_time(last) + " ('latest')");
  }
  // The newest record of a time is known only where the next one is held.
  [[nodiscard]] Status check_time(int64_t time_ns, Seq newest) const {
    for (const Gap& gap : core_->log->gaps()) {
      if (gap.from.seq != newest || gap.from.seq == Seq(0)) continue;
      TM_ASSIGN(const int64_t last, core_->log->time_of(newest));
      if (time_ns > last) return in_gap(format_time(time_ns), gap);
    }
    return Status();
  }
  [[nodiscard]] Status below_base(const std::string& what) const {
    const Floor floor = core_->log->floor();
    return Status(Code::kNoSuchPoint, what + " is before the base, the oldest point that can be restored: seq:" +
                                          std::to_string(std::max(floor.base.seq, core_->views.floor()).value()) +
                                          (floor.time_ns != 0 ? " of " + format_time(floor.time_ns) : ""));
  }
  Result<Seq> checked(Seq point) const {
    TM_TRY(check_point(point));
    return point;
  }

  const std::string directory_;
  const GroupIdentity identity_;
  const GroupOptions options_;
  const OpenMode mode_;
  bool closed_ = false;
  std::shared_ptr<GroupCore> core_;
  const RecoveryReport recovery_;
  Result<Position> take_again(Bytes run, Seq first, Seq settled);

  std::vector<Position> openings_;
  Seq put_back_to_;  // opening found damage in records up to here: they may come once more
  Watermarks watermarks_;
  Committer committer_;
  LiveVolume volume_;
  Pruner pruner_;
  mutable Mutex superseded_mutex_;  // a leaf; held while the file is written
  std::optional<Superseded> superseded_ TM_GUARDED_BY(superseded_mutex_);
  bool superseded_saved_ TM_GUARDED_BY(superseded_mutex_) = false;
  std::unique_ptr<TaskPool::Task> flusher_;
};

// What is damaged says at least that there was one.
void OpenGroup::remember_successor() {
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
void OpenGroup::remember_opening() {
  if (mode_ != OpenMode::kPrimary) return;
  auto noted = note_opening(directory_, core_->log->tail_position(), *options_.files);
  if (noted.ok()) {
    openings_ = std::move(*noted);
  } else {
    log_warning(noted.status().within("noting that the volume was opened").text());
  }
}

Status OpenGroup::takes_changes() {
  if (mode_ == OpenMode::kRead) return Status();
  if (Status health = core_->log->health(); !health.ok()) return health.within("the log has failed");
  if (committer_.failed()) {
    return Status(Code::kPoisoned, "the index has failed: nothing is accepted until the group is reopened");
  }
  if (mode_ == OpenMode::kPrimary) TM_TRY(watermarks_.may_write());
  TM_ASSIGN(const VolumeSpace space, this->space());
  const bool counted = space.disk.total_bytes != 0;
  if (!counted || space.disk.available_bytes >= kRoomLeast) return Status();
  return Status(Code::kNoSpace,
                "the disk under " + directory_ + " is full: new data is refused; the reserve is kept for removals");
}

Status OpenGroup::supersede(const Superseded& by) {
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

// Every record whole and in order, every block against its own sum, before anything of it is taken.
Status verify_run(Bytes run, Position position) {
  std::vector<std::byte> blocks(size_t{kDataBlocksMax} * kBlockSize);
  return walk_records(run, position, [&](const RecordView& record) -> Status {
    if (record.header.type != RecordType::kData) return Status();
    TM_ASSIGN(DataBody body, decode_data(record.header, record.payload));
    return extract_blocks(record.header, body, MutableBytes(blocks).first(size_t{body.count} * kBlockSize));
  });
}

Result<Position> OpenGroup::ingest(Bytes run, Seq settled) {
  if (mode_ != OpenMode::kReplica) return Status(Code::kReadOnly, directory_ + " accepts no records from another site");
  RecordHeader first;
  const bool again = run.size() >= kRecordHeaderSize && decode_header(run, first) == RecordFault::kNone &&
                     first.seq > Seq() && first.seq <= put_back_to_;
  if (again) return take_again(run, first.seq, settled);
  TM_TRY(verify_run(run, core_->log->tail_position()));
  MutexLock lock(committer_.mutex);
  TM_TRY(committer_.caught_up());
  RecordCheck check(*core_->state, identity_.id);
  Position before = core_->log->tail_position();
  TM_TRY(walk_records(run, before, [&](const RecordView& record) { return check.check(record.header, record.payload); }));
  TM_TRY(committer_.commit_verified(run));
  core_->log->settle(settled);
  return position();
}

// The part of the run that is held already goes to the log alone: the index has it.
Result<Position> OpenGroup::take_again(Bytes run, Seq first, Seq settled) {
  Log& log = *core_->log;
  TM_ASSIGN(Position before, log.position_at(first.prev()));
  const Seq tail = log.appended();
  TM_TRY(verify_run(run, before));
  size_t held = 0;
  Position last = before;
  TM_TRY(walk_records(run, before, [&](const RecordView& record) {
    if (record.header.seq > tail) return Status();
    held += record.whole.size();
    last = record.header.position();
    return Status();
  }));
  TM_TRY(log.put_back(run.first(held)));
  return held < run.size() ? ingest(run.subspan(held), settled) : last;
}

Result<std::unique_ptr<DifferenceReader>> OpenGroup::read_difference(const Position& from) {
  const Seq base = core_->log->base();
  TM_ASSIGN(auto held, open_view(std::max(from.seq, base), ViewKind::kCopy));
  return DifferenceReader::open(*options_.files, directory_, *core_->log, std::move(held), from);
}

Result<std::unique_ptr<DifferenceWriter>> OpenGroup::begin_difference(const DifferenceOffer& offer) {
  if (mode_ != OpenMode::kReplica) return Status(Code::kReadOnly, directory_ + " accepts no records from another site");
  TM_TRY(sync());
  MutexLock lock(committer_.mutex);
  TM_TRY(committer_.caught_up());
  return DifferenceWriter::open(*options_.files, directory_, identity_.id, *core_->state, offer);
}

Status OpenGroup::finish_difference(DifferenceWriter& taken, const std::optional<std::vector<MarkId>>& held_marks) {
  return pruner_.without_pruning([&]() -> Status {
    Log& log = *core_->log;
    const Gap gap{taken.offer().from, taken.offer().target.base, taken.offer().target.time_ns};
    if (log.tail_position() != gap.from) return Status(Code::kStale, "the copy has moved since the difference was begun");
    TM_ASSIGN(const CrossOrder order, taken.finish(held_marks));
    MutexLock lock(committer_.mutex);
    TM_TRY(log.cross(order));
    if (order.is_base) core_->views.lower(order.to.seq);
    TM_TRY(committer_.leap([&] {
      Index& index = core_->state->index();
      return order.is_base ? load_base_image(*options_.files, directory_, order.to, index)
                           : load_gap_rows(*options_.files, directory_, gap, index);
    }));
    if (Status cleaned = DifferenceWriter::clean(*options_.files, directory_); !cleaned.ok()) log_warning(cleaned.text());
    return Status();
  });
}

Status OpenGroup::cut_tail(const Position& to) {
  if (mode_ != OpenMode::kReplica) return Status(Code::kReadOnly, directory_ + " accepts no records from another site");
  return pruner_.without_pruning([&]() -> Status {
    MutexLock lock(committer_.mutex);
    if (to.seq < core_->log->base()) return below_base("seq:" + std::to_string(to.seq.value()));
    if (!core_->views.press(to.seq)) {
      return Status(Code::kBusy, "an open view of " + directory_ + " shows a point that its source has lost");
    }
    const Status cut = committer_.cut(to);
    core_->views.lift();
    return cut;
  });
}

Result<Mark> OpenGroup::create_mark(const MarkRequest& request) {
  TM_TRY(check_mark_name(request.name));
  if (request.note.size() > kNoteMax || request.note.find('\0') != std::string::npos) {
    return Status(Code::kInvalid, "the note of a mark must have at most 4,096 bytes and no NUL");
  }
  if (request.application.find('\0') != std::string::npos) {
    return Status(Code::kInvalid, "the name of an application must not contain NUL");
  }
  MarkBody body;
  body.name = request.name;
  body.note = request.note;
  body.application = std::string_view(request.application).substr(0, 255);
  body.pid = request.pid;
  body.uid = request.uid;
  RecordHeader header;
  {
    MutexLock lock(committer_.mutex);
    TM_TRY(committer_.writable());
    TM_ASSIGN(auto there, core_->state->mark(request.name));
    if (there) {  // also below the base: a site may still have it
      return Status(Code::kExists, "there is already a mark '" + request.name + "', of " + format_time(there->time_ns));
    }
    body.id = core_->state->meta().next_mark;
    const RecordDraft draft = make_draft(RecordType::kMark, 0, Ino(0), encode_mark(body));
    TM_TRY(committer_.commit({&draft, 1}, &header));
  }
  TM_TRY(sync());
  if (header.seq < core_->views.floor()) return find_mark(request.name);  // pruned meanwhile: says so
  return Mark{body.id,  request.name, header.seq,   header.time_ns, std::string(body.application),
              body.pid, body.uid,     request.note, false};
}

Result<Mark> OpenGroup::find_mark(std::string_view name) {
  TM_ASSIGN(auto found, core_->state->mark(name));
  if (found && found->seq < core_->views.floor()) {
    return below_base("the mark '" + found->name + "' (seq:" + std::to_string(found->seq.value()) + ")");
  }
  if (found) return *found;
  std::string known;
  constexpr size_t kShown = 5;
  // The newest few, so that a slip of the pen is seen at once.
  const MarkId next = core_->state->meta().next_mark;
  TM_ASSIGN(auto marks, core_->state->marks(MarkId(next.value() > kShown ? next.value() - kShown - 1 : 0), kShown));
  for (const Mark& mark : marks) known += (known.empty() ? "" : ", ") + mark.name;
  return Status(Code::kNoSuchPoint, "there is no mark '" + std::string(name) + "'; " +
                                        (known.empty() ? "this group has no marks" : "the newest are: " + known));
}

// By rising id is by rising seq: those below the base come first.
Result<std::vector<Mark>> OpenGroup::list_marks(MarkId after, size_t max) {
  for (;;) {
    TM_ASSIGN(auto marks, core_->state->marks(after, max));
    const Seq floor = core_->views.floor();
    const auto kept = std::find_if(marks.begin(), marks.end(), [&](const Mark& mark) { return mark.seq >= floor; });
    if (kept == marks.begin()) return marks;
    after = std::prev(kept)->id;
  }
}

Status OpenGroup::hold_mark(std::string_view name, bool held) {
  {
    MutexLock lock(committer_.mutex);
    TM_TRY(committer_.writable());
    TM_ASSIGN(Mark mark, find_mark(name));
    if (mark.held != held) {
      const RecordDraft draft = make_draft(RecordType::kMarkChange, 0, Ino(0), encode_mark_change({mark.id, held}));
      TM_TRY(committer_.commit({&draft, 1}));
    }
  }
  return sync();  // also where another thread has just asked for the same: its record need not be durable yet
}

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
  TM_ASSIGN(auto log, Log::open(*options.files, *options.clock, log_directory(directory), options.log, Seq(0), nullptr));
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
  return std::unique_ptr<Group>(std::make_unique<OpenGroup>(directory, std::move(known), options, mode, std::move(opened)));
}

}  // namespace tidemark
