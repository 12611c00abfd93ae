// What pairs still need of a group's history, and giving it up where the log limit says so.
#pragma once

#include <functional>
#include <vector>

#include "replicator/source/pair.h"
#include "replicator/source/shipper.h"
#include "volume/history/history_keeper.h"

namespace tidemark {

// Has the request leave what the pairs still need: records, and what was deleted since. Of a pair whose position is not known (it has
// not connected yet): everything. A pair that the log limit has dropped holds no records back, but is still to hear of deletions.
void keep_what_pairs_need(PruneRequest& request, Group& group, const std::vector<Pair>& pairs);

// How the history of a group with these pairs is looked after: what they need is kept, and where the log limit says so the pair
// that lags most is dropped. Where `shipper` answers null the pairs are not known, and nothing is pruned.
[[nodiscard]] HistoryKeeperOptions history_options_with_pairs(Group& group, std::function<Shipper*()> shipper);

}  // namespace tidemark
