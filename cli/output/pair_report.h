// How pairs and copies stand, as JSON. docs/STATUS.md says what the words mean.
#pragma once

#include <optional>
#include <string>

#include "cli/output/json.h"
#include "replicator/site/source_record.h"
#include "replicator/source/pair.h"
#include "volume/group/group.h"

namespace tidemark::cli {

// What the volume's source would lose if it were lost now, as far as one copy goes.
struct Exposure {
  uint64_t records = 0;
  int64_t since_ns = 0;   // wall time of the oldest of them; 0: not known, or none
  bool at_least = false;  // it is older than that: it has left the log
};
// `durable`: at the copy. `saved_ns`: as PairStatus's exposed_since_ns, for where the record itself is gone.
Exposure exposure_of(Group& group, Seq durable, int64_t saved_ns);

// A pair that runs, with what the process that runs it knows.
[[nodiscard]] Json running_json(Group& group, const Pair& pair, const SiteProgress& site);
// A pair as saved, which nobody runs. `group`: null where it is not open.
[[nodiscard]] Json pair_status_json(const Pair& pair, Group* group = nullptr);
// A site to which one of ours forwards.
[[nodiscard]] Json downstream_json(Group& group, const std::string& name, const SiteProgress& site);
// What a site says of one of its own, from afar: `newest` is what it holds, `wall_ns` its time.
[[nodiscard]] Json remote_copy_json(const std::string& name, const SiteProgress& site, Seq newest, int64_t wall_ns);
// What a copy knows of its source. `held`: what is durable in the copy.
[[nodiscard]] Json source_json(const SourceRecord& source, Seq held, int64_t wall_ns);

// A pair's state for people, and what an operator wants where that is something else.
[[nodiscard]] std::string state_text(const Json& pair);

}  // namespace tidemark::cli
