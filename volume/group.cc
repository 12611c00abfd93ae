#include "volume/group.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "base/logging.h"
#include "log/recovery.h"
#include "volume/base_image.h"
#include "volume/committer.h"
#include "volume/directory.h"
#include "volume/live_volume.h"
#include "volume/prune.h"
#include "volume/record_check.h"

namespace tidemark {
namespace {

// While the index catches up with the log: how much is read at a time, and how many rows go in one batch.
constexpr size_t kReplayRunBytes = 4u << 20;
constexpr size_t kReplayBatchBytes = 4u << 20;
// A reader that finds another reader recovering the group waits this long for it.
constexpr auto kReaderPatience = std::chrono::seconds(10);
constexpr int kReaderAttempts = 10;  // to open an index whose owner is changing it
constexpr std::string_view kReadingPurpose = "reading";

struct Opened {
  std::shared_ptr<GroupCore> core;
  RecoveryReport recovery;
};

Result<std::unique_ptr<Index>> open_index(const std::string& place, const GroupOptions& options, GroupCore* core,
                                          bool read_only) {
  IndexOptions settings;
  settings.cache_bytes = options.index_cache_bytes;
  settings.write_buffer_bytes = options.index_write_buffer_bytes;
  settings.read_only = read_only;
  // The index of a log that grows must never know more than the log keeps. A failure poisons the log, which everybody then hears of.
  if (core != nullptr) settings.before_flush = [core] { return core->log ? core->log->sync(kLatest) : Status(); };
  return Index::open(place, settings);
}

// An index without rows, or with those of the base image: what a replay begins with.
Status begin_index(const std::string& directory, const std::string& place, const GroupOptions& options, GroupCore* owner,
                   GroupCore& core) {
  TM_ASSIGN(auto fresh, open_index(place, options, owner, false));
  Floor floor;
  if (core.log) {
    floor = core.log->floor();
  } else {
    TM_ASSIGN(floor, read_floor(*options.files, log_directory(directory)));
  }
  if (floor.base.seq != Seq(0)) TM_TRY(load_base_image(*options.files, directory, floor.base, *fresh));
  core.state = std::make_unique<TreeState>(std::move(fresh));
  return Status();
}

// Applies what the log has and the index has not.
Status replay(Log& log, TreeState& state) {
  const Seq end = log.appended();
  LogCursor cursor(log, state.meta().applied.seq.next());
  while (cursor.next() <= end) {
    TM_ASSIGN(auto run, cursor.read(kReplayRunBytes, end));
    Bytes rest = run.bytes;
    uint32_t offset = run.location.offset;
    while (!rest.empty()) {
      RecordHeader header;
      if (decode_header(rest, header) != RecordFault::kNone)
        return Status(Code::kCorrupt, "a record changed while it was read");
      const uint32_t size = header.size_in_log();
      TM_TRY(state.apply(header, rest.subspan(kRecordHeaderSize, header.stored_length), {run.location.segment, offset}));
      if (state.batch_bytes() > kReplayBatchBytes) TM_TRY(state.write());
      rest = rest.subspan(size);
      offset += size;
    }
  }
  return state.write();
}

// True where the index describes a prefix of this log.
Result<bool> index_fits(TreeState& state, Log& log, const GroupIdentity& identity) {
  const Meta meta = state.meta();
  if (meta.applied.seq == Seq(0)) return log.base() == Seq(0);
  const auto done = swept(state.index());
  if (!done.ok() && done.status().code() != Code::kCorrupt) return done.status();
  if (!done.ok() || done->base > log.base()) return false;
  if (meta.group != identity.id || meta.applied.seq > log.appended()) return false;
  auto position = log.position_at(meta.applied.seq);
  if (!position.ok() && position.status().code() == Code::kNotFound) return false;
  if (!position.ok()) return position.status();
  return *position == meta.applied;
}

// Before an index is thrown away: what it is made from must be there, whole.
Status check_log(Log& log) {
  LogCursor cursor(log, log.first());
  while (cursor.next() <= log.appended()) TM_TRY(cursor.read(kReplayRunBytes, log.appended()).status());
  return Status();
}

bool index_damaged(TreeState& state) {
  const auto damage = state.check_tables();
  return !damage.ok() || !damage->empty();
}

Status start_index_anew(const std::string& directory, const GroupOptions& options, GroupCore& core) {
  if (core.log) {
    Status whole = check_log(*core.log);
    if (!whole.ok()) return whole.within("the index has to be rebuilt from a damaged log (so nothing was changed)");
  }
  log_warning("the index of " + directory + " is damaged or does not fit its log, and is rebuilt");
  core.state.reset();
  TM_TRY(Index::destroy(index_directory(directory)));
  return begin_index(directory, index_directory(directory), options, &core, core);
}

// An index that cannot be opened because of itself; not because of the disk or of this process's limits.
bool is_damage(const Status& status) {
  return status.code() == Code::kCorrupt || (status.code() == Code::kIo && status.sys_errno() == EIO);
}

// Recovers the log, then brings the index up to it; rebuilds an index that is missing, damaged or of another history.
Result<Opened> recover(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options,
                       std::unique_ptr<DirectoryLock> lock) {
  Opened opened;
  opened.core = std::make_shared<GroupCore>();
  GroupCore& core = *opened.core;
  core.lock = std::move(lock);
  auto index = open_index(index_directory(directory), options, &core, false);
  if (!index.ok() && !is_damage(index.status())) return index.status();
  if (index.ok()) core.state = std::make_unique<TreeState>(std::move(*index));
  const Seq known_durable = core.state ? core.state->meta().applied.seq : Seq(0);
  LogOptions log_options = options.log;
  log_options.pool_owner = group_id_text(identity.id);
  TM_ASSIGN(core.log, Log::open(*options.files, *options.clock, log_directory(directory), log_options, known_durable,
                                &opened.recovery));
  if (core.log->group() != identity.id) {
    return Status(Code::kCorrupt, log_directory(directory) + " belongs to another group than " + directory + "/group.json");
  }
  bool fits = core.state != nullptr && core.state->loaded().ok();
  if (fits) {
    TM_ASSIGN(fits, index_fits(*core.state, *core.log, identity));
  }
  if (!fits) TM_TRY(start_index_anew(directory, options, core));
  TM_TRY(tidy_base_images(*options.files, directory, core.log->base()));
  core.views.lower(core.log->base());
  Status replayed = replay(*core.log, *core.state);
  if (replayed.code() == Code::kCorrupt && fits && index_damaged(*core.state)) {
    log_warning(directory + ": " + replayed.text());
    TM_TRY(start_index_anew(directory, options, core));
    replayed = replay(*core.log, *core.state);
  }
  if (!replayed.ok()) return replayed.within("reading the log of " + directory);
  if (!opened.recovery.text.empty()) log_warning(directory + ": " + opened.recovery.text);
  return opened;
}

// RocksDB's owner may put files together and remove the old ones between a reader's look at the list and its look at the files: then
// the list is another by now.
Result<std::unique_ptr<Index>> open_index_beside_owner(const std::string& directory, const GroupOptions& options) {
  for (int attempt = 1;; ++attempt) {
    auto index = open_index(index_directory(directory), options, nullptr, true);
    if (index.ok() || !is_damage(index.status()) || attempt == kReaderAttempts) return index;
    std::this_thread::sleep_for(std::chrono::milliseconds(10 * attempt));
  }
}

// What the holder last flushed, or what a recovery just left: without a lock.
Result<Opened> open_for_reading(const std::string& directory, const GroupOptions& options) {
  Opened opened;
  opened.core = std::make_shared<GroupCore>();
  TM_ASSIGN(auto index, open_index_beside_owner(directory, options));
  opened.core->state = std::make_unique<TreeState>(std::move(index));
  opened.recovery.last_seq = opened.core->state->meta().applied.seq;
  TM_ASSIGN(opened.core->log, Log::open_read_only(*options.files, log_directory(directory), opened.recovery.last_seq));
  opened.core->views.lower(opened.core->log->base());  // read after the index: it is never swept beyond
  return opened;
}

// What is left of a group that does not open. The index is brought as far as the log is unbroken behind it: what follows the
// damage cannot be told from it alone. Nothing but the index is written.
Result<Opened> salvage(const std::string& directory, const GroupOptions& options, const Status& damage) {
  TM_ASSIGN(auto lock, DirectoryLock::take(directory, std::string(kReadingPurpose)));
  {
    GroupCore core;  // without a log: nothing of it may be synced
    auto index = open_index(index_directory(directory), options, &core, false);
    if (index.ok()) core.state = std::make_unique<TreeState>(std::move(*index));
    if (!core.state || !core.state->loaded().ok()) TM_TRY(start_index_anew(directory, options, core));
    TM_ASSIGN(auto log, Log::open_damaged(*options.files, log_directory(directory), core.state->meta().applied));
    TM_TRY(replay(*log, *core.state));
    TM_TRY(core.state->flush());
  }
  Opened opened;
  opened.core = std::make_shared<GroupCore>();
  TM_ASSIGN(auto index, open_index(index_directory(directory), options, opened.core.get(), true));
  opened.core->state = std::make_unique<TreeState>(std::move(index));
  const Position applied = opened.core->state->meta().applied;
  TM_ASSIGN(opened.core->log, Log::open_damaged(*options.files, log_directory(directory), applied));
  opened.core->views.lower(opened.core->log->base());
  opened.recovery.last_seq = applied.seq;
  opened.recovery.damage = damage;
  opened.recovery.text = "damaged, shown as far as record " + std::to_string(applied.seq.value()) + ": " + damage.text();
  return opened;
}

// True for what a disk answers that is full or read-only.
bool cannot_be_written(const Status& status) { return status.code() == Code::kNoSpace || status.code() == Code::kReadOnly; }

// Makes a directory below $TMPDIR that goes with the last owner of what is returned.
Result<std::shared_ptr<void>> make_scratch(std::string& path) {
  std::error_code error;
  const auto parent = std::filesystem::temp_directory_path(error);
  path = ((error ? std::filesystem::path("/tmp") : parent) / "tidemark-index-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) return errno_status(errno, "making a directory for the index, " + path);
  return std::shared_ptr<void>(nullptr, [path](void*) {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  });
}

// Nothing in DIR can be written: the log is read as far as it is sound, and a copy of the index is brought up to it elsewhere.
Result<Opened> open_beside(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options) {
  Opened opened;
  opened.core = std::make_shared<GroupCore>();
  GroupCore& core = *opened.core;
  TM_ASSIGN(const Recovered found, examine_log(*options.files, log_directory(directory), Seq(0)));
  const bool adopted = found.segments.size() > found.last_born + 1;  // without headers yet, so nothing in them was durable
  opened.recovery.last_seq = adopted ? found.segments[found.last_born + 1].known.before.seq : found.end.seq;
  TM_ASSIGN(core.log, Log::open_read_only(*options.files, log_directory(directory), opened.recovery.last_seq));
  std::string path;
  TM_ASSIGN(core.scratch, make_scratch(path));
  const std::string place = path + "/index";
  std::error_code error;
  std::filesystem::copy(index_directory(directory), place, std::filesystem::copy_options::recursive, error);
  auto index = open_index(place, options, nullptr, false);
  if (index.ok()) core.state = std::make_unique<TreeState>(std::move(*index));
  bool fits = !error && core.state;
  if (fits) {
    TM_ASSIGN(fits, index_fits(*core.state, *core.log, identity));
  }
  if (!fits) {
    core.state.reset();
    std::filesystem::remove_all(place, error);
    TM_TRY(begin_index(directory, place, options, nullptr, core));
  }
  core.views.lower(core.log->base());
  TM_TRY(replay(*core.log, *core.state));
  return opened;
}

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
    if (mode_ != OpenMode::kRead) pruner_.finish_earlier();
  }

  ~OpenGroup() override {
    if (Status closed = close(); !closed.ok()) log_error("closing " + directory_ + ": " + closed.text());
  }

  Status close() override {
    if (mode_ == OpenMode::kRead || closed_) return Status();
    closed_ = true;
    pruner_.stop();
    TM_TRY(core_->log->sync(kLatest));  // the index must not know what the log may have lost
    return core_->state->flush();
  }

  const std::string& directory() const override { return directory_; }
  const GroupIdentity& identity() const override { return identity_; }
  const RecoveryReport& recovery() const override { return recovery_; }
  Log& log() override { return *core_->log; }
  Watermarks& watermarks() override { return watermarks_; }
  Volume& volume() override { return volume_; }
  Seq newest() const override { return committer_.newest(); }
  Seq base() const override { return std::max(core_->log->base(), Seq(newest() == Seq(0) ? 0 : 1)); }
  int64_t base_time_ns() const override { return core_->log->floor().time_ns; }
  Position position() const override { return core_->state->meta().applied; }

  Result<std::shared_ptr<TreeView>> view(Seq point) override { return open_view(point, true); }
  Result<std::shared_ptr<TreeView>> passing_view(Seq point) override { return open_view(point, false); }

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
        TM_ASSIGN(Seq seq, core_->log->seq_at_time(point.time_ns));
        if (seq == Seq(0) && base() <= Seq(1)) {
          return Status(Code::kNoSuchPoint, format_time(point.time_ns) + " is before the first record of this group");
        }
        if (seq < base()) return below_base(format_time(point.time_ns));
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
    if (mode_ != OpenMode::kRead) return pruner_.prune(request);
    return Status(Code::kReadOnly, directory_ + " is open for reading only");
  }
  void stop_pruning() override { pruner_.stop(); }
  const RetentionPolicy& retention() const override { return options_.retention; }
  const LogLimit& log_limit() const override { return options_.log_limit; }
  Result<Position> ingest(Bytes run) override;
  Result<std::vector<ShownDamage>> where_shown(const std::vector<Seq>& records) override {
    return core_->state->where_shown(records);
  }
  Result<uint64_t> index_fingerprint() override { return core_->state->fingerprint(); }

 private:
  Result<std::shared_ptr<TreeView>> open_view(Seq point, bool holds) {
    if (point == kLatest) point = newest();
    TM_TRY(check_point(point));
    auto view = make_point_view(core_, point, holds);
    if (view == nullptr) return below_base("seq:" + std::to_string(point.value()));
    return view;
  }
  Status check_point(Seq point) const {
    if (point >= base() && point <= newest() && point != Seq(0)) return Status();
    if (newest() == Seq(0)) return Status(Code::kNoSuchPoint, "this group has no record yet");
    if (point < core_->log->base()) return below_base("seq:" + std::to_string(point.value()));
    return Status(Code::kNoSuchPoint, "seq:" + std::to_string(point.value()) +
                                          " cannot be shown; from seq:" + std::to_string(base().value()) +
                                          " to seq:" + std::to_string(newest().value()) + " can");
  }
  [[nodiscard]] Status below_base(const std::string& what) const {
    const Floor floor = core_->log->floor();
    return Status(Code::kNoSuchPoint, what + " lies before the base, the oldest point that can be restored: seq:" +
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
  Watermarks watermarks_;
  Committer committer_;
  LiveVolume volume_;
  Pruner pruner_;
};

// Every record whole and in order, every block against its own sum, before anything of it is taken.
Status verify_run(Bytes run, Position position) {
  std::vector<std::byte> blocks(size_t{kDataBlocksMax} * kBlockSize);
  return walk_records(run, position, [&](const RecordView& record) -> Status {
    if (record.header.type != RecordType::kData) return Status();
    TM_ASSIGN(DataBody body, decode_data(record.header, record.payload));
    return extract_blocks(record.header, body, MutableBytes(blocks).first(size_t{body.count} * kBlockSize));
  });
}

Result<Position> OpenGroup::ingest(Bytes run) {
  if (mode_ != OpenMode::kReplica) return Status(Code::kReadOnly, directory_ + " takes no records from another site");
  TM_TRY(verify_run(run, core_->log->tail_position()));
  MutexLock lock(committer_.mutex);
  RecordCheck check(*core_->state, identity_.id);
  Position before = core_->log->tail_position();
  TM_TRY(walk_records(run, before, [&](const RecordView& record) { return check.check(record.header, record.payload); }));
  TM_TRY(committer_.commit_verified(run));
  return position();
}

Result<Mark> OpenGroup::create_mark(const MarkRequest& request) {
  TM_TRY(check_mark_name(request.name));
  if (request.note.size() > kNoteMax || request.note.find('\0') != std::string::npos) {
    return Status(Code::kInvalid, "the note of a mark has at most 4,096 bytes and no NUL");
  }
  if (request.application.find('\0') != std::string::npos) {
    return Status(Code::kInvalid, "the name of an application has no NUL");
  }
  MarkBody body;
  body.name = request.name;
  body.note = request.note;
  body.application = std::string_view(request.application).substr(0, 255);
  body.pid = request.pid;
  body.uid = request.uid;
  {
    MutexLock lock(committer_.mutex);
    TM_TRY(committer_.writable());
    TM_ASSIGN(auto there, core_->state->mark(request.name));
    if (there) {  // also below the base: a site may still have it
      return Status(Code::kExists, "there is a mark '" + request.name + "' already, of " + format_time(there->time_ns));
    }
    body.id = core_->state->meta().next_mark;
    const RecordDraft draft = make_draft(RecordType::kMark, 0, Ino(0), encode_mark(body));
    TM_TRY(committer_.commit({&draft, 1}));
  }
  TM_TRY(sync());
  return find_mark(request.name);
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
    if (mark.held == held) return Status();
    const RecordDraft draft = make_draft(RecordType::kMarkChange, 0, Ino(0), encode_mark_change({mark.id, held}));
    TM_TRY(committer_.commit({&draft, 1}));
  }
  return sync();
}

Status check_role(const std::string& directory, Role role, OpenMode mode) {
  if (mode == OpenMode::kPrimary && role == Role::kReplica) {
    return Status(Code::kReadOnly, directory + " is a copy kept by a site; mount a point of it: " + directory + "@latest");
  }
  if (mode == OpenMode::kReplica && role == Role::kPrimary) {
    return Status(Code::kReadOnly, directory + " is a primary's own group and takes no records from a site");
  }
  return Status();
}

Status check_finished(const std::string& directory, const GroupIdentity& identity) {
  if (identity.unfinished.empty()) return Status();
  TM_ASSIGN(const auto holder, lock_holder(directory));
  if (holder) {
    return Status(Code::kBusy, directory + " is not complete yet: process " + std::to_string(holder->pid) + " is at it (" +
                                   identity.unfinished + ")");
  }
  return Status(Code::kNotFound, directory + " holds only a part of a volume: it was being " + identity.unfinished +
                                     " when that was interrupted; remove it and begin again");
}

Status recover_and_let_go(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options,
                          std::unique_ptr<DirectoryLock> lock) {
  TM_ASSIGN(Opened recovered, recover(directory, identity, options, std::move(lock)));
  TM_TRY(recovered.core->log->sync(kLatest));
  return recovered.core->state->flush();
}

// A reader recovers what nobody holds (and lets go at once), then reads what is on disk.
Result<Opened> open_reader(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + kReaderPatience;
  for (;;) {
    auto lock = DirectoryLock::take(directory, std::string(kReadingPurpose));
    const Status failed = lock.ok() ? recover_and_let_go(directory, identity, options, std::move(*lock)) : lock.status();
    if (failed.ok()) break;
    if (cannot_be_written(failed)) {
      log_warning(failed.text() + "; reading it without writing, with an index of its own (this may take a while)");
      return open_beside(directory, identity, options);
    }
    if (failed.code() != Code::kBusy) return failed;
    TM_ASSIGN(auto holder, lock_holder(directory));
    const bool other_reader = holder && holder->purpose == kReadingPurpose;
    if (!other_reader || std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return open_for_reading(directory, options);
}

}  // namespace

Status Group::init(const std::string& directory, const InitOptions& init, const GroupOptions& options) {
  GroupIdentity identity;
  identity.name = init.name;
  identity.unfinished = init.unfinished;
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
  auto identity = identify(directory, *options.files);
  const bool salvaging = options.salvage && mode == OpenMode::kRead;
  if (!identity.ok() && !(salvaging && identity.status().code() == Code::kCorrupt)) return identity.status();
  if (identity.ok()) TM_TRY(check_role(directory, identity->role, mode));
  if (identity.ok() && !options.finishing) TM_TRY(check_finished(directory, *identity));
  Opened opened;
  if (mode == OpenMode::kRead) {
    auto read = identity.ok() ? open_reader(directory, *identity, options) : Result<Opened>(identity.status());
    if (!read.ok() && salvaging && read.status().code() == Code::kCorrupt) read = salvage(directory, options, read.status());
    TM_ASSIGN(opened, std::move(read));
  } else {
    TM_ASSIGN(auto lock, DirectoryLock::take(directory, options.purpose.empty() ? "in use" : options.purpose));
    TM_ASSIGN(opened, recover(directory, *identity, options, std::move(lock)));
  }
  // Where group.json is what is damaged, the index still knows the id.
  GroupIdentity known{opened.core->state->meta().group, "damaged", Role::kPrimary};
  if (identity.ok()) known = std::move(*identity);
  return std::unique_ptr<Group>(std::make_unique<OpenGroup>(directory, std::move(known), options, mode, std::move(opened)));
}

}  // namespace tidemark
