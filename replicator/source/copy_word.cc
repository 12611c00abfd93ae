#include "replicator/source/copy_word.h"

#include "replicator/wire/protocol.h"

namespace tidemark {
namespace {

// Nothing is shipped, because somebody said so: where the copy stands is known, and it does not move.
CopyWord at_rest(Seq durable, Seq newest) { return durable < newest ? CopyWord::kBehind : CopyWord::kUpToDate; }

}  // namespace

std::string_view copy_word_name(CopyWord word) {
  switch (word) {
    case CopyWord::kUpToDate: return "up to date";
    case CopyWord::kBehind: return "behind";
    case CopyWord::kDiverged: return "diverged";
    case CopyWord::kUnknown: return "unknown";
  }
  return "unknown";
}

CopyWord copy_word(const SiteProgress& site, Seq newest) {
  if (site.diverged) return CopyWord::kDiverged;
  if (site.cut_off) return CopyWord::kUnknown;
  const auto state = pair_state_from_name(site.state).value_or(PairState::kSimplex);
  if (state == PairState::kSuspended || site.parked) return at_rest(site.durable, newest);
  if (!site.connected) return CopyWord::kUnknown;
  return state == PairState::kDuplex ? CopyWord::kUpToDate : CopyWord::kBehind;
}

CopyWord copy_word(const PairStatus& saved, Seq newest) {
  if (saved.state == PairState::kSuspended || saved.parked) return at_rest(saved.durable, newest);
  return saved.state == PairState::kDuplex && saved.durable >= newest ? CopyWord::kUpToDate : CopyWord::kUnknown;
}

CopyWord copy_word(const SourceRecord& source, Seq held, int64_t wall_ns) {
  const bool heard = source.connected && std::chrono::nanoseconds(wall_ns - source.heard_ns) <= kPeerSilenceMax;
  if (heard) return source.state == PairState::kDuplex ? CopyWord::kUpToDate : CopyWord::kBehind;
  if (source.news.state == PairState::kSuspended) return CopyWord::kBehind;
  // It said goodbye, and had nothing that is not here.
  const bool complete = source.ended && source.news.state == PairState::kDuplex && held >= source.newest;
  return complete ? CopyWord::kUpToDate : CopyWord::kUnknown;
}

}  // namespace tidemark
