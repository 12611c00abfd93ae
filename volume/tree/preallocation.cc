#include "volume/tree/preallocation.h"

#include <algorithm>
#include <bit>

namespace tidemark {
namespace {

constexpr uint64_t kMaskBlocks = 32;

}  // namespace

void Preallocation::encode(Encoder& out) const {
  out.put(unwritten_);
  for (const BlockRange& range : ranges_) out.put(range.first).put(range.count);
}

std::optional<Preallocation> Preallocation::decode(Decoder& in) {
  Preallocation made(in.get<uint64_t>());
  uint64_t blocks = 0;
  while (!in.finished()) {
    const auto first = in.get<uint64_t>();
    const BlockRange range{first, in.get<uint64_t>()};
    const bool rises = range.end() > range.first && (made.empty() || range.first > made.end());
    if (in.failed() || !rises || made.ranges_.size() == kRangesMax) return std::nullopt;
    blocks += range.count;
    made.ranges_.push_back(range);
  }
  if (made.unwritten_ == 0 || made.unwritten_ > blocks) return std::nullopt;
  return made;
}

std::vector<BlockRange> Preallocation::missing(const BlockRange& range) const {
  std::vector<BlockRange> parts;
  uint64_t at = range.first;
  for (const BlockRange& held : ranges_) {
    if (held.end() <= at) continue;
    if (held.first >= range.end()) break;
    if (held.first > at) parts.push_back({at, held.first - at});
    at = held.end();
  }
  if (at < range.end()) parts.push_back({at, range.end() - at});
  return parts;
}

uint32_t Preallocation::mask(uint64_t first) const {
  uint32_t bits = 0;
  for (const BlockRange& range : ranges_) {
    const uint64_t from = std::max(range.first, first);
    const uint64_t to = std::min(range.end(), first + kMaskBlocks);
    for (uint64_t block = from; block < to; ++block) bits |= uint32_t{1} << (block - first);
  }
  return bits;
}

std::optional<BlockRange> Preallocation::surplus() const {
  if (ranges_.size() <= kRangesMax) return std::nullopt;
  return *std::min_element(ranges_.begin(), ranges_.end(),
                           [](const BlockRange& a, const BlockRange& b) { return a.count < b.count; });
}

void Preallocation::add(const BlockRange& range, uint64_t unwritten) {
  BlockRange whole = range;
  std::vector<BlockRange> kept;
  for (const BlockRange& held : ranges_) {
    if (held.end() < whole.first || held.first > whole.end()) {
      kept.push_back(held);
      continue;
    }
    const uint64_t end = std::max(whole.end(), held.end());
    whole.first = std::min(whole.first, held.first);
    whole.count = end - whole.first;
  }
  kept.insert(std::find_if(kept.begin(), kept.end(), [&](const BlockRange& held) { return held.first > whole.first; }),
              whole);
  ranges_ = std::move(kept);
  unwritten_ += unwritten;
}

void Preallocation::remove(uint64_t first, uint64_t end, uint64_t unwritten) {
  std::vector<BlockRange> kept;
  for (const BlockRange& held : ranges_) {
    if (held.first < first) kept.push_back({held.first, std::min(held.end(), first) - held.first});
    if (held.end() > end) kept.push_back({std::max(held.first, end), held.end() - std::max(held.first, end)});
  }
  ranges_ = std::move(kept);
  unwritten_ -= std::min(unwritten_, unwritten);
}

void Preallocation::remove_hole(uint64_t first, uint64_t end) { remove(first, end, blocks_within(first, end)); }

void Preallocation::written(uint64_t first, uint32_t before, uint32_t after) {
  const uint32_t within = mask(first);
  const auto blocks = [&](uint32_t bits) { return static_cast<uint64_t>(std::popcount(bits & within)); };
  unwritten_ += blocks(before & ~after);
  unwritten_ -= std::min(unwritten_, blocks(after & ~before));
}

uint64_t Preallocation::blocks_within(uint64_t first, uint64_t end) const {
  uint64_t blocks = 0;
  for (const BlockRange& held : ranges_) {
    const uint64_t from = std::max(held.first, first);
    const uint64_t to = std::min(held.end(), end);
    if (from < to) blocks += to - from;
  }
  return blocks;
}

void Preallocation::forget_full() {
  if (unwritten_ == 0) ranges_.clear();
}

}  // namespace tidemark
