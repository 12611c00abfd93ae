// Pruning a group, as the command line and the control socket ask for it.
#pragma once

#include <string>
#include <vector>

#include "cli/output/json.h"
#include "replicator/source/pair.h"
#include "volume/group/group.h"
#include "volume/history/history_keeper.h"

namespace tidemark::cli {

struct PruneOrder {
  std::string to;  // a point; "" where only the policy decides
  RetentionPolicy policy;
  bool dry_run = false;
};
[[nodiscard]] Json prune_order_json(const PruneOrder& order);
[[nodiscard]] PruneOrder prune_order_from_json(const Json& json);

// Has the request leave what the pairs still need: records, and what was deleted since. Of a pair whose position is not known (it has
// not connected yet): everything. A pair that the log limit has dropped holds no records back, but is still to hear of deletions.
void respect_pairs(PruneRequest& request, Group& group, const std::vector<Pair>& pairs);

// How the history of a group with these pairs is looked after: what they need is kept, and where the log limit says so the pair
// that lags most is dropped. Where `shipper` answers null the pairs are not known, and nothing is pruned.
[[nodiscard]] HistoryKeeperOptions look_after_pairs(Group& group, std::function<Shipper*()> shipper);

// Carries it out.
Result<PruneReport> carry_out_prune(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order);
// What `tidemark prune --json` prints. `base_time_ns`: of the base as it is now, in a dry run as it would be; 0 where it is not known.
[[nodiscard]] Json prune_report_json(const PruneReport& report, bool dry_run, int64_t base_time_ns);
// Both. The answer is what `tidemark prune --json` prints.
Result<Json> prune_group(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order);
// What a dry run found that would go, as a sentence: up to when, which marks, how much.
[[nodiscard]] std::string prune_text(const std::string& of, const Json& plan);
void print_prune(const Json& report);

}  // namespace tidemark::cli
