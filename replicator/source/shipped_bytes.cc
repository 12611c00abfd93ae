#include "replicator/source/shipped_bytes.h"

#include <algorithm>

namespace tidemark {

void ShippedBytes::take(const Frame& frame) {
  if (frame.last != Seq() && frame.last <= taken_) return;
  once_ += frame.bytes;
  taken_ = std::max(taken_, frame.last);
}

void ShippedBytes::begin(Seq held) {
  for (const Frame& frame : on_the_way_) {
    if (frame.last != Seq() && frame.last <= held) take(frame);
  }
  on_the_way_.clear();
  consumed_ = 0;
  taken_ = std::max(taken_, held);
}

void ShippedBytes::sent(size_t bytes, Seq last) {
  if (last != Seq() && last <= sent_) again_ += bytes;
  sent_ = std::max(sent_, last);
  on_the_way_.push_back({bytes, last});
}

void ShippedBytes::consumed(uint64_t frames) {
  for (; consumed_ < frames && !on_the_way_.empty(); ++consumed_) {
    take(on_the_way_.front());
    on_the_way_.pop_front();
  }
}

}  // namespace tidemark
