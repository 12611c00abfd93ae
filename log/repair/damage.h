// What can still be said of a record that is damaged: where in it the damage is, and what stood there if one bit was flipped.
#pragma once

#include <cstdint>
#include <optional>

#include "log/format/record.h"

namespace tidemark {

// The payload's sum is wrong, and what is wrong is in the blocks of a data record or in their sums: then its other fields (which blocks of
// the file, its size) are right. Damage in one piece that reached from those fields to the sums would have gone over the number of
// blocks, which the header knows as well, and over bytes that are always zero.
[[nodiscard]] bool damaged_in_blocks(const RecordHeader& header, Bytes payload);

// --- one flipped bit, found by trying: what results is proven by the sums that cover it, not guessed

// Bytes that are summed at most in the search through one payload: about 50 ms.
inline constexpr uint64_t kOneBitWorkMax = uint64_t{256} << 20;

// The byte in question, and what it was.
struct OneBit {
  uint32_t at = 0;
  std::byte value{};
};
// A header that is not sound and would be, behind `before`, with one bit of it flipped.
std::optional<OneBit> find_header_bit(Bytes header, const Position& before, RecordHeader& sound);
// The same of a payload whose header is sound. Large payloads are searched from the front, as far as the work goes.
std::optional<OneBit> find_payload_bit(const RecordHeader& header, Bytes payload);

}  // namespace tidemark
