// The half of a pair that sends a difference, where the log no longer has what the site needs next.
#include <algorithm>

#include "base/logging.h"
#include "replicator/pair_core.h"

namespace tidemark {

bool PairCore::held(Seq seq) const {
  const Log& log = group_.log();
  const std::vector<Gap> gaps = log.gaps();
  return seq >= log.first() && std::none_of(gaps.begin(), gaps.end(), [&](const Gap& gap) { return gap.covers(seq); });
}

Status PairCore::offer_difference() {
  Position from;
  if (sent_ != Seq()) {
    TM_ASSIGN(from, group_.log().position_at(sent_));
  }
  TM_ASSIGN(difference_, group_.read_difference(from));
  accepted_ = false;
  piece_.clear();
  control_.push_back(encode_offer(difference_->offer(), session_));
  log_info("group " + group_.identity().name + ": pair '" + config_.site + "': what follows seq " +
           std::to_string(from.seq.value()) + " is no longer held; a difference brings the site to seq " +
           std::to_string(difference_->offer().target.base.seq.value()));
  publish();
  return Status();
}

Status PairCore::take_accept(Bytes body) {
  TM_ASSIGN(const Accept accept, decode_accept(body));
  if (!difference_ || accepted_) return Status(Code::kCorrupt, "the site accepts what was not offered");
  difference_->begin(accept.next_ino, accept.staged);
  accepted_ = true;
  return Status();
}

// A message in piece_, or nothing yet: then more of the same kind of work is to be done, and others may have their turn.
Status PairCore::next_piece() {
  DifferencePart part;
  TM_ASSIGN(part.piece, difference_->next(run_size()));
  if (part.piece.kind == DifferencePiece::Kind::kNothing) return Status();
  if (part.piece.kind == DifferencePiece::Kind::kEnd) part.held_marks = difference_->held_marks();
  piece_ = encode_difference(part, session_);
  return Status();
}

Status PairCore::send_difference(const TrySend& try_send) {
  const Seq to = difference_->offer().target.base.seq;
  while (accepted_ && sent_ < to && may_send()) {
    if (piece_.empty()) TM_TRY(next_piece());
    if (piece_.empty()) return Status();
    Message message = Message::copy_of(as_bytes(piece_));
    const bool last = static_cast<DifferencePiece::Kind>(piece_[kWireHeaderSize]) == DifferencePiece::Kind::kEnd;
    TM_ASSIGN(const bool sent, try_send(message));
    if (!sent) {
      full_ = true;
      return Status();
    }
    count_sent(piece_.size());
    piece_.clear();
    if (last) sent_ = reached_ = to;
  }
  return Status();
}

}  // namespace tidemark
