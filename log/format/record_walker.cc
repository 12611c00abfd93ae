#include "log/format/record_walker.h"

#include <algorithm>

namespace tidemark {

RecordWalker::RecordWalker(Bytes run, const Position& before, RecordChecks checks)
    : own_(std::in_place, run), window_(*own_), checks_(checks), position_(before) {}

RecordWalker::RecordWalker(SegmentWindow& window, uint64_t at, const Position& before, RecordChecks checks)
    : window_(window), checks_(checks), at_(at), next_at_(at), position_(before) {}

Result<RecordWalker::Step> RecordWalker::next() {
  if (step_ == Step::kDamage) return pass_damage();
  at_ = next_at_;
  return examine();
}

RecordWalker::Step RecordWalker::damaged(RecordFault fault) {
  fault_ = fault;
  return step_ = Step::kDamage;
}

RecordWalker::Step RecordWalker::take() {
  position_ = record_.header.position();
  anchored_ = true;
  next_at_ = std::min(at_ + record_.header.size_in_log(), window_.end());
  return step_ = Step::kRecord;
}

Result<RecordWalker::Step> RecordWalker::examine() {
  record_ = RecordView();
  record_.location.offset = static_cast<uint32_t>(at_);
  fault_ = payload_fault_ = RecordFault::kNone;
  cut_off_ = false;
  if (at_ >= window_.end()) return step_ = Step::kEnd;
  TM_ASSIGN(const Bytes head, window_.view(at_, kRecordHeaderSize));
  cut_off_ = head.size() < kRecordHeaderSize;
  if (cut_off_) return damaged(all_zero(head) ? RecordFault::kUnwritten : RecordFault::kHeaderDamaged);
  if (const RecordFault fault = decode_header(head, record_.header); fault != RecordFault::kNone) return damaged(fault);
  const bool follows = !checks_.order || !anchored_ || check_follows(record_.header, head, position_) == RecordFault::kNone;
  TM_ASSIGN(payload_fault_, examine_payload());
  if (!follows) {
    cut_off_ = false;  // that is not what is wrong with it
    return damaged(RecordFault::kWrongOrder);
  }
  return payload_damaged() ? damaged(payload_fault_) : take();
}

// All of a record whose header is sound.
Result<RecordFault> RecordWalker::examine_payload() {
  const uint32_t size = record_.header.size_in_log();
  cut_off_ = window_.end() - at_ < size;
  if (cut_off_) return RecordFault::kPayloadDamaged;
  if (!checks_.payload && !window_.in_memory()) return RecordFault::kNone;
  TM_ASSIGN(record_.whole, window_.view(at_, size));
  cut_off_ = record_.whole.size() < size;
  if (cut_off_) return RecordFault::kPayloadDamaged;
  record_.payload = record_.whole.subspan(kRecordHeaderSize, record_.header.stored_length);
  if (!checks_.payload) return RecordFault::kNone;
  // The padding is not summed, but it travels and is stored: it must be what the format says, or copies would differ.
  if (!all_zero(record_.whole.subspan(kRecordHeaderSize + record_.header.stored_length)))
    return RecordFault::kPayloadDamaged;
  return check_payload(record_.header, record_.payload);
}

Result<RecordWalker::Step> RecordWalker::pass_damage() {
  switch (fault_) {
    case RecordFault::kUnwritten: {
      TM_ASSIGN(const uint64_t something, skip_zeros(window_, at_));
      if (something < window_.end()) return damaged(RecordFault::kHeaderDamaged);
      next_at_ = window_.end();
      return step_ = Step::kEnd;
    }
    case RecordFault::kHeaderDamaged: {
      const Seq least = position_.seq.next();
      const Seq most(least.value() + (window_.end() - at_) / kRecordHeaderSize + 1);
      TM_ASSIGN(const auto found, find_header(window_, at_ + kRecordAlignment, least, most));
      anchored_ = false;
      at_ = next_at_ = found ? found->at : window_.end();
      return examine();
    }
    case RecordFault::kWrongOrder:
    case RecordFault::kPayloadDamaged:
    case RecordFault::kNone:
    case RecordFault::kForged: break;
  }
  take();
  at_ = next_at_;
  return examine();
}

void RecordWalker::accept(const RecordHeader& header) {
  CHECK_INVARIANT(step_ == Step::kDamage);
  record_.header = header;
  take();
}

void RecordWalker::seek(uint64_t at, const Position& before) {
  next_at_ = at;
  position_ = before;
  anchored_ = true;
  step_ = Step::kRecord;
}

Status corrupt_record(Seq seq, RecordFault fault) {
  return Status(Code::kCorrupt, "record " + std::to_string(seq.value()) + ": " + std::string(record_fault_name(fault)));
}

Result<RecordView> take_record(Bytes& run, Position& position, RecordChecks checks) {
  RecordWalker walker(run, position, checks);
  TM_ASSIGN(const RecordWalker::Step step, walker.next());
  if (step != RecordWalker::Step::kRecord) {
    const RecordFault fault = step == RecordWalker::Step::kEnd ? RecordFault::kHeaderDamaged : walker.fault();
    return corrupt_record(position.seq.next(), fault);
  }
  run = run.subspan(static_cast<size_t>(walker.next_at()));
  position = walker.position();
  return walker.record();
}

Result<VerifiedRun> VerifiedRun::verify(Bytes run, const Position& before) {
  VerifiedRun verified(run, before);
  RecordWalker walker(run, before);
  TM_TRY(walk_records(walker, [&](const RecordView& record) {
    verified.records_.push_back(record);
    return Status();
  }));
  return verified;
}

size_t VerifiedRun::count_up_to(Seq seq) const {
  const auto behind = std::upper_bound(records_.begin(), records_.end(), seq,
                                       [](Seq wanted, const RecordView& record) { return wanted < record.header.seq; });
  return static_cast<size_t>(behind - records_.begin());
}

VerifiedRun VerifiedRun::up_to(Seq seq) const {
  const size_t count = count_up_to(seq);
  const size_t bytes =
      count == records_.size() ? bytes_.size() : static_cast<size_t>(records_[count].whole.data() - bytes_.data());
  VerifiedRun part(bytes_.first(bytes), before_);
  part.records_.assign(records_.begin(), records_.begin() + static_cast<ptrdiff_t>(count));
  return part;
}

VerifiedRun VerifiedRun::behind(Seq seq) const {
  const VerifiedRun kept = up_to(seq);
  VerifiedRun part(bytes_.subspan(kept.bytes_.size()), kept.end());
  part.records_.assign(records_.begin() + static_cast<ptrdiff_t>(kept.records_.size()), records_.end());
  return part;
}

}  // namespace tidemark
