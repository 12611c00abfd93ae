// A position as it stands in files and messages: epoch, seq, chain, 24 bytes.
#pragma once

#include <tidemark/types.h>

#include "base/bytes.h"

namespace tidemark {

inline void put_position(Encoder& out, const Position& position) {
  out.put(position.epoch.value()).put(position.seq.value()).put(position.chain);
}

inline Position get_position(Decoder& in) {
  Position position;
  position.epoch = Epoch(in.get<uint64_t>());
  position.seq = Seq(in.get<uint64_t>());
  position.chain = in.get<uint64_t>();
  return position;
}

}  // namespace tidemark
