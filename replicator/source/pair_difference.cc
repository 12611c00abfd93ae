// What a pair reads and sends: runs of the log, a difference where the log no longer has what the site needs next, records again that
// are damaged at the site.
#include <algorithm>

#include "base/logging.h"
#include "replicator/source/pair_core.h"
#include "replicator/wire/difference_protocol.h"

namespace tidemark {

bool PairCore::held(Seq seq) const {
  const Log& log = group_.log();
  const std::vector<Gap> gaps = log.gaps();
  return seq >= log.first() && std::none_of(gaps.begin(), gaps.end(), [&](const Gap& gap) { return gap.covers(seq); });
}

std::optional<PairReading> PairCore::wants_reading() {
  if (!session_.shipping || !wants_connection()) return std::nullopt;
  if (session_.fetch) return session_.fetch;
  if (session_.ready.ready) return std::nullopt;
  PairReading reading;
  reading.session = session_.id;
  reading.bytes_max = run_size();
  if (session_.difference) {
    if (!session_.accepted || sent_ >= session_.difference->offer().target.base.seq || !may_send()) return std::nullopt;
    reading.kind = PairReading::Kind::kPiece;
    reading.difference = session_.difference;
    reading.request = session_.pieces + 1;
    return reading;
  }
  if (!may_send()) return std::nullopt;
  if (held(sent_.next())) {
    reading.cursor = session_.cursor;
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
  if (message.session != session_.id || !session_.shipping || !message.ready) return;
  if (message.kind == PairReading::Kind::kFetched) {
    session_.fetch.reset();
    limit_.spend(message.answer.size());
    return session_.control.push_back(std::move(message.answer));
  }
  if (message.kind == PairReading::Kind::kPiece && !session_.difference) return;  // the pair was given up meanwhile
  if (message.kind == PairReading::Kind::kDifference) return offer_difference(std::move(message.difference));
  session_.ready = std::move(message);
}

void PairCore::offer_difference(std::shared_ptr<DifferenceReader> difference) {
  session_.difference = std::move(difference);
  session_.accepted = false;
  session_.control.push_back(encode_offer(session_.difference->offer(), session_.id));
  log_info("group " + group_.identity().name + ": pair '" + config_.site + "': the records after seq " +
           std::to_string(session_.difference->offer().from.seq.value()) +
           " are no longer held; a difference brings the site to seq " +
           std::to_string(session_.difference->offer().target.base.seq.value()));
  publish();
}

Status PairCore::take_accept(Bytes body) {
  TM_ASSIGN(const Accept accept, decode_accept(body));
  if (!session_.difference || session_.accepted)
    return Status(Code::kCorrupt, "the site accepted a difference that was not offered");
  session_.difference->begin(accept.next_ino, accept.staged);
  session_.accepted = true;
  session_.pieces = 0;
  return Status();
}

// One at a time: the site waits for the answer before it asks again.
Status PairCore::take_fetch(Bytes body, uint64_t request) {
  TM_ASSIGN(const FetchRequest wanted, decode_fetch(body));
  if (session_.fetch || !session_.begun) return Status(Code::kCorrupt, "the site asked for records out of turn");
  session_.fetch.emplace();
  session_.fetch->kind = PairReading::Kind::kFetched;
  session_.fetch->session = session_.id;
  session_.fetch->fetch = wanted;
  session_.fetch->request = request;
  session_.fetch->bytes_max = std::min<size_t>(wanted.bytes_max, run_size());
  return Status();
}

Status PairCore::send_data(const TrySend& try_send) {
  if (!session_.ready.ready) return Status();
  const size_t size = session_.ready.message.bytes().size();
  TM_ASSIGN(const bool sent, try_send(session_.ready.message));
  if (!sent) {
    session_.full = true;  // the queue is as long as the window, so this is the connection's end or its very beginning
    return Status();
  }
  count_sent(size, session_.ready.kind == PairReading::Kind::kRun ? session_.ready.last : Seq());
  const PairMessage done = std::exchange(session_.ready, PairMessage());
  if (done.kind == PairReading::Kind::kPiece) {
    ++session_.pieces;
    if (done.whole) sent_ = reached_ = session_.difference->offer().target.base.seq;
    return Status();
  }
  sent_ = reached_ = done.last;
  session_.told = std::max(session_.told, done.settled);
  const bool first = !window_.durable_end().has_value();
  window_.add_run(done.last, done.begin, done.end);
  if (first) publish();  // from now on the lag can be told
  return Status();
}

}  // namespace tidemark
