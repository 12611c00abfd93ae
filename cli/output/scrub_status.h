// How a group's scrubbing stands, as `tidemark status` shows it.
#pragma once

#include <string>

#include "cli/output/json.h"

namespace tidemark::cli {

// "scrub" of a volume's status, from what its directory says: so also of one that nobody has open. Left out where nothing is known.
void add_scrub(Json& status, const std::string& directory);
void print_scrub(const Json& status);

}  // namespace tidemark::cli
