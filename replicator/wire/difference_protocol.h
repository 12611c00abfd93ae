// The messages of a difference.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "replicator/wire/protocol.h"
#include "volume/difference/difference.h"

namespace tidemark {

// A difference (volume/difference/difference.h). OFFER stands for DifferenceOffer, but for what the size of a file would say.
std::string encode_offer(const DifferenceOffer& offer, uint64_t session);
Result<DifferenceOffer> decode_offer(Bytes body);

struct Accept {
  Ino next_ino;  // as DifferenceReader::begin() wants it
  Seq staged;
};
std::string encode_accept(const Accept& accept, uint64_t session);
Result<Accept> decode_accept(Bytes body);

inline constexpr size_t kHeldMarksMax = 10'000;  // in the last piece
struct DifferencePart {
  DifferencePiece piece;                          // kRecords, kRows or kEnd
  std::optional<std::vector<MarkId>> held_marks;  // of kEnd
};
// `number`: of the piece in its difference, from 1 on, in the header's request.
std::string encode_difference(const DifferencePart& part, uint64_t session, uint64_t number);
Result<DifferencePart> decode_difference(Bytes body);

}  // namespace tidemark
