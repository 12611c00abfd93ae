// What a pair reads and sends: runs of the log, a difference where the log no longer has what the site needs next, records again that
// are damaged at the site.
#include <algorithm>

#include "base/logging.h"
#include "replicator/source/pair_core.h"

namespace tidemark {

bool PairCore::held(Seq seq) const {
  const Log& log = group_.log();
  const std::vector<Gap> gaps = log.gaps();
  return seq >= log.first() && std::none_of(gaps.begin(), gaps.end(), [&](const Gap& gap) { return gap.covers(seq); });
}

std::optional<PairReading> PairCore::wants_reading() {
  if (!shipping_ || !wants_connection()) return std::nullopt;
  if (fetch_) return fetch_;
  if (ready_.ready) return std::nullopt;
  PairReading reading;
  reading.session = session_;
  reading.bytes_max = run_size();
  if (difference_) {
    if (!accepted_ || sent_ >= difference_->offer().target.base.seq || !may_send()) return std::nullopt;
    reading.kind = PairReading::Kind::kPiece;
    reading.difference = difference_;
    reading.request = pieces_ + 1;
    return reading;
  }
  if (!may_send()) return std::nullopt;
  if (held(sent_.next())) {
    reading.cursor = cursor_;
    reading.last = last_to_send();
    reading.tells = settled_to_tell() != Seq();
    return reading;
  }
  if (acked_.received < sent_) return std::nullopt;  // first what it has of ours is to be there
  reading.kind = PairReading::Kind::kDifference;
  reading.from = sent_;
  return reading;
}

void PairCore::take_reading(PairMessage message) {
  if (message.session != session_ || !shipping_ || !message.ready) return;
  if (message.kind == PairReading::Kind::kFetched) {
    fetch_.reset();
    limit_.spend(message.answer.size());
    return control_.push_back(std::move(message.answer));
  }
  if (message.kind == PairReading::Kind::kPiece && !difference_) return;  // the pair was given up meanwhile
  if (message.kind == PairReading::Kind::kDifference) return offer_difference(std::move(message.difference));
  ready_ = std::move(message);
}

void PairCore::offer_difference(std::shared_ptr<DifferenceReader> difference) {
  difference_ = std::move(difference);
  accepted_ = false;
  control_.push_back(encode_offer(difference_->offer(), session_));
  log_info("group " + group_.identity().name + ": pair '" + config_.site + "': the records after seq " +
           std::to_string(difference_->offer().from.seq.value()) +
           " are no longer held; a difference brings the site to seq " +
           std::to_string(difference_->offer().target.base.seq.value()));
  publish();
}

Status PairCore::take_accept(Bytes body) {
  TM_ASSIGN(const Accept accept, decode_accept(body));
  if (!difference_ || accepted_) return Status(Code::kCorrupt, "the site accepted a difference that was not offered");
  difference_->begin(accept.next_ino, accept.staged);
  accepted_ = true;
  pieces_ = 0;
  return Status();
}

// One at a time: the site waits for the answer before it asks again.
Status PairCore::take_fetch(Bytes body, uint64_t request) {
  TM_ASSIGN(const FetchRequest wanted, decode_fetch(body));
  if (fetch_ || !begun_) return Status(Code::kCorrupt, "the site asked for records out of turn");
  fetch_.emplace();
  fetch_->kind = PairReading::Kind::kFetched;
  fetch_->session = session_;
  fetch_->fetch = wanted;
  fetch_->request = request;
  fetch_->bytes_max = std::min<size_t>(wanted.bytes_max, run_size());
  return Status();
}

Status PairCore::send_data(const TrySend& try_send) {
  if (!ready_.ready) return Status();
  const size_t size = ready_.message.bytes().size();
  TM_ASSIGN(const bool sent, try_send(ready_.message));
  if (!sent) {
    full_ = true;  // the queue is as long as the window, so this is the connection's end or its very beginning
    return Status();
  }
  count_sent(size, ready_.kind == PairReading::Kind::kRun ? ready_.last : Seq());
  const PairMessage done = std::exchange(ready_, PairMessage());
  if (done.kind == PairReading::Kind::kPiece) {
    ++pieces_;
    if (done.whole) sent_ = reached_ = difference_->offer().target.base.seq;
    return Status();
  }
  sent_ = reached_ = done.last;
  told_ = std::max(told_, done.settled);
  const bool first = !window_.durable_end().has_value();
  window_.add_run(done.last, done.begin, done.end);
  if (first) publish();  // from now on the lag can be told
  return Status();
}

}  // namespace tidemark
