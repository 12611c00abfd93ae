// One group at a site, without threads: what a shipper's messages do to it. ReplicaHost runs it on two threads, the simulation
// on none. hello(), begin(), take(), news() and lost() are for one thread at a time; commit() and what only asks for any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "replicator/protocol.h"
#include "replicator/source_record.h"
#include "volume/group.h"

namespace tidemark {

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

  // The answer to HELLO. Where there is none: why, and whether to try again.
  Result<Welcome> hello(const Hello& hello, Retry& retry);
  // kStale: the position has changed since HELLO.
  Status begin(const Position& agreed);
  // A DATA message's body: verified, appended, applied. Not durable yet.
  Result<Position> take(Bytes body);
  // A difference, where the source no longer holds what follows the agreed position. piece(): a DIFFERENCE message's body; the position
  // moves with the last one. What was taken is given up when the session ends, but for what the next one may take up again.
  Result<Accept> offer(const DifferenceOffer& offer);
  Result<Position> piece(Bytes body);
  // Whether a shipper may try again after take() or piece() failed so.
  static Retry retry_after(const Status& status);
  // What was taken so far is durable on return.
  Status commit();
  // Newest seq that may be acknowledged as durable: it is so here, and at every site of ours that waits (sync pairs).
  [[nodiscard]] Seq durable() const;

  // What the source says of the pair; on disk on return.
  Status news(const PairNews& news);
  // The source's connection is gone. `orderly`: it said so.
  Status lost(bool orderly);

 private:
  Status make_replica(const Hello& hello);
  Status check_identity(const Hello& hello) const;
  Status raise_epoch(Epoch epoch);
  void load_record();
  Status save_record(Epoch epoch, const std::optional<SourceRecord>& source);
  void adopt(std::unique_ptr<Group> group);

  const std::string name_;
  const std::string directory_;
  const GroupOptions options_;
  const std::function<void(Group&)> opened_;

  std::unique_ptr<Group> group_;  // set once, before open_group_
  std::unique_ptr<DifferenceWriter> difference_;
  std::atomic<Group*> open_group_{nullptr};
  Epoch highest_;
  Status record_status_;  // why highest_ is not to be trusted

  mutable Mutex mutex_;  // a leaf
  Status open_status_ TM_GUARDED_BY(mutex_);
  std::optional<SourceRecord> source_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
