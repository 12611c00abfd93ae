// From extents to bytes: reads blocks out of the log and proves each against its sum before anybody sees it.
#pragma once

#include "log/log.h"
#include "volume/tree/chunk_map.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

// Fills `out` (count × kBlockSize bytes) with the blocks of one run of a chunk map, beginning `skip` blocks into it.
// Damage is repaired from the log's record source and read again, where there is one. kCorrupt: segment, byte and seq of what
// is damaged; `out` then holds nothing of use.
Status read_run(Log& log, const Extent& extent, uint32_t count, MutableBytes out);

}  // namespace tidemark
