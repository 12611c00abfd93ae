// Takes away the index's rows that no point at or after the base sees. Readers there see the same before, during and after; stopped
// anywhere, it is begun again. (Not a compaction filter: that would have to know about levels, and would leave another index at
// every site and after every rebuild. Swept rows are a function of the log and the base.)
#pragma once

#include <atomic>

#include "volume/tree/base_rows.h"

namespace tidemark {

struct SweepReport {
  uint64_t rows_removed = 0;
  uint64_t rows_folded = 0;
};
// ok at once where the index has been swept for this rule. kInterrupted once `stop` is set. Works at most half of the time.
Result<SweepReport> sweep(Index& index, const BaseRule& rule, const std::atomic<bool>& stop);

}  // namespace tidemark
