// A log that is appended to. Locks, in the order in which they are taken: append_mutex_, state_mutex_, then the segment set's.
//
// Appenders hold append_mutex_ while they seal and write; whoever makes things durable (one leader at a time) holds neither
// while it syncs. Appending never waits for a sync, except when too many segments are unborn or the log changes its role.
#pragma once

#include <atomic>
#include <deque>
#include <optional>
#include <span>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "log/format/record_walker.h"
#include "log/log.h"
#include "log/repair/recovery.h"
#include "log/write/durable_note.h"
#include "log/write/segment_pool.h"

namespace tidemark {

inline constexpr size_t kAppendMax = 1024;  // drafts in one append
inline constexpr size_t kUnbornMax = 4;     // segments in use whose header is not written yet
inline constexpr uint32_t kSegmentBytesMin = 4096;
inline constexpr uint32_t kSegmentBytesMax = 1u << 30;      // offsets have 32 bits
inline constexpr uint64_t kRoomyBytes = uint64_t{1} << 30;  // beside the reserve; with less, segments are no longer than
inline constexpr uint32_t kTightSegmentBytes = 16u << 20;
inline constexpr int64_t kStepBackMin = 1'000'000'000;          // ns by which the clock has to go back for times to do so
inline constexpr int64_t kStepBackEvery = 10'000'000'000;       // ns between two such steps
inline constexpr uint64_t kReceivedStepBytes = 64u << 10;       // a received segment that a step back ends has this much
inline constexpr uint64_t kWritebackStep = uint64_t{8} << 20;   // so that a sync finds little left to do
inline constexpr uint64_t kSpaceCheckStep = uint64_t{4} << 20;  // appended between two looks at the free space
// A sync that finds less than this much new data is a small one: the next append writes zeros ahead, so that the small syncs
// after it overwrite blocks that exist, which spares each of them the file system's journal commit.
inline constexpr uint64_t kSmallSync = uint64_t{64} << 10;
inline constexpr uint64_t kZeroAhead = uint64_t{1} << 20;
inline constexpr std::chrono::milliseconds kNoteEvery{1'000};  // what is durable is noted, at most so often

class Repacker;

// What may hold records that are still needed below a base: an old pack, or a segment that goes.
struct RetirePart {
  Seq first;
  Seq end;
  uint64_t bytes = 0;  // on the disk: of an adopted segment, with its pack
  std::optional<PackInfo> pack;
};

// Thread-safe, all of it. Failure rule: after a failed write (other than kNoSpace) or any failed sync the log is poisoned:
// append and sync answer kPoisoned until it is opened anew, and durable() never moves again. A kNoSpace on append leaves the
// log as it was.
class LogWriter final : public Log {
 public:
  // An empty log for `group` in the existing empty `directory`. Durable on return.
  static Status create(FileSystem& files, const std::string& directory, const GroupId& group);

  // Opens for appending. `indexed`: records up to here were durable, and the index has what is in them. Damage in what was durable (the log
  // keeps a note of that itself) is never taken for a torn tail. Where the order goes on behind it the record stays, and what is in it is
  // kCorrupt until it is repaired. Where it does not, a received log ends there, and nothing of what is behind is cut: the records are to
  // be sent again. One of our own: kCorrupt, with segment, byte, seq and fault; nothing is changed then.
  static Result<std::unique_ptr<LogWriter>> open(FileSystem& files, Clock& clock, const std::string& directory,
                                                 const LogOptions& options, Seq indexed, RecoveryReport* report);

  ~LogWriter() override;  // syncs and closes

  // Appends in order, as one unit of order (nobody else's records in between), one write. Primary only: gives each record
  // its seq, time, epoch and chain. Not yet durable: sync(). At most 1,024 drafts.
  Result<std::vector<Appended>> append(std::span<const RecordDraft> drafts, Epoch epoch);

  // Appends records that another site numbered, unchanged. kInvalid: the run does not follow tail_position(). Returns where each begins.
  Result<std::vector<Location>> append_verified(const VerifiedRun& run);

  // Records that are held already, as another copy has them. Those that opening found damaged are put back in place, durably. kDiverged:
  // they are not ours.
  Status put_back(const VerifiedRun& run);

  // Durable on return: every record up to and including `upto` (kLatest: all appended). One fdatasync serves all waiters.
  Status sync(Seq upto);

  // Segments before the one that holds record order.base go; the records of them that are still needed move into packs, each
  // verified on the way (kCorrupt: nothing has changed). Durable on return. read() and read_record() of those records go on
  // working, before, during and after. One at a time. After a failure that leaves open which floor the disk has, only opening
  // anew allows another.
  Result<RetireReport> retire(const RetireOrder& order);

  // Of a copy: see settled().
  void settle(Seq upto);
  // A copy gives up the records above `to`, durably: its source has lost them, and never said that they are durable. They are put aside
  // (log/write/aside.h). Nobody looks at them any more, and the index does not know them. kInvalid, kDiverged, kLimit (more than kCutMax): the
  // log is as it was; after any other failure it may be poisoned.
  Status cut(const Position& to);

  // Goes on behind a gap. Everything before it is made durable first; tail_position() is order.to afterwards, durably. Not beside
  // retire(). kInvalid: `to` does not lie ahead. Any other failure before the floor has the gap leaves everything as it was.
  Status cross(const CrossOrder& order);

  // `told` is called whenever the log has come further, on the thread that brought it there: quickly, with locks of the log held, so it may
  // take leaf locks only. One at most; null: none. On return the one before is not called any more.
  void on_progress(std::function<void(LogProgress)> told);

  // For a log without a timer (LogOptions::commit_interval 0) of which others are told what is durable: notes it
  // (log/write/durable_note.h) where that is due, at most once a second. Returns after which time to ask again; 0: what is durable is
  // noted.
  std::chrono::nanoseconds note_now_and_then();

  [[nodiscard]] std::vector<PoolUse> pool() { return pool_->use(); }
  [[nodiscard]] Seq appended() const override { return Seq(appended_.load(std::memory_order_acquire)); }
  [[nodiscard]] Seq durable() const override { return Seq(durable_.load(std::memory_order_acquire)); }
  [[nodiscard]] Seq syncing() const override { return Seq(syncing_.load(std::memory_order_acquire)); }
  [[nodiscard]] Seq settled() const override { return std::min(Seq(settled_.load(std::memory_order_acquire)), appended()); }
  [[nodiscard]] Seq sound() const override;
  [[nodiscard]] Position tail_position() const override;
  [[nodiscard]] Status health() const override;
  bool wait_durable(Seq above, std::chrono::milliseconds timeout) override;

 protected:
  void segment_mended(Seq first_seq) override;

 private:
  LogWriter(std::shared_ptr<SegmentPool> files, Clock& clock, const std::string& directory, const LogOptions& options,
            const Recovered& recovered, const Floor& floor, std::shared_ptr<File> tail);

  // A segment that is not wholly durable yet. The fields after the blank line are guarded by state_mutex_.
  struct Live {
    KnownSegment known;  // `bytes` is not kept up to date here
    SegmentHeader header;
    std::shared_ptr<File> file;
    uint32_t bytes_max = 0;  // where the next one begins

    bool born = false;
    bool complete = false;  // nothing more will be appended
    uint64_t used = kSegmentHeaderSize;
    uint64_t file_bytes = 0;  // zeros written ahead included
  };

  // Where the next record goes. A copy moves along while a batch is written; only a batch that is written whole is committed.
  struct Tail {
    std::shared_ptr<Live> segment;
    uint64_t offset = kSegmentHeaderSize;
    uint64_t file_bytes = 0;
    uint32_t records = 0;     // in this segment
    uint64_t last_point = 0;  // byte of the last index point
    Position position;
    int64_t time_ns = 0;
  };

  // Records sealed and ready to be written: `parts` of a record are its header, payload and padding.
  struct Sealed {
    RecordHeader header;
    std::array<iovec, 3> parts{};
  };

  // What a batch does beside its bytes, committed or undone as a whole.
  struct Batch {
    std::vector<Location> locations;
    std::vector<std::shared_ptr<Live>> made;  // new segments
    std::vector<IndexPoint> points;
    std::vector<Tail> finished;  // tails of the segments the batch filled
    bool touched = false;        // something may have been written behind the old tail
    bool write_failed = false;   // and by other than a lack of space
  };

  struct SyncPlan {
    struct Part {
      std::shared_ptr<Live> segment;
      bool born, complete;
      uint64_t used, file_bytes;
    };
    Position target;
    uint64_t appended_bytes = 0;
    std::vector<Part> parts;
  };

  // writer.cc: appending.
  Result<std::vector<Location>> write_batch(std::span<const Sealed> records) TM_REQUIRES(append_mutex_);
  Status write_records(std::span<const Sealed> records, Tail& tail, Batch& batch) TM_REQUIRES(append_mutex_);
  Status write_stretch(std::span<const Sealed> records, uint64_t bytes, Tail& tail, Batch& batch) TM_REQUIRES(append_mutex_);
  Result<std::shared_ptr<Live>> make_segment(const Tail& previous, uint16_t flags, const Position& before)
      TM_REQUIRES(append_mutex_);
  uint32_t bytes_of_next_segment();
  int64_t time_of_append() TM_REQUIRES(append_mutex_);
  static bool steps_back(const RecordHeader& header, const Tail& tail, uint64_t bytes);
  void move_to(std::shared_ptr<Live> segment, Tail& tail) const TM_REQUIRES(append_mutex_);
  void commit(const Tail& tail, const Batch& batch) TM_REQUIRES(append_mutex_);
  Status undo(const Batch& batch) TM_REQUIRES(append_mutex_);
  Status before_append(bool received, uint64_t bytes, bool removes) TM_REQUIRES(append_mutex_);
  Status take_role(bool received) TM_REQUIRES(append_mutex_);
  Status replace_empty_tail(uint16_t flags) TM_REQUIRES(append_mutex_);
  Status start_born_segment(uint16_t flags) TM_REQUIRES(append_mutex_);
  Result<std::shared_ptr<Live>> write_born_segment(uint16_t flags, const Position& before) TM_REQUIRES(append_mutex_);
  void take_over(const std::shared_ptr<Live>& live) TM_REQUIRES(append_mutex_);
  Status check_space(uint64_t bytes, bool removes) TM_REQUIRES(append_mutex_);
  Status refuse_full(const FileSystemSpace& space) TM_REQUIRES(append_mutex_);
  void start_writeback();

  // sync.cc: durability.
  void lead_sync() TM_REQUIRES(state_mutex_);
  void tell_all() TM_REQUIRES(state_mutex_);
  void tell(LogProgress progress) TM_EXCLUDES(told_mutex_);
  Status make_durable(const SyncPlan& plan);
  Status wait_for_room() TM_REQUIRES(append_mutex_);
  Status poison(const Status& cause) TM_EXCLUDES(state_mutex_);
  void leave_distrust();
  void run_timer();
  // Notes how far the log is durable. Called and left with the mutex held; it is free while the disk works. At most one at a time.
  void note_durable() TM_REQUIRES(state_mutex_);
  void close();
  void cut_zeros();
  // Bytes behind the tail that must not be cut: records that were durable once.
  [[nodiscard]] bool keeps_rest(const Tail& tail) const { return tail.position.seq < lost_to_; }

  // cut.cc: giving up the newest records of a copy.
  Status check_cut(const Position& to) TM_REQUIRES(append_mutex_);
  Result<std::string> read_tail(const Position& to);
  Status lower_note(const Position& to);
  Result<std::shared_ptr<File>> shorten(Seq kept, std::string_view content) TM_REQUIRES(append_mutex_);

  // retire.cc: letting old segments go; cross.cc: leaving a gap. One thread at a time.
  Result<KnownSegment> check_order(const RetireOrder& order);
  Status commit_floor(const Floor& old, const Floor& now);
  Result<std::vector<Position>> positions_to_keep(const RetireOrder& order, Seq held_from);
  [[nodiscard]] std::vector<RetirePart> parts_below(Seq kept, const Floor& old) const;
  // How many parts, and how many bytes of packs there is room for.
  struct RetireStep {
    size_t parts = 0;
    uint64_t room = 0;
  };
  Result<RetireStep> step_of(std::span<const RetirePart> parts);
  Status retire_step(const RetireOrder& order, Seq kept, std::span<const RetirePart> parts, uint64_t room,
                     std::span<const RetirePart> later, Floor next, Repacker& repacker, RetireReport& report);
  void release(const Floor& old, const Floor& now);
  void clear_away(const Floor& old, const Floor& now, std::span<const RetirePart> going);

  const std::shared_ptr<SegmentPool> pool_;
  FileSystem& files_;  // the same
  Clock& clock_;
  const std::string directory_;
  const LogOptions options_;
  const Seq lost_to_;  // records up to here were durable once, and are to be sent again; zeros: none

  mutable Mutex append_mutex_;
  Tail tail_ TM_GUARDED_BY(append_mutex_);
  uint64_t space_credit_ TM_GUARDED_BY(append_mutex_) = 0;  // bytes that may be appended before the next look
  bool full_ TM_GUARDED_BY(append_mutex_) = false;          // the disk was, when it was looked at last

  mutable Mutex state_mutex_;
  CondVar changed_;  // durable_, poison_, leading_ or closing_: for whoever waits for a sync
  CondVar timer_wake_;
  // Until somebody appends; else the timer looks again by itself before long.
  bool timer_sleeps_ TM_GUARDED_BY(state_mutex_) = false;
  std::chrono::steady_clock::time_point unsynced_since_ TM_GUARDED_BY(state_mutex_);  // nothing unsynced is older
  std::deque<std::shared_ptr<Live>> live_ TM_GUARDED_BY(state_mutex_);  // the first is born, the others are not
  Position tail_position_ TM_GUARDED_BY(state_mutex_);
  Position durable_position_ TM_GUARDED_BY(state_mutex_);
  std::map<Seq, Location> damaged_ TM_GUARDED_BY(state_mutex_);  // as opening found them, and nobody has put right since
  DurableNote note_;                                             // of whoever notes
  bool noting_ TM_GUARDED_BY(state_mutex_) = false;
  Seq noted_ TM_GUARDED_BY(state_mutex_);
  std::chrono::steady_clock::time_point next_note_ TM_GUARDED_BY(state_mutex_);
  Status poison_ TM_GUARDED_BY(state_mutex_);
  bool leading_ TM_GUARDED_BY(state_mutex_) = false;
  bool closing_ TM_GUARDED_BY(state_mutex_) = false;
  uint64_t appended_bytes_ TM_GUARDED_BY(state_mutex_) = 0;  // since the log was opened
  uint64_t synced_bytes_ TM_GUARDED_BY(state_mutex_) = 0;
  struct Stretch {
    std::shared_ptr<File> file;
    uint64_t from = 0, to = 0;
  };
  Stretch unwritten_ TM_GUARDED_BY(state_mutex_);  // appended, and writeback not started

  Mutex told_mutex_;  // a leaf but for what on_progress() was given; held while that is called
  std::function<void(LogProgress)> told_ TM_GUARDED_BY(told_mutex_);

  int64_t stepped_at_ TM_GUARDED_BY(append_mutex_) = 0;  // by the steady clock, when times last went back
  Status retire_failed_;                                 // of whoever calls retire() or cross()

  std::atomic<uint64_t> appended_;
  std::atomic<uint64_t> syncing_;
  std::atomic<uint64_t> durable_;
  std::atomic<uint64_t> settled_{0};
  std::atomic<bool> small_syncs_{false};
  std::atomic<bool> poisoned_{false};
  std::thread timer_;
};

}  // namespace tidemark
