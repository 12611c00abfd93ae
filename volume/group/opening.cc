#include "volume/group/opening.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "base/logging.h"
#include "base/pinned.h"
#include "log/read/cursor.h"
#include "log/repair/recovery.h"
#include "log/write/writer.h"
#include "volume/difference/difference.h"
#include "volume/difference/difference_check.h"
#include "volume/difference/gap_rows.h"
#include "volume/group/directory.h"
#include "volume/group/replay.h"
#include "volume/history/base_image.h"

namespace tidemark {
namespace {

constexpr size_t kCheckRunBytes = 4u << 20;  // read at a time while a log is checked
// A reader that finds another reader recovering the group, or somebody waiting to open it for writing, waits this long for it.
constexpr auto kReaderPatience = std::chrono::seconds(10);
constexpr int kReaderAttempts = 100;  // to open an index whose owner is changing it: 10 s and more
constexpr int kSameComplaints = 5;

Result<std::unique_ptr<Index>> open_index(const std::string& place, const GroupOptions& options, GroupCore* core,
                                          bool read_only) {
  IndexOptions settings;
  settings.memory = options.index_memory;
  settings.write_buffer_bytes = options.index_write_buffer_bytes;
  settings.read_only = read_only;
  // The index of a log that grows must never know more than the log keeps. A failure poisons the log, which everybody then hears of.
  settings.before_write = options.before_index_write;
  if (core != nullptr)
    settings.before_flush = [core] { return core->writer != nullptr ? core->writer->sync(kLatest) : Status(); };
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
  core.state = std::make_unique<TreeState>(std::move(fresh), options.hot_rows);
  return Status();
}

// Applies what the log has and the index has not.
Status replay(const std::string& directory, FileSystem& files, Log& log, TreeState& state) {
  for (const Gap& gap : log.gaps()) {
    if (state.meta().applied.seq >= gap.to.seq) continue;
    TM_TRY(replay_stretch(log, state, gap.from.seq));
    TM_TRY(load_gap_rows(files, directory, gap, state.index()));
    TM_TRY(state.look_anew());
  }
  return replay_stretch(log, state, log.appended());
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
  for (const HeldStretch& held : held_stretches(log, log.first())) {
    LogCursor cursor(log, held.first);
    while (cursor.next() <= held.last) TM_TRY(cursor.read(kCheckRunBytes, held.last).status());
  }
  return Status();
}

bool index_damaged(TreeState& state) {
  const auto damage = state.check_tables();
  return !damage.ok() || !damage->empty();
}

Status start_index_anew(const std::string& directory, const GroupOptions& options, GroupCore& core) {
  if (core.log) {
    Status whole = check_log(*core.log);
    if (!whole.ok()) return whole.within("the index must be rebuilt, but the log is damaged; nothing was changed");
  }
  log_warning("the index of " + directory + " is missing, damaged or does not match its log; rebuilding it");
  core.state.reset();
  TM_TRY(Index::destroy(index_directory(directory)));
  return begin_index(directory, index_directory(directory), options, &core, core);
}

// An index that cannot be opened because of itself; not because of the disk or of this process's limits.
bool is_damage(const Status& status) {
  return status.code() == Code::kCorrupt || (status.code() == Code::kIo && status.sys_errno() == EIO);
}

// RocksDB's owner may put files together and remove the old ones between a reader's look at the list and its look at the files: then
// the list is another by now, and so is what a reader would complain of. The same complaint again and again is damage.
Result<std::unique_ptr<Index>> open_index_beside_owner(const std::string& directory, const GroupOptions& options) {
  std::string complaint;
  int repeated = 0;
  for (int attempt = 1;; ++attempt) {
    auto index = open_index(index_directory(directory), options, nullptr, true);
    if (index.ok() || !is_damage(index.status()) || attempt == kReaderAttempts) return index;
    repeated = index.status().text() == complaint ? repeated + 1 : 0;
    if (repeated == kSameComplaints) return index;
    complaint = index.status().text();
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(10 * attempt, 100)));
  }
}

// What the holder last flushed, or what a recovery just left: without a lock.
Result<Opened> open_for_reading(const std::string& directory, const GroupOptions& options) {
  Opened opened;
  opened.core = std::make_shared<GroupCore>();
  TM_ASSIGN(auto index, open_index_beside_owner(directory, options));
  opened.core->state = std::make_unique<TreeState>(std::move(index), options.hot_rows);
  opened.recovery.last_seq = opened.core->state->meta().applied.seq;
  TM_ASSIGN(opened.core->log, Log::open_read_only(*options.files, log_directory(directory), opened.recovery.last_seq));
  opened.core->views.lower(opened.core->log->base());  // read after the index: it is never swept beyond
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
  std::filesystem::copy(through_pins(index_directory(directory)), place, std::filesystem::copy_options::recursive, error);
  auto index = open_index(place, options, nullptr, false);
  if (index.ok()) core.state = std::make_unique<TreeState>(std::move(*index), options.hot_rows);
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
  TM_TRY(replay(directory, *options.files, *core.log, *core.state));
  return opened;
}

}  // namespace

Result<Opened> recover_group(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options,
                             std::unique_ptr<DirectoryLock> lock) {
  Opened opened;
  opened.core = std::make_shared<GroupCore>();
  GroupCore& core = *opened.core;
  core.lock = std::move(lock);
  auto index = open_index(index_directory(directory), options, &core, false);
  if (!index.ok() && !is_damage(index.status())) return index.status();
  if (index.ok()) core.state = std::make_unique<TreeState>(std::move(*index), options.hot_rows);
  const Seq indexed = core.state && core.state->loaded().ok() ? core.state->meta().applied.seq : Seq(0);
  LogOptions log_options = options.log;
  log_options.pool_owner = group_id_text(identity.id);
  TM_ASSIGN(auto log, LogWriter::open(*options.files, *options.clock, log_directory(directory), log_options, indexed,
                                      &opened.recovery));
  core.writer = log.get();
  core.log = std::move(log);
  if (core.log->group() != identity.id) {
    return Status(Code::kCorrupt, log_directory(directory) + " belongs to another group than " + directory + "/group.json");
  }
  bool fits = core.state != nullptr && core.state->loaded().ok();
  if (fits) {
    TM_ASSIGN(fits, index_fits(*core.state, *core.log, identity));
  }
  if (!fits) TM_TRY(start_index_anew(directory, options, core));
  TM_TRY(tidy_base_images(*options.files, directory, *core.log));
  TM_TRY(DifferenceCheck::clean(directory));
  core.views.lower(core.log->base());
  Status replayed = replay(directory, *options.files, *core.log, *core.state);
  if (replayed.code() == Code::kCorrupt && fits && index_damaged(*core.state)) {
    log_warning(directory + ": " + replayed.text());
    TM_TRY(start_index_anew(directory, options, core));
    replayed = replay(directory, *options.files, *core.log, *core.state);
  }
  if (!replayed.ok()) return replayed.within("reading the log of " + directory);
  const RecoveryReport& report = opened.recovery;
  if (report.alarm) log_error(directory + ": " + report.text);
  if (!report.alarm && !report.text.empty()) log_warning(directory + ": " + report.text);
  return opened;
}

namespace {

Status recover_and_let_go(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options,
                          std::unique_ptr<DirectoryLock> lock) {
  TM_ASSIGN(Opened recovered, recover_group(directory, identity, options, std::move(lock)));
  TM_TRY(recovered.core->log_writer().sync(kLatest));
  return recovered.core->state->flush();
}

}  // namespace

Result<Opened> open_reader(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + kReaderPatience;
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  for (;;) {
    const bool in_time = std::chrono::steady_clock::now() < deadline;
    if (in_time && is_lock_wanted(directory)) {  // who wants to write goes first
      pause();
      continue;
    }
    auto lock = DirectoryLock::take(directory, std::string(kReadingPurpose));
    const Status failed = lock.ok() ? recover_and_let_go(directory, identity, options, std::move(*lock)) : lock.status();
    if (failed.ok()) break;
    if (cannot_be_written(failed)) {
      log_warning(failed.text() + "; reading it without writing, with a temporary index (this may take a while)");
      return open_beside(directory, identity, options);
    }
    if (failed.code() != Code::kBusy) return failed;
    TM_ASSIGN(auto holder, lock_holder(directory));
    // Nobody any more, nobody known yet, or a reader like us.
    const bool owned = holder && !holder->purpose.empty() && holder->purpose != kReadingPurpose;
    if (owned || !in_time) break;
    pause();
  }
  return open_for_reading(directory, options);
}

Result<Opened> salvage_group(const std::string& directory, const GroupOptions& options, const Status& damage) {
  TM_ASSIGN(auto lock, DirectoryLock::take(directory, std::string(kReadingPurpose)));
  {
    GroupCore core;  // without a log: nothing of it may be synced
    auto index = open_index(index_directory(directory), options, &core, false);
    if (index.ok()) core.state = std::make_unique<TreeState>(std::move(*index), options.hot_rows);
    if (!core.state || !core.state->loaded().ok()) TM_TRY(start_index_anew(directory, options, core));
    TM_ASSIGN(auto log, Log::open_damaged(*options.files, log_directory(directory), core.state->meta().applied));
    TM_TRY(replay(directory, *options.files, *log, *core.state));
    TM_TRY(core.state->flush());
  }
  Opened opened;
  opened.core = std::make_shared<GroupCore>();
  TM_ASSIGN(auto index, open_index(index_directory(directory), options, opened.core.get(), true));
  opened.core->state = std::make_unique<TreeState>(std::move(index), options.hot_rows);
  const Position applied = opened.core->state->meta().applied;
  TM_ASSIGN(opened.core->log, Log::open_damaged(*options.files, log_directory(directory), applied));
  opened.core->views.lower(opened.core->log->base());
  opened.recovery.last_seq = applied.seq;
  opened.recovery.damage = damage;
  opened.recovery.text = "damaged, shown up to record " + std::to_string(applied.seq.value()) + ": " + damage.text();
  return opened;
}

}  // namespace tidemark
