#include "log/write/likeliest.h"

#include <algorithm>

namespace tidemark {
namespace {

uint64_t size_of(const std::pair<Seq, Seq>& range) { return range.second.value() - range.first.value() + 1; }

}  // namespace

std::vector<std::pair<Seq, Seq>> likeliest_positions(std::vector<std::pair<Seq, Seq>> ranges, size_t max) {
  std::erase_if(ranges, [](const auto& range) { return range.first > range.second; });
  // The smallest first: what it leaves of its share goes to those that follow.
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return size_of(a) < size_of(b); });
  std::vector<std::pair<Seq, Seq>> kept;
  uint64_t left = max;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const auto& [first, last] = ranges[i];
    const uint64_t share = left / (ranges.size() - i);
    const uint64_t size = size_of(ranges[i]);
    left -= std::min(size, share);
    if (size <= share) {
      kept.push_back(ranges[i]);
      continue;
    }
    const uint64_t tail = share / 2;
    const uint64_t head = share - tail;
    if (head > 0) kept.emplace_back(first, Seq(first.value() + head - 1));
    if (tail > 0) kept.emplace_back(Seq(last.value() - tail + 1), last);
  }
  return kept;
}

}  // namespace tidemark
