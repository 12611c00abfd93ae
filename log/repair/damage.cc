#include "log/repair/damage.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "log/format/body.h"

namespace tidemark {

bool damaged_in_blocks(const RecordHeader& header, Bytes payload) {
  if (header.type != RecordType::kData) return false;
  const auto body = decode_data(header, payload);
  if (!body.ok()) return false;
  Buffer blocks(size_t{body->count} * kBlockSize);
  return !extract_blocks(header, *body, blocks.span().first(size_t{body->count} * kBlockSize)).ok();
}

std::optional<OneBit> find_header_bit(Bytes header, const Position& before, RecordHeader& sound) {
  if (header.size() < kRecordHeaderSize) return std::nullopt;
  HeaderBytes tried;
  std::memcpy(tried.data(), header.data(), tried.size());
  for (uint32_t at = 0; at < kRecordHeaderSize; ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      tried[at] ^= std::byte{1} << bit;
      if (decode_header(tried, sound) == RecordFault::kNone && check_follows(sound, tried, before) == RecordFault::kNone) {
        return OneBit{at, tried[at]};
      }
      tried[at] ^= std::byte{1} << bit;
    }
  }
  return std::nullopt;
}

std::optional<OneBit> find_payload_bit(const RecordHeader& header, Bytes payload) {
  if (payload.empty() || payload.size() != header.stored_length) return std::nullopt;
  Buffer tried(payload.size());
  std::memcpy(tried.data(), payload.data(), payload.size());
  const uint64_t bits = std::min<uint64_t>(payload.size() * 8, kOneBitWorkMax / payload.size());
  for (uint64_t bit = 0; bit < bits; ++bit) {
    const auto at = static_cast<uint32_t>(bit / 8);
    const std::byte flip = std::byte{1} << (bit % 8);
    tried.data()[at] ^= flip;
    if (check_payload(header, tried.bytes().first(payload.size())) == RecordFault::kNone) {
      return OneBit{at, tried.data()[at]};
    }
    tried.data()[at] ^= flip;
  }
  return std::nullopt;
}

}  // namespace tidemark
