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
  virtual ~Group() = default;
  // Syncs the log and flushes the index; nothing may be changed afterwards. The destructor does the same but cannot report. The
  // directory is free for others once the Group and the last of its views are gone.
  virtual Status close() = 0;

  [[nodiscard]] virtual const std::string& directory() const = 0;
  [[nodiscard]] virtual const GroupIdentity& identity() const = 0;
  [[nodiscard]] virtual const RecoveryReport& recovery() const = 0;
  [[nodiscard]] virtual Log& log() = 0;
  [[nodiscard]] virtual Watermarks& watermarks() = 0;

  // Primary only: it has a successor. From the call on every change and every sync answers kReadOnly, here and after every restart.
  // An error: that could not be saved; it holds as long as this process lives, and the next call tries again.
  virtual Status supersede(const Superseded& by) = 0;
  [[nodiscard]] virtual std::optional<Superseded> superseded() const = 0;

  // Whether a change would be taken now, as far as can be told without waiting for anybody: kPoisoned (the log or the index has failed),
  // kReadOnly (it has a successor, or a pair fences), kNoSpace (the disk is full). Of a replica: a run from its source. In kRead: ok.
  virtual Status takes_changes() = 0;

  // The live tree. In kRead and kReplica every change answers kReadOnly.
  [[nodiscard]] virtual Volume& volume() = 0;
  // The tree at `point` (kLatest: the newest applied record, fixed now). kNoSuchPoint above the newest or below the base.
  // While it lives, the base does not move above it.
  virtual Result<std::shared_ptr<TreeView>> view(Seq point) = 0;
  // The same, but it does not hold the base: once that has passed it, every call answers kNoSuchPoint. For whoever cannot know how
  // long a view is kept.
  virtual Result<std::shared_ptr<TreeView>> passing_view(Seq point) = 0;
  [[nodiscard]] virtual Seq newest() const = 0;            // newest record the index shows
  [[nodiscard]] virtual Seq base() const = 0;              // oldest seq that can be shown (but see Log::gaps())
  [[nodiscard]] virtual int64_t base_time_ns() const = 0;  // wall time of its record; 0 where nothing was pruned yet

  // What a point written by a person means here. kNoSuchPoint says what can be resolved (newest and oldest, near mark names).
  virtual Result<Seq> resolve(std::string_view point) = 0;

  // Appends a mark record and syncs: durable on return, together with everything before it. kExists, kInvalid.
  virtual Result<Mark> create_mark(const MarkRequest& request) = 0;
  virtual Result<Mark> find_mark(std::string_view name) = 0;                   // kNoSuchPoint
  virtual Result<std::vector<Mark>> list_marks(MarkId after, size_t max) = 0;  // by rising id; none below the base
  virtual Status hold_mark(std::string_view name, bool held) = 0;

  // Everything appended so far is durable on return: here, and at every site of a sync pair in duplex. kReadOnly: such a site is
  // lost and its pair fences (Watermarks::may_write). A replica waits for nobody.
  virtual Status sync() = 0;
  // Flushes the index to disk, so that a kRead open in another process sees everything up to newest().
  virtual Status checkpoint() = 0;
  virtual Result<VolumeSpace> space() = 0;

  // Moves the base: what lies below it cannot be restored any more, and what only it needed leaves the disk. Every point from the
  // new base on reads as before. Durable on return. kCorrupt names a record that has to be moved and is damaged: then nothing has
  // changed. kBusy: a view below the new base was opened this moment. kInterrupted: the group is being closed.
  virtual Result<PruneReport> prune(const PruneRequest& request) = 0;
  // Writes the base image anew from the index, which has to be sound: for one that is damaged. Durable on return. kInvalid: there is none.
  virtual Status rewrite_base_image() = 0;
  virtual void stop_pruning() = 0;  // ends a prune that is going on, within moments; none begins afterwards
  [[nodiscard]] virtual const RetentionPolicy& retention() const = 0;  // of the options
  [[nodiscard]] virtual const LogLimit& log_limit() const = 0;         // likewise
  [[nodiscard]] virtual std::chrono::seconds scrub_every() const = 0;  // likewise

  // Replica only: takes a run of whole records that follows position(), verified here (header, chain, payload, every block),
  // appended unchanged and applied. Not durable until sync(). kCorrupt and kInvalid leave everything as it was. Where opening found damage
  // (Log::sound()) the run may begin with records that are held: those that are damaged are put back in place. Returns the position of the
  // run's last record.
  // `settled`: records up to here are durable at the source, and are never taken back.
  virtual Result<Position> ingest(Bytes run, Seq settled = kLatest) = 0;
  [[nodiscard]] virtual Position position() const = 0;  // of the newest record held

  // What a copy lacks that stands at `from`, a position of this group's history whose successor is no longer held
  // (volume/difference/difference.h). kNotFound, kInvalid. Let go of it before the group is closed.
  virtual Result<std::unique_ptr<DifferenceReader>> read_difference(const Position& from) = 0;
  // Replica only: begins to take one. kInvalid: it does not fit.
  virtual Result<std::unique_ptr<DifferenceWriter>> begin_difference(const DifferenceOffer& offer) = 0;
  // What was taken, all of it, becomes the newest point. Durable on return. Until then nothing has changed.
  virtual Status finish_difference(DifferenceWriter& taken, const std::optional<std::vector<MarkId>>& held_marks) = 0;

  // Replica only: gives up the records above `to`, a position of this copy, durably: its source never had them on its own disk (Log::cut).
  // kBusy: somebody looks at a point above. kInvalid, kDiverged, kLimit: nothing has changed.
  virtual Status cut_tail(const Position& to) = 0;
  // Newest record that is durable and that nobody takes back: at a copy, one that is durable at its source as well.
  [[nodiscard]] virtual Seq settled() const = 0;
  // Of a primary: where its log ended when it was opened, this time and before (volume/group/openings.h). Empty: that could not be noted.
  [[nodiscard]] virtual const std::vector<Position>& openings() const = 0;

  // Every file that shows one of `records` at any point: what a damaged record means to people. Reads all of the index.
  virtual Result<std::vector<ShownDamage>> where_shown(const std::vector<Seq>& records) = 0;

  // Proof that the index is what the log says: a checksum over every row, independent of RocksDB's layout.
  virtual Result<uint64_t> index_fingerprint() = 0;
};

}  // namespace tidemark
