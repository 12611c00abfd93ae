// One group at a site, without threads: what a shipper's messages do to it. ReplicaHost runs it on two threads, the simulation
// on none. hello(), begin(), take(), news() and lost() are for one thread at a time; commit() and what only asks for any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "replicator/site/heard_note.h"
#include "replicator/site/source_record.h"
#include "replicator/wire/difference_protocol.h"
#include "replicator/wire/protocol.h"
#include "volume/group/group.h"

namespace tidemark {

// A copy may have missed so many takeovers, each of which raises the epoch by one. A claim that goes beyond is a mistake or a lie.
inline constexpr uint64_t kEpochStepMax = 64;

// Who ships, or wants to, and what it may do beside appending.
struct Claimant {
  std::string key;         // proven by the handshake; "" where the site runs without keys: then all peers are one
  bool may_create = true;  // make a copy of a group that is not here yet
  bool may_own = false;    // take the group over from the key that owns it
};

// What a session ships as: said in HELLO, held against the copy at BEGIN and with everything that is taken.
struct Claim {
  Claimant who;
  Epoch epoch;
  Position position;               // of its newest durable record
  std::vector<Position> openings;  // as in HELLO
};

Status no_right_to_create(const std::string& group);

class ReplicaCore {
 public:
  // `opened` is called once the group is open, on the thread that opened it.
  ReplicaCore(std::string name, std::string directory, GroupOptions options, std::function<void(Group&)> opened);
  ReplicaCore(const ReplicaCore&) = delete;
  ReplicaCore& operator=(const ReplicaCore&) = delete;

  // Opens what the directory holds. Before any other call; without it the first HELLO makes the replica.
  Status open_existing();
  Status close();

  // The open group, or null; once not null it stays until close().
  [[nodiscard]] Group* group() const { return open_group_.load(std::memory_order_acquire); }
  // Why there is no group; ok where nobody has tried yet.
  [[nodiscard]] Status open_status() const;
  [[nodiscard]] std::optional<SourceRecord> source() const;

  // The answer to HELLO. Where there is none: why, and whether to try again. Changes nothing but that it makes a copy of a group
  // that is not here yet: whoever is refused disturbs nobody.
  Result<Welcome> hello(const Hello& hello, const Claimant& who, Retry& retry);
  // What a primary whose epoch is over is told before it is refused: which one has taken over. Only after hello() said kStaleEpoch.
  [[nodiscard]] Welcome epoch_news() const;
  // Whether begin() would take this session, and if not, whether to try again. Changes nothing.
  Status check_begin(const Claim& claim, const Position& agreed, Retry& retry) const;
  // From now on this session ships. Its epoch and, of the first one with a key, its key are on disk on return: nothing of a lower epoch
  // is taken any more. Whoever calls has ended the session before it.
  Status begin(const Claim& claim, const Position& agreed);
  // `epoch`: of the session it came in, as are the next two; kStaleEpoch where a higher one is promised by now.
  // A DATA message's body: verified, appended, applied. Not durable yet.
  Result<Position> take(Epoch epoch, Bytes body);
  // A difference, where the source no longer holds what follows the agreed position. piece(): a DIFFERENCE message's body, and its number;
  // kCorrupt where one before it is missing. The position moves with the last one. What was taken is given up when the session ends, but for
  // what the next one may take up again.
  Result<Accept> offer(Epoch epoch, const DifferenceOffer& offer);
  Result<Position> piece(Epoch epoch, uint64_t number, Bytes body);
  // Whether a shipper may try again after take() or piece() failed so.
  static Retry retry_after(const Status& status);
  // The source has told that records up to here are durable there, as far as they were received. From any thread.
  void settle(Seq told, Seq received);
  // What was taken so far is durable on return.
  Status commit();
  // What was acknowledged is never cut, whatever a crash leaves of it: as Log's.
  std::chrono::nanoseconds note_now_and_then();
  // Newest seq that may be acknowledged as durable: it is so here, whole, and at every site of ours that waits (sync pairs).
  [[nodiscard]] Seq durable() const;

  // The highest epoch that was promised to anybody. Of the thread that calls hello() and so on.
  [[nodiscard]] Epoch highest() const { return highest_; }
  // The key that owns the group, "" where none does yet. From any thread.
  [[nodiscard]] std::string owner() const;

  // Bytes of the copy on disk, and of a difference that is being taken; but for the index. Of the thread that calls take() and so on.
  [[nodiscard]] uint64_t bytes() const;

  // The source was heard just now, and record `newest` is durable there; zero: it did not say. Any thread.
  void heard(Seq newest);
  // Its connection is known to be gone, though it may be back in a moment. Any thread.
  void cut_off() { connected_ = false; }
  // Writes down when it was heard, for whoever looks when this process is gone. Not durable. Of one thread.
  Status note_heard();
  // What the source says of the pair; on disk on return.
  Status news(const PairNews& news);
  // The source's connection is gone. `orderly`: it said so.
  Status lost(bool orderly);

 private:
  // What a shipper continues behind: the newest record, or the one before the first that opening found damaged.
  [[nodiscard]] Result<Position> position() const;
  Status make_replica(const Hello& hello);
  Status check_identity(const Hello& hello) const;
  // What can be told from HELLO alone: a stale epoch, another key's group.
  Status check_claim(const Claim& claim) const;
  // Whether the epoch may be raised so: by who fits, has a record of it, and is not too far ahead.
  Status check_raise(const Claim& claim, PositionCase which) const;
  Status check_epoch(Epoch epoch) const;
  // The newest of the claim's openings to which the copy would go back: its source has lost what is above. Zeros: there is none.
  [[nodiscard]] Position cut_to(const Claim& claim) const;
  [[nodiscard]] Epoch known_epoch() const;
  [[nodiscard]] PositionCase compare(const Position& position, const Position& theirs) const;
  void load_record();
  Status save_record(Epoch epoch, const std::string& owner, const std::optional<SourceRecord>& source);
  void adopt(std::unique_ptr<Group> group);

  const std::string name_;
  const std::string directory_;
  const GroupOptions options_;
  const std::function<void(Group&)> opened_;

  std::unique_ptr<Group> group_;  // set once, before open_group_
  std::unique_ptr<DifferenceWriter> difference_;
  uint64_t difference_bytes_ = 0;   // taken of it in this session
  uint64_t difference_pieces_ = 0;  // likewise
  std::atomic<Group*> open_group_{nullptr};
  std::atomic<bool> wants_again_{true};  // damaged records are to be sent again; false: the source no longer holds them
  std::atomic<int64_t> heard_ns_{0};     // as in SourceRecord, as are the next two
  std::atomic<uint64_t> source_newest_{0};
  std::atomic<bool> connected_{false};
  HeardNote heard_note_;
  Epoch highest_;
  Status record_status_;  // why highest_ is not to be trusted

  mutable Mutex mutex_;  // a leaf
  Status open_status_ TM_GUARDED_BY(mutex_);
  std::optional<SourceRecord> source_ TM_GUARDED_BY(mutex_);
  std::string owner_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
