// Walking over records that lie back to back, in memory or in a segment. The one place that tells a record, damage and the end apart.
#pragma once

#include <optional>
#include <vector>

#include "log/format/record.h"
#include "log/format/segment.h"

namespace tidemark {

// What every record of a walk is held against, beside the check sum of its header.
struct RecordChecks {
  bool order = true;    // it follows the record before: seq, epoch, chain
  bool payload = true;  // sum of the payload, zeros behind it
};

// Not thread-safe.
class RecordWalker {
 public:
  enum class Step {
    kRecord,
    kDamage,  // fault() says what; the next step goes on behind it
    kEnd,
  };

  // Over `run`, which outlives the walker. The first record follows `before` (where the order is checked).
  explicit RecordWalker(Bytes run, const Position& before = {}, RecordChecks checks = {});
  // Over the segment in `window`, which outlives the walker, from byte `at` on.
  RecordWalker(SegmentWindow& window, uint64_t at, const Position& before, RecordChecks checks = {});
  RecordWalker(const RecordWalker&) = delete;
  RecordWalker& operator=(const RecordWalker&) = delete;

  // Moves on to the next record. Behind damage:
  //  - kPayloadDamaged, kWrongOrder: to the record after it, which is to follow it.
  //  - kUnwritten: kEnd where zeros are all that is left, else kHeaderDamaged of the same place.
  //  - kHeaderDamaged: to the next sound header with a seq that may be expected there. Its order is not checked.
  // Fails only where the segment cannot be read.
  Result<Step> next();

  // The record of this step; of damage its header, unless fault() is kUnwritten or kHeaderDamaged. `whole` and `payload` are set where
  // payloads are checked or the records are in memory; those of a segment are valid until its window is read again.
  // location.offset is at(), location.segment is not set.
  [[nodiscard]] const RecordView& record() const { return record_; }
  [[nodiscard]] RecordFault fault() const { return fault_; }
  // Its payload is damaged, whatever fault() is. Known where payloads are checked.
  [[nodiscard]] bool payload_damaged() const { return payload_fault_ != RecordFault::kNone; }
  // The bytes end inside the record: that is the damage.
  [[nodiscard]] bool is_cut_off() const { return cut_off_; }
  [[nodiscard]] uint64_t at() const { return at_; }            // byte where this step's record, damage or end begins
  [[nodiscard]] uint64_t next_at() const { return next_at_; }  // byte from which the next step looks
  // Of the last record taken; at first, what the first one follows.
  [[nodiscard]] const Position& position() const { return position_; }

  // The damage of this step is taken for the record with this header.
  void accept(const RecordHeader& header);
  // Goes on from byte `at`, behind `before`.
  void seek(uint64_t at, const Position& before);
  // Whatever stands next, its order is not checked.
  void unanchor() { anchored_ = false; }
  [[nodiscard]] bool anchored() const { return anchored_; }

 private:
  Result<Step> examine();
  Result<Step> pass_damage();
  Step damaged(RecordFault fault);
  Result<RecordFault> examine_payload();
  Step take();

  std::optional<SegmentWindow> own_;  // where the records are in memory
  SegmentWindow& window_;
  const RecordChecks checks_;
  Step step_ = Step::kEnd;
  uint64_t at_ = 0;
  uint64_t next_at_ = 0;
  Position position_;
  bool anchored_ = true;  // the next record must follow position_
  RecordView record_;
  RecordFault fault_ = RecordFault::kNone;
  RecordFault payload_fault_ = RecordFault::kNone;
  bool cut_off_ = false;
};

// kCorrupt, "record N: FAULT".
Status corrupt_record(Seq seq, RecordFault fault);

// Calls `visit(const RecordView&)`, which returns Status and may end the walk, for every record up to the end. kCorrupt names the seq and
// the fault of damage, also where the bytes end inside a record.
template <class Visit>
Status walk_records(RecordWalker& walker, Visit&& visit) {
  for (;;) {
    TM_ASSIGN(const RecordWalker::Step step, walker.next());
    if (step == RecordWalker::Step::kEnd) return Status();
    if (step == RecordWalker::Step::kDamage) return corrupt_record(walker.position().seq.next(), walker.fault());
    TM_TRY(visit(walker.record()));
  }
}

// The same over a run in memory; `position`, which the first record follows, moves along.
template <class Visit>
Status walk_records(Bytes run, Position& position, Visit&& visit) {
  RecordWalker walker(run, position);
  Status walked = walk_records(walker, visit);
  position = walker.position();
  return walked;
}

// The same over a run whose records were checked already, or are checked by `visit`: headers alone.
template <class Visit>
Status walk_headers(Bytes run, Visit&& visit) {
  RecordWalker walker(run, Position(), {.order = false, .payload = false});
  return walk_records(walker, visit);
}

// One step of such a walk: takes the first record of `run`, which follows `position`; both move along.
Result<RecordView> take_record(Bytes& run, Position& position, RecordChecks checks = {});

// Whole records, one after the other, of which each header, payload and padding was checked and each follows the one before: decoded
// once, for all that is done with them. Nothing else makes one. It lives no longer than the bytes that it was made of.
class VerifiedRun {
 public:
  // kCorrupt names the seq and the fault; a run that ends inside a record is corrupt as well.
  static Result<VerifiedRun> verify(Bytes run, const Position& before);

  [[nodiscard]] const std::vector<RecordView>& records() const { return records_; }
  [[nodiscard]] Bytes bytes() const { return bytes_; }
  [[nodiscard]] bool empty() const { return records_.empty(); }
  [[nodiscard]] const Position& before() const { return before_; }  // what the first record follows
  [[nodiscard]] Position end() const { return empty() ? before_ : records_.back().header.position(); }
  // Its records up to `seq`, and those behind it.
  [[nodiscard]] VerifiedRun up_to(Seq seq) const;
  [[nodiscard]] VerifiedRun behind(Seq seq) const;

 private:
  VerifiedRun(Bytes bytes, const Position& before) : bytes_(bytes), before_(before) {}
  [[nodiscard]] size_t count_up_to(Seq seq) const;

  Bytes bytes_;
  Position before_;
  std::vector<RecordView> records_;
};

}  // namespace tidemark
