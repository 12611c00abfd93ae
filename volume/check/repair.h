// Repairing a group's directory, `tidemark verify --repair`.
#pragma once

#include <string>
#include <vector>

#include "log/read/record_source.h"
#include "volume/check/directory_check.h"
#include "volume/group/group.h"

namespace tidemark {

// For people.
struct Repairs {
  std::vector<std::string> repaired;      // what was put right …
  std::vector<std::string> not_repaired;  // … and what could not be, and why
};

// Writes a damaged group.json anew from the log. `name`: of the group, should the log not say it any more. kBusy: the group is in use.
Result<GroupIdentity> repair_identity(const std::string& directory, const std::string& name, Repairs& done);

// Puts damaged records back from `source`, and works out anew what follows from the rest: the floor, the base image, and last the index,
// which the next open builds from a sound log. `found`: damage outside the log's records. `newest`: the last record, as far as the index
// knows; zeros: unknown. `in_use`: another process has the group open, so what it may change is left alone and said.
Status repair_group(const std::string& directory, const GroupIdentity& identity, const std::vector<Finding>& found,
                    const Position& newest, bool in_use, RecordSource& source, Repairs& done);

}  // namespace tidemark
