// One request of reading answered from a group: what a site's reading threads do.
#pragma once

#include <memory>
#include <string>

#include "replicator/site/replica_host.h"
#include "replicator/site/site_groups.h"
#include "replicator/wire/keys.h"
#include "replicator/wire/read_protocol.h"

namespace tidemark {

// Who asks.
struct Reader {
  std::string key;                        // "": the site runs without keys, and everybody may read
  std::shared_ptr<const AllowList> list;  // as it was when the request came; null: without keys
  [[nodiscard]] bool may_read(const std::string& group) const { return list == nullptr || list->rights(key, group).read; }
};

// The answer to a request, ready to send: of type reply_to(type), or ERROR. `host` may be null, for LIST_GROUPS only.
std::string answer_read(SiteGroups& groups, ReplicaHost* host, const Reader& reader, const WireHeader& header, Bytes body);

}  // namespace tidemark
