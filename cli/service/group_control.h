// What the control socket of a group can be asked: the operations, apart from how they travel.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/service/control.h"
#include "fs/mount.h"
#include "replicator/site/site.h"
#include "replicator/source/pair.h"
#include "replicator/source/shipper.h"
#include "volume/group/group.h"

namespace tidemark::cli {

// Who answers. Everything outlives the control server. A mounted group has a mount, a site's copy has a site.
struct ControlledGroup {
  Group* group = nullptr;
  Mount* mount = nullptr;
  Site* site = nullptr;
  Shipper* shipper = nullptr;  // null: nothing can be forwarded
  std::string mountpoint;
};
ControlHandler control_handler(const ControlledGroup& controlled);

[[nodiscard]] Json pair_to_json(const PairConfig& pair);
[[nodiscard]] Result<PairConfig> pair_from_json(const Json& json);  // kInvalid: an unknown mode or fence

}  // namespace tidemark::cli
