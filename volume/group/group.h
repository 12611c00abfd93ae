// A group on this site: one directory with one log, its index and its lock. Everything else works through this.
//
//   DIR/group.json   identity: format, group id, name        DIR/index/   RocksDB: a cache of the log
//   DIR/log/         segments                                DIR/lock     held by the process that may write
//   DIR/control      socket of that process (cli/service/control)    DIR/pairs.json   pairs (replicator/)
//   DIR/fenced.json  a primary that has a successor (volume/group/superseded)
//   DIR/scrub.json   how far checking all of the log has come, and what is damaged (volume/check/scrub_state)
//   DIR/base/        what the index knows of everything up to the base (volume/history/base_image)
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/mutex.h"
#include "base/task_pool.h"
#include "log/log.h"
#include "volume/difference/difference.h"
#include "volume/group/directory_lock.h"
#include "volume/group/superseded.h"
#include "volume/group/watermarks.h"
#include "volume/history/log_limit.h"
#include "volume/history/point.h"
#include "volume/history/retention.h"
#include "volume/index/index_memory.h"
#include "volume/tree/tree_view.h"
#include "volume/tree/volume.h"

namespace tidemark {

class Committer;
class LiveVolume;
class LogWriter;
class Pruner;
class VerifiedRun;
enum class ViewKind;
struct GroupCore;
struct Opened;

enum class Role { kPrimary, kReplica };  // who numbers the records: we, or the site they come from

enum class OpenMode {
  kPrimary,  // change the volume; kBusy if another process has it; kReadOnly if the group is a replica
  kReplica,  // take records from a primary; kBusy likewise; kReadOnly if the group is a primary's
  kRead,  // read only: takes the lock and recovers where nobody holds it; otherwise shows what the holder last flushed. Where
          // DIR cannot be written (full, read-only) the index is completed in a directory for temporary files
};

struct GroupOptions {
  LogOptions log;
  std::shared_ptr<IndexMemory> index_memory;      // as IndexOptions::memory
  uint64_t index_write_buffer_bytes = 64u << 20;  // as IndexOptions::write_buffer_bytes
  HotRows hot_rows;
  RetentionPolicy retention;            // what a HistoryKeeper prunes by; everything is kept by default
  std::chrono::seconds scrub_every{0};  // how often a Scrubber reads all of it; 0: never
  LogLimit log_limit;   // of a primary: new data is refused where it says so; a replica takes what it is sent
  std::string purpose;  // for the lock file: "mounted at /mnt/db", "site" …
  // How long to wait for a holder of the lock that is about to give it back (DirectoryLock).
  std::chrono::milliseconds lock_patience{30'000};
  bool finishing = false;  // opens an unfinished group, too, to finish it
  // kRead only: where damage keeps the group from opening, show what is left of it. The index goes on as far as the log is
  // unbroken and everything it knows is shown; what is damaged stays kCorrupt where it is met. recovery().damage says why.
  bool salvage = false;
  FileSystem* files = &posix_file_system();
  Clock* clock = &system_clock();
  std::function<Status()> before_index_write;  // as IndexOptions::before_write
};

struct GroupIdentity {
  GroupId id{};
  std::string name;
  Role role = Role::kPrimary;
  // Not "": the directory is still being filled with what exists elsewhere ("restored from …"); only whoever fills it opens it.
  std::string unfinished;
};

struct InitOptions {
  std::string name;  // 1 … 63 of [A-Za-z0-9._-]
  uint32_t root_mode = 0755;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string unfinished;  // as GroupIdentity's
};

struct MarkRequest {
  std::string name;
  std::string note;
  std::string application;
  uint32_t pid = 0;
  uint32_t uid = 0;
};

struct VolumeSpace {
  FileSystemSpace disk;       // `available` without what the log keeps in reserve
  uint64_t log_bytes = 0;     // segments: the history
  uint64_t pack_bytes = 0;    // what older records live on takes
  std::vector<PoolUse> pool;  // directories beside the log's own; their room counts as available
  uint64_t inodes = 0;        // in use at the newest record (approximate)
};

// Where damaged records show: blocks of a file that lie in one of them, and from when until when.
struct ShownDamage {
  Seq record;
  Ino ino;
  std::string path;     // one that the file had at `from`; "" where it had none (or the tree is too large to look)
  uint64_t at = 0;      // byte of the file
  uint64_t bytes = 0;   // from the first to the last block in question, at most the whole file
  Seq from;             // points from here on …
  Seq until = kLatest;  // … up to and without this one; kLatest: still
};

// Thread-safe.
class Group {
 public:
  // Makes DIR (which must not exist, or be empty) a new primary group with its genesis record. Durable on return. After a crash
  // meanwhile DIR is a group, or it is none and may be given again. kBusy: somebody else is at it.
  static Status init(const std::string& directory, const InitOptions& init, const GroupOptions& options = {});
  // Makes DIR a replica without any record yet: the first it takes is the primary's genesis.
  static Status init_replica(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options = {});
  static Result<GroupIdentity> identify(const std::string& directory, FileSystem& files = posix_file_system());
  // What filled an unfinished group is done: from here on anybody can open it. Durable on return; sync() first.
  static Status declare_finished(const std::string& directory, FileSystem& files = posix_file_system());

  // Recovers: cuts a torn tail, brings the index up to the log, rebuilds the index where it is missing, damaged or ahead. kNotFound:
  // there is no group, or an unfinished one.
  static Result<std::unique_ptr<Group>> open(const std::string& directory, OpenMode mode, const GroupOptions& options = {});
  ~Group();  // as close(), but it cannot report
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  // Syncs the log and flushes the index; nothing may be changed afterwards. The directory is free for others once the Group and the last
  // of its views are gone.
  Status close();

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] const GroupIdentity& identity() const { return identity_; }
  [[nodiscard]] const RecoveryReport& recovery() const { return recovery_; }
  [[nodiscard]] Log& log();
  // The same, but in kRead.
  [[nodiscard]] LogWriter& log_writer();
  [[nodiscard]] Watermarks& watermarks() { return watermarks_; }

  // Primary only: it has a successor. From the call on every change and every sync answers kReadOnly, here and after every restart.
  // An error: that could not be saved; it holds as long as this process lives, and the next call tries again.
  Status supersede(const Superseded& by);
  [[nodiscard]] std::optional<Superseded> superseded() const;

  // Whether a change would be taken now, as far as can be told without waiting for anybody: kPoisoned (the log or the index has failed),
  // kReadOnly (it has a successor, or a pair fences), kNoSpace (the disk is full). Of a replica: a run from its source. In kRead: ok.
  Status takes_changes();

  // The live tree. In kRead and kReplica every change answers kReadOnly.
  [[nodiscard]] Volume& volume();
  // The tree at `point` (kLatest: the newest applied record, fixed now). kNoSuchPoint above the newest or below the base.
  // While it lives, the base does not move above it.
  Result<std::shared_ptr<TreeView>> view(Seq point);
  // The same, but it does not hold the base: once that has passed it, every call answers kNoSuchPoint. For whoever cannot know how
  // long a view is kept.
  Result<std::shared_ptr<TreeView>> passing_view(Seq point);
  [[nodiscard]] Seq newest() const;            // newest record the index shows
  [[nodiscard]] Seq base() const;              // oldest seq that can be shown (but see Log::gaps())
  [[nodiscard]] int64_t base_time_ns() const;  // wall time of its record; 0 where nothing was pruned yet

  // What a point written by a person means here. kNoSuchPoint says what can be resolved (newest and oldest, near mark names).
  Result<Seq> resolve(std::string_view point);
  // `point`, if it can be shown.
  Result<Seq> resolve(Seq point) const;

  // Appends a mark record and syncs: durable on return, together with everything before it. kExists, kInvalid.
  Result<Mark> create_mark(const MarkRequest& request);
  Result<Mark> find_mark(std::string_view name);                   // kNoSuchPoint
  Result<std::vector<Mark>> list_marks(MarkId after, size_t max);  // by rising id; none below the base
  Status hold_mark(std::string_view name, bool held);

  // Everything appended so far is durable on return: here, and at every site of a sync pair in duplex. kReadOnly: such a site is
  // lost and its pair fences (Watermarks::may_write). A replica waits for nobody.
  Status sync();
  // Flushes the index to disk, so that a kRead open in another process sees everything up to newest().
  Status checkpoint();
  Result<VolumeSpace> space();

  // Moves the base: what lies below it cannot be restored any more, and what only it needed leaves the disk. Every point from the
  // new base on reads as before. Durable on return. kCorrupt names a record that has to be moved and is damaged: then nothing has
  // changed. kBusy: a view below the new base was opened this moment. kInterrupted: the group is being closed.
  Result<PruneReport> prune(const PruneRequest& request);
  // Writes the base image anew from the index, which has to be sound: for one that is damaged. Durable on return. kInvalid: there is none.
  Status rewrite_base_image();
  void stop_pruning();  // ends a prune that is going on, within moments; none begins afterwards
  [[nodiscard]] const RetentionPolicy& retention() const { return options_.retention; }
  [[nodiscard]] const LogLimit& log_limit() const { return options_.log_limit; }
  [[nodiscard]] std::chrono::seconds scrub_every() const { return options_.scrub_every; }

  // Replica only: takes a run of whole records that follows position(), verified here (header, chain, payload, every block),
  // appended unchanged and applied. Not durable until sync(). kCorrupt and kInvalid leave everything as it was. Where opening found damage
  // (Log::sound()) the run may begin with records that are held: those that are damaged are put back in place. Returns the position of the
  // run's last record.
  // `settled`: records up to here are durable at the source, and are never taken back.
  Result<Position> ingest(Bytes run, Seq settled = kLatest);
  [[nodiscard]] Position position() const;  // of the newest record held

  // What a copy lacks that stands at `from`, a position of this group's history whose successor is no longer held
  // (volume/difference/difference.h). kNotFound, kInvalid. Let go of it before the group is closed.
  Result<std::unique_ptr<DifferenceReader>> read_difference(const Position& from);
  // Replica only: begins to take one. kInvalid: it does not fit.
  Result<std::unique_ptr<DifferenceWriter>> begin_difference(const DifferenceOffer& offer);
  // What was taken, all of it, becomes the newest point. Durable on return. Until then nothing has changed.
  Status finish_difference(DifferenceWriter& taken, const std::optional<std::vector<MarkId>>& held_marks);

  // Replica only: gives up the records above `to`, a position of this copy, durably: its source never had them on its own disk (Log::cut).
  // kBusy: somebody looks at a point above. kInvalid, kDiverged, kLimit: nothing has changed.
  Status cut_tail(const Position& to);
  // Newest record that is durable and that nobody takes back: at a copy, one that is durable at its source as well.
  [[nodiscard]] Seq settled() const;
  // Of a primary: where its log ended when it was opened, this time and before (volume/group/openings.h). Empty: that could not be noted.
  [[nodiscard]] const std::vector<Position>& openings() const { return openings_; }

  // Every file that shows one of `records` at any point: what a damaged record means to people. Reads all of the index.
  Result<std::vector<ShownDamage>> where_shown(const std::vector<Seq>& records);

  // Proof that the index is what the log says: a checksum over every row, independent of RocksDB's layout.
  Result<uint64_t> index_fingerprint();

 private:
  Group(std::string directory, GroupIdentity identity, const GroupOptions& options, OpenMode mode, Opened opened);
  [[nodiscard]] Status read_only() const;
  void remember_successor();
  void remember_opening();

  // group_points.cc: which points can be shown.
  Result<std::shared_ptr<TreeView>> open_view(Seq point, ViewKind kind);
  [[nodiscard]] Status check_point(Seq point) const;
  [[nodiscard]] Status check_gaps(Seq point) const;
  [[nodiscard]] Status check_past(int64_t time_ns) const;
  [[nodiscard]] Status check_time(int64_t time_ns, Seq newest) const;
  [[nodiscard]] Status below_base(const std::string& what) const;
  Result<Seq> seq_at_time(int64_t time_ns);

  // group_replica.cc: what comes from another site.
  Result<Position> take(const VerifiedRun& run, Seq settled);
  Result<Position> take_again(const VerifiedRun& run, Seq settled);

  const std::string directory_;
  const GroupIdentity identity_;
  const GroupOptions options_;
  const OpenMode mode_;
  bool closed_ = false;
  std::shared_ptr<GroupCore> core_;
  const RecoveryReport recovery_;
  std::vector<Position> openings_;
  Seq put_back_to_;  // opening found damage in records up to here: they may come once more
  Watermarks watermarks_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<LiveVolume> volume_;
  std::unique_ptr<Pruner> pruner_;
  mutable Mutex superseded_mutex_;  // a leaf; held while the file is written
  std::optional<Superseded> superseded_ TM_GUARDED_BY(superseded_mutex_);
  bool superseded_saved_ TM_GUARDED_BY(superseded_mutex_) = false;
  std::unique_ptr<TaskPool::Task> flusher_;
};

}  // namespace tidemark
