// Where a primary's log ended each time its volume was opened: DIR/openings.json. Whatever a machine loses with its power it loses behind
// one of these, so a copy that holds more than this history goes back to the newest of them that it holds (replicator/).
#pragma once

#include <tidemark/types.h>

#include <string>
#include <vector>

#include "base/file.h"

namespace tidemark {

// So many are remembered, the newest. A copy that was away for longer, with records that were lost before, has diverged for good.
inline constexpr size_t kOpeningsMax = 256;

inline std::string openings_path(const std::string& directory) { return directory + "/openings.json"; }

// Rising. Empty where there is no file. kCorrupt.
Result<std::vector<Position>> load_openings(const std::string& directory, FileSystem& files);
// Remembers one more, `end` of the log; those beyond it were lost themselves. Durable on return. The list as it is then.
Result<std::vector<Position>> note_opening(const std::string& directory, const Position& end, FileSystem& files);

}  // namespace tidemark
