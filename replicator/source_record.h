// What a target knows of the pair it is part of. After a loss of the source this is what there is to go by.
#pragma once

#include <cstdint>
#include <string>

#include "replicator/pair_state.h"

namespace tidemark {

// How the pair stands at its source, in the source's words.
struct PairNews {
  PairMode mode = PairMode::kAsync;
  PairFence fence = PairFence::kNever;
  PairState state = PairState::kSimplex;
  int64_t since_ns = 0;  // the source's wall time
  std::string source;    // who it says it is, for people
  std::string cause;
};

// Kept in DIR/GROUP/site.json.
struct SourceRecord {
  PairNews news;         // what the source last said
  PairState state{};     // as seen from here: failure-suspended once the source is lost
  int64_t since_ns = 0;  // wall time here
  std::string cause;
};

}  // namespace tidemark
