// The log of one group on this site: segments, append, group commit, tailing, recovery.
//
// A segment is a file NNNNNNNNNNNNNNNNNNNN.seg (20 digits, its first seq) of at most about 64 MiB: a 64-byte segment header,
// then records back to back. A segment whose header is missing was never born: its header is written only when every
// segment before it is durable, so a torn tail can only be at the end of the last segment.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "log/format/body.h"
#include "log/format/floor.h"
#include "log/format/record.h"
#include "log/read/record_source.h"

namespace tidemark {

// A directory that segments may go to where the log's own has no room (log/write/segment_pool).
struct PoolDirectory {
  std::string path;        // absolute
  uint64_t bytes_max = 0;  // of this log's segments there; 0: as many as there is room for
  bool operator==(const PoolDirectory&) const = default;
};
struct PoolUse {
  std::string path;
  uint64_t bytes_max = 0;
  uint64_t segments = 0;   // of this log
  uint64_t available = 0;  // bytes that it may still take
  bool in_use = false;     // the newest segment lies there
};

struct LogOptions {
  uint32_t segment_bytes = 64u << 20;
  // Whatever was appended is durable this much later without anybody asking; 0: only sync() makes durable.
  std::chrono::milliseconds commit_interval{100};
  // Appends are refused with kNoSpace when the disk has less than this free: recovery and the index need room to work. Records
  // that only remove something may use half of it.
  uint64_t reserve_bytes = 64u << 20;
  // Taken into use in this order where the log's own directory has no room for another segment beside the reserve, or holds
  // `own_bytes_max` of them (0: however many). `pool_owner`: the group's id, in the names of the files there.
  std::vector<PoolDirectory> pool;
  uint64_t own_bytes_max = 0;
  std::string pool_owner;
};

// What open() found and did.
struct RecoveryReport {
  Seq last_seq;
  uint64_t torn_bytes = 0;       // cut from the end; 0: the log ended cleanly
  uint64_t unborn_segments = 0;  // removed: they followed a segment that never became durable
  std::string text;              // one line for the operator; "" when there is nothing to say
  bool alarm = false;            // what was durable is damaged: text says what became of it
  Status damage;                 // where a damaged group was opened for salvage: why it does not open otherwise
};

struct Appended {
  RecordHeader header;
  Location location;
};

struct SegmentInfo {
  Seq first_seq;
  uint64_t bytes = 0;         // used, header included
  int64_t first_time_ns = 0;  // of its first record; 0 when it has none
};

// Which records of old segments are still needed: sorted offsets by segment. Complete for segments from the first one asked for up
// to (not including) `end`, which may lie before the one asked for: so memory stays bounded however much there is.
struct LiveWindow {
  std::map<uint64_t, std::vector<uint32_t>> offsets;
  uint64_t end = UINT64_MAX;
};

// Moving the floor up to `base`, which is above the present one and durable; or the present one, where an earlier prune has left segments
// below it (Floor::held_from). Where the disk has not the room for all that moves, this happens in steps, each of which is durable
// and frees what it can before the next: the base has moved with the first. An error after that says so, and what is left is
// made up for by the next order.
struct RetireOrder {
  Seq base;
  std::function<Result<LiveWindow>(uint64_t from_segment, uint64_t end_segment)> live;
  // Where copies elsewhere may end: positions in these ranges (both ends included) stay known though the records go. At most
  // kKnownMax of them, the likeliest ones (log/write/likeliest.h).
  std::vector<std::pair<Seq, Seq>> standing;
  uint64_t bytes_per_second = 0;            // of records copied; 0: as fast as the disk
  const std::atomic<bool>* stop = nullptr;  // set by another thread: give up (kInterrupted)
};
struct RetireReport {
  size_t steps = 0;            // one, where the disk has room
  size_t segments = 0;         // that went
  uint64_t segment_bytes = 0;  // in them
  size_t adopted = 0;          // of them: they stay where they are, and what is not needed of them goes
  uint64_t packs_written = 0;
  uint64_t bytes_written = 0;  // of packs
};

// In what a log has come further: a sync of more has begun, or more is durable or settled.
enum class LogProgress { kSyncing, kDurable };

// At most so many bytes of records are cut: more than a source can have on the way.
inline constexpr size_t kCutMax = size_t{64} << 20;

// Leaving a gap: the log goes on behind record `to`, whose predecessors were not received (Gap in log/format/floor.h).
struct CrossOrder {
  Position to;
  int64_t time_ns = 0;          // of record to.seq
  std::vector<PackInfo> packs;  // what is needed of those before it; in the log's directory, durable
  bool is_base = false;         // `to` becomes the base: nothing older can be shown
};

// What is checked, and repaired, by itself: a segment or a pack.
struct LogPart {
  Seq segment;                   // first seq of the segment …
  std::optional<PackInfo> pack;  // … where it is no pack
};
std::string part_name(const LogPart& part);  // of its file

// A damaged place.
struct LogDamage {
  std::string segment;  // file name
  uint64_t offset = 0;  // byte in it
  Seq seq;              // of the damaged record; 0 where it cannot be told
  Ino ino;              // likewise
  RecordFault fault = RecordFault::kNone;
};

// Thread-safe, all of it. Failure rule: after a failed write (other than kNoSpace) or any failed sync the log is poisoned:
// append and sync answer kPoisoned until it is opened anew, and durable() never moves again. A kNoSpace on append leaves the
// log as it was.
class Log {
 public:
  // An empty log for `group` in the existing empty `directory`. Durable on return.
  static Status create(FileSystem& files, const std::string& directory, const GroupId& group);

  // Opens for appending. `indexed`: records up to here were durable, and the index has what is in them. Damage in what was durable (the log
  // keeps a note of that itself) is never taken for a torn tail. Where the order goes on behind it the record stays, and what is in it is
  // kCorrupt until it is repaired. Where it does not, a received log ends there, and nothing of what is behind is cut: the records are to
  // be sent again. One of our own: kCorrupt, with segment, byte, seq and fault; nothing is changed then.
  static Result<std::unique_ptr<Log>> open(FileSystem& files, Clock& clock, const std::string& directory,
                                           const LogOptions& options, Seq indexed, RecoveryReport* report);

  // Opens what another process may be appending to, for reading records up to and including `last` (which must be durable).
  // append, append_verified and sync answer kReadOnly.
  static Result<std::unique_ptr<Log>> open_read_only(FileSystem& files, const std::string& directory, Seq last);

  // Opens for reading what open() and open_read_only() refuse because something in it is damaged. Every segment that is there
  // can be read; what is damaged stays kCorrupt where it is met. The log ends with record `known` (of the index; zeros: none)
  // or, where sound records follow it in unbroken order, with the last of those. Nothing is changed.
  static Result<std::unique_ptr<Log>> open_damaged(FileSystem& files, const std::string& directory, const Position& known);

  virtual ~Log() = default;  // syncs and closes

  // Appends in order, as one unit of order (nobody else's records in between), one write. Primary only: gives each record
  // its seq, time, epoch and chain. Not yet durable: sync(). At most 1,024 drafts.
  virtual Result<std::vector<Appended>> append(std::span<const RecordDraft> drafts, Epoch epoch) = 0;

  // Appends records that another site numbered, unchanged: a run of whole records that follows tail_position(), each checked
  // by the caller with walk_records(). kInvalid if the run does not follow. Returns where each begins.
  virtual Result<std::vector<Location>> append_verified(Bytes run) = 0;

  // Records up to here are whole, as far as opening has seen; appended() where it has found no damage. Of what a site sends again, the
  // first record to be sent is the one behind it.
  [[nodiscard]] virtual Seq sound() const { return appended(); }
  // Records that are held already, as another copy has them: a run of whole ones, each checked by the caller with walk_records() from
  // position_at() of the one before on. Those that opening found damaged are put back in place, durably. kDiverged: they are not ours.
  virtual Status put_back(Bytes /*run*/) { return Status(); }

  // Durable on return: every record up to and including `upto` (kLatest: all appended). One fdatasync serves all waiters.
  virtual Status sync(Seq upto) = 0;

  [[nodiscard]] virtual Seq appended() const = 0;
  [[nodiscard]] virtual Seq durable() const = 0;
  [[nodiscard]] virtual Seq first() const = 0;               // oldest record held; appended()+1 when there is none
  [[nodiscard]] virtual Position tail_position() const = 0;  // of the newest record; zeros when there is none
  [[nodiscard]] virtual Status health() const = 0;           // ok, or why the log is poisoned
  [[nodiscard]] virtual const GroupId& group() const = 0;
  [[nodiscard]] virtual std::vector<SegmentInfo> segments() const = 0;
  // Bytes of all segments: the history. What older records live on takes pack_bytes() more.
  [[nodiscard]] virtual uint64_t bytes() const = 0;
  [[nodiscard]] virtual uint64_t pack_bytes() const = 0;
  [[nodiscard]] virtual Floor floor() const = 0;                    // zeros where nothing was pruned yet
  [[nodiscard]] virtual Seq base() const = 0;                       // floor().base.seq
  [[nodiscard]] virtual std::vector<Gap> gaps() const = 0;          // floor().gaps
  [[nodiscard]] virtual std::vector<PoolUse> pool() { return {}; }  // of a log that is appended to

  // Segments before the one that holds record order.base go; the records of them that are still needed move into packs, each
  // verified on the way (kCorrupt: nothing has changed). Durable on return. read() and read_record() of those records go on
  // working, before, during and after. One at a time. After a failure that leaves open which floor the disk has, only opening
  // anew allows another.
  virtual Result<RetireReport> retire(const RetireOrder& order) = 0;

  // Of a copy: its source has told that these records are durable there, so nobody may take them back. Known again after opening, but
  // for the last second. A source's own records are settled once they are durable.
  [[nodiscard]] virtual Seq settled() const { return durable(); }
  virtual void settle(Seq /*upto*/) {}
  // A copy gives up the records above `to`, durably: its source has lost them, and never said that they are durable. They are put aside
  // (log/write/aside.h). Nobody looks at them any more, and the index does not know them. kInvalid, kDiverged, kLimit (more than kCutMax): the
  // log is as it was; after any other failure it may be poisoned.
  virtual Status cut(const Position& /*to*/) { return Status(Code::kReadOnly, "the log is open for reading only"); }

  // Goes on behind a gap. Everything before it is made durable first; tail_position() is order.to afterwards, durably. Not beside
  // retire(). kInvalid: `to` does not lie ahead. Any other failure before the floor has the gap leaves everything as it was.
  virtual Status cross(const CrossOrder& order) = 0;

  // The newest record that a sync has begun for: it is durable, or will be in a moment, unless that fails.
  [[nodiscard]] virtual Seq syncing() const { return durable(); }
  // `told` is called whenever the log has come further, on the thread that brought it there: quickly, with locks of the log held, so it may
  // take leaf locks only. One at most; null: none. On return the one before is not called any more.
  virtual void on_progress(std::function<void(LogProgress)> /*told*/) {}  // NOLINT(performance-unnecessary-value-param)

  // Waits until durable() > above, the log is poisoned or closed, or the time is over. True if there is something new.
  virtual bool wait_durable(Seq above, std::chrono::milliseconds timeout) = 0;

  // For a log without a timer (LogOptions::commit_interval 0) of which others are told what is durable: notes it
  // (log/write/durable_note.h) where that is due, at most once a second. Returns after which time to ask again; 0: what is durable is
  // noted.
  virtual std::chrono::nanoseconds note_now_and_then() = 0;

  // Bytes of a record's stored form, from `location` + `skip` on; checks nothing. kNotFound if the record is gone with its
  // segment; in a log that another process prunes, kNoSuchPoint says so. Reads past the end of the segment are kCorrupt.
  virtual Status read(const Location& location, uint32_t skip, MutableBytes out) = 0;

  // A hint that read() will be asked for these bytes soon: fetching them begins, so that two reads of one record wait once.
  virtual void prefetch(const Location& location, uint32_t skip, uint32_t size) = 0;

  // Records of pruned segments that are still needed, from `from` on, in order: at least one, at most about `bytes_max`; empty where
  // there is none. Each is sound. kCorrupt where the first one is not.
  virtual Result<std::string> read_packed(Seq from, size_t bytes_max) = 0;

  // kCorrupt, naming where `what` was found: segment or pack, byte and seq.
  virtual Status damaged_at(const Location& location, Seq seq, std::string_view what) = 0;

  // Reads, checks (header and payload sums) and returns the record; `storage` keeps its bytes.
  virtual Result<RecordView> read_record(const Location& location, Buffer& storage) = 0;

  // The position (epoch, seq, chain) of record `seq`; zeros for seq 0. kNotFound where it is neither held nor remembered.
  virtual Result<Position> position_at(Seq seq) = 0;

  // Wall time of record `seq`, which must be held or the base.
  virtual Result<int64_t> time_of(Seq seq) = 0;

  // The newest seq whose time is at most `time_ns`; 0 if all are younger. Where the clock was set back: LOG_FORMAT.md, Times.
  virtual Result<Seq> seq_at_time(int64_t time_ns) = 0;

  // Where damaged records are fetched from when somebody comes upon them, in this order, until all is put right; none (as at first):
  // nowhere. On return the sources before are not asked any more.
  virtual void set_record_sources(std::vector<std::shared_ptr<RecordSource>> sources) = 0;
  void set_record_source(std::shared_ptr<RecordSource> source) {
    set_record_sources(source == nullptr ? std::vector<std::shared_ptr<RecordSource>>() : std::vector{std::move(source)});
  }
  // Puts right what is damaged in the segment of `location`, as far as the sources have it, and logs that. ok: something was put
  // right, so reading again is worth while. A segment that could not be repaired is not tried again for some seconds.
  virtual Status mend(const Location& location) = 0;

  // Reads one part and checks every byte of it, of a segment records up to `last` (durable). `from_disk`: what memory holds of it does not
  // count, and is not kept. Goes on after damage, of which at most 1,000 places are told; kForged is told of the whole part. `advance`
  // hears of what was read; what it returns, unless ok, ends it. kNotFound: the part is gone.
  virtual Result<std::vector<LogDamage>> check(const LogPart& part, Seq last, bool from_disk,
                                               const std::function<Status(uint64_t bytes)>& advance) = 0;
  // As mend().
  virtual Status mend_part(const LogPart& part) = 0;
  // A part that is sealed (all of it durable, nothing more will be appended) and sound gets its digest by check(), which holds it against
  // that from then on. The first one that has none and is `wanted` (which calls nothing of the log); nothing where there is no such part.
  [[nodiscard]] virtual std::optional<LogPart> undigested(const std::function<bool(const LogPart&)>& wanted) = 0;
  // The newest segment that has one; 0: none.
  virtual Seq newest_digest() = 0;
};

// Reads a log forward from a seq, for shipping, indexing and listing. Not thread-safe; several cursors may be open, and the
// log may grow meanwhile. Checks every header and the chain between records; payload sums where asked.
class LogCursor {
 public:
  // Stands before record `next`. The log must outlive it.
  LogCursor(Log& log, Seq next, bool check_payloads = true);
  ~LogCursor();
  LogCursor(LogCursor&&) noexcept;
  LogCursor& operator=(LogCursor&&) noexcept;

  // A run of whole records as they lie in the log: at least one, then as many as fit in `bytes_max`, none above `last`
  // (which must not be above appended()). Empty: next() > last. Valid until the next call. kNotFound: no longer held.
  struct Run {
    Bytes bytes;
    Seq first;
    Seq last;
    Location location;  // of the first; the others follow in the same segment
  };
  Result<Run> read(size_t bytes_max, Seq last);
  // From now on what is damaged is kCorrupt, and nobody is asked for it: for whoever reads on behalf of another copy.
  void leave_damage();
  [[nodiscard]] Seq next() const;
  // Position of record next()-1, valid once the cursor has read or seeked; what the next run follows.
  Result<Position> position();

 private:
  struct State;
  Result<Run> read_once(size_t bytes_max, Seq last);
  std::unique_ptr<State> state_;
};

// The stretches of records that a log holds, from `from` on, rising: between them are gaps.
struct HeldStretch {
  Seq first;
  Seq last;
};
std::vector<HeldStretch> held_stretches(const Log& log, Seq from);

// Reads and checks every byte of a log directory, going on after damage where it can. Neither needs nor takes the log's lock:
// the newest records of a log in use may be missed, so give `last` (kLatest: to the end).
struct LogVerdict {
  uint64_t records = 0;
  uint64_t bytes = 0;
  Position end;                   // of the last good record in unbroken order
  std::vector<LogDamage> damage;  // at most 10,000
};
Result<LogVerdict> verify_log(FileSystem& files, const std::string& directory, Seq last,
                              const std::function<void(uint64_t bytes_done, uint64_t bytes_total)>& progress);

}  // namespace tidemark
