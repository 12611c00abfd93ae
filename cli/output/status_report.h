// How a group stands, as JSON (the one form that travels over the control socket) and as text.
#pragma once

#include <string>
#include <vector>

#include "cli/output/json.h"
#include "cli/output/pair_report.h"
#include "replicator/site/source_record.h"
#include "replicator/source/pair.h"
#include "volume/group/group.h"

namespace tidemark::cli {

// Of an open group. `pairs`: as saved; how far each that runs has come is in group.watermarks().
[[nodiscard]] Json status_json(Group& group, const std::vector<Pair>& pairs);
// Adds what a site's copy knows of the pair it is the target of.
void add_source(Json& status, const std::optional<SourceRecord>& source);
// Adds what is known from outside: the mountpoint and who holds the group.
void add_holder(Json& status, const std::string& mountpoint, const std::optional<Holder>& holder);
void print_status(const Json& status);  // as text, on stdout
// The first lines of that: `title`, the word (add_standing), and its reasons.
void print_standing(const Json& status, const std::string& title);

}  // namespace tidemark::cli
