// How a group stands, as JSON (the one form that travels over the control socket) and as text.
#pragma once

#include <string>
#include <vector>

#include "cli/json.h"
#include "replicator/pair.h"
#include "volume/group.h"

namespace tidemark::cli {

// Of an open group. `pairs`: what is configured; how far each has come is in group.watermarks().
[[nodiscard]] Json status_json(Group& group, const std::vector<PairConfig>& pairs);
// Adds what is known from outside: the mountpoint and who holds the group.
void add_holder(Json& status, const std::string& mountpoint, const std::optional<Holder>& holder);
void print_status(const Json& status);  // as text, on stdout

}  // namespace tidemark::cli
