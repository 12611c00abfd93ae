// Pruning a group, as the command line and the control socket ask for it.
#pragma once

#include <string>
#include <vector>

#include "cli/json.h"
#include "replicator/pair.h"
#include "volume/group.h"

namespace tidemark::cli {

struct PruneOrder {
  std::string to;  // a point; "" where only the policy decides
  RetentionPolicy policy;
  bool dry_run = false;
};
[[nodiscard]] Json prune_order_json(const PruneOrder& order);
[[nodiscard]] PruneOrder prune_order_from_json(const Json& json);

// What the pairs of a group still need of its log. Of a pair whose position is not known (it has not connected yet): everything.
[[nodiscard]] std::vector<BaseLimit> needed_by_pairs(Group& group, const std::vector<Pair>& pairs);

// Carries it out.
Result<PruneReport> carry_out_prune(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order);
// What `tidemark prune --json` prints. `base_time_ns`: of the base as it is now; 0 where nothing was ever pruned.
[[nodiscard]] Json prune_report_json(const PruneReport& report, bool dry_run, int64_t base_time_ns);
// Both. The answer is what `tidemark prune --json` prints.
Result<Json> prune_group(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order);
void print_prune(const Json& report);

}  // namespace tidemark::cli
