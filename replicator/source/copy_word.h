// How a copy stands, in one word that an operator can act on. The rule for both ends of a pair; docs/STATUS.md tells it.
#pragma once

#include <cstdint>
#include <string_view>

#include "replicator/site/source_record.h"
#include "volume/group/watermarks.h"

namespace tidemark {

enum class CopyWord : uint8_t {
  kUpToDate = 1,  // it follows: what its mode promises is there
  kBehind = 2,    // it is known to lack records, or not to follow
  kDiverged = 3,  // it holds another history: nothing is sent until a person has decided
  kUnknown = 4,   // nobody can tell now: its site, or its source, is not heard
};
std::string_view copy_word_name(CopyWord word);  // "up to date", "behind", "diverged", "unknown"

// Of a pair's target, seen from where it is shipped to. `newest`: what is durable there.
CopyWord copy_word(const SiteProgress& site, Seq newest);
// Of a pair that nobody runs, from what is saved of it.
CopyWord copy_word(const PairStatus& saved, Seq newest);
// Of a copy, seen from its own site. `held`: what is durable in it.
CopyWord copy_word(const SourceRecord& source, Seq held, int64_t wall_ns);

}  // namespace tidemark
