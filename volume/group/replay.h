// Bringing an index up to a log: the records it lacks, applied once more.
#pragma once

#include "volume/tree/state.h"

namespace tidemark {

// Applies records from the one after state.meta().applied up to and including `end`, between which the log has no gap. Nothing may be in
// the state's batch. kNoSpace: the index's disk is full; the next call goes on where this one stopped.
Status replay_stretch(Log& log, TreeState& state, Seq end);

}  // namespace tidemark
