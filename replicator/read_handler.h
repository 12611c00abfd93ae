// One request of reading answered from a group: what a site's reading threads do.
#pragma once

#include <string>

#include "replicator/read_protocol.h"
#include "replicator/replica_host.h"
#include "replicator/site_groups.h"

namespace tidemark {

// The answer to a request, ready to send: of type reply_to(type), or ERROR. `host` may be null, for LIST_GROUPS only.
std::string answer_read(SiteGroups& groups, ReplicaHost* host, const WireHeader& header, Bytes body);

}  // namespace tidemark
