// Pruning a group, as the command line and the control socket ask for it.
#pragma once

#include <string>
#include <vector>

#include "cli/output/json.h"
#include "replicator/source/pair_history.h"
#include "volume/group/group.h"

namespace tidemark::cli {

struct PruneOrder {
  std::string to;  // a point; "" where only the policy decides
  RetentionPolicy policy;
  bool dry_run = false;
};
[[nodiscard]] Json prune_order_json(const PruneOrder& order);
[[nodiscard]] PruneOrder prune_order_from_json(const Json& json);

// What `tidemark prune --json` prints. `base_time_ns`: of the base as it is now, in a dry run as it would be; 0 where it is not known.
[[nodiscard]] Json prune_report_json(const PruneReport& report, bool dry_run, int64_t base_time_ns);
// Carries it out, but leaves what the pairs need. The answer is what `tidemark prune --json` prints.
Result<Json> prune_group(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order);
// What a dry run found that would go, as a sentence: up to when, which marks, how much.
[[nodiscard]] std::string prune_text(const std::string& of, const Json& plan);
void print_prune(const Json& report);

}  // namespace tidemark::cli
