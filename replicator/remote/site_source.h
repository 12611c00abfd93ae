// Damaged records, fetched again from where they were shipped to.
#pragma once

#include <functional>
#include <memory>

#include "log/read/record_source.h"
#include "replicator/remote/remote.h"
#include "replicator/source/pair.h"

namespace tidemark {

// The sites of a group's pairs, asked in turn until one has the record. `pairs` is asked each time, so that it may change.
// Thread-safe; connects when it is first asked, and has threads from then on.
std::shared_ptr<RecordSource> make_site_source(const GroupIdentity& group, std::function<std::vector<PairConfig>()> pairs);

// One copy of the group, already connected. `name` is for messages. kDiverged where it is another group's.
Result<std::shared_ptr<RecordSource>> make_remote_source(const GroupIdentity& group, std::unique_ptr<RemoteGroup> remote,
                                                         const std::string& name);

}  // namespace tidemark
