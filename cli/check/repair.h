// `tidemark verify --repair`: which copy damaged records come from.
#pragma once

#include <string>

#include "cli/reader.h"
#include "volume/check/repair.h"

namespace tidemark::cli {

// Puts damaged records back from another copy (`from`: tcp://HOST:PORT/GROUP; "": the sites of the volume's pairs), works
// out a damaged group.json from the log, and gives up a damaged index, which the next open builds anew. What it did goes into
// `done`. kBusy where only a volume that is not mounted can be repaired.
Status repair(const Source& source, const std::string& from, const RemoteKeys& keys, Repairs& done);

}  // namespace tidemark::cli
