// Which positions of copies elsewhere are worth remembering, where there is not room for all.
#pragma once

#include <tidemark/types.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace tidemark {

// Parts of `ranges` (both ends included) with at most `max` seqs in all. A copy is at the beginning of its range (what it has acknowledged
// as durable) or at its end (all that was sent to it) rather than between them: both ends of each are kept, the middle goes. The
// ranges share evenly; what one does not need is the others'.
std::vector<std::pair<Seq, Seq>> likeliest_positions(std::vector<std::pair<Seq, Seq>> ranges, size_t max);

}  // namespace tidemark
