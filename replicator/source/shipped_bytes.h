// How many bytes a pair's site has taken, each record once, and how many were sent for nothing or again.
#pragma once

#include <tidemark/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>

namespace tidemark {

class ShippedBytes {
 public:
  // A session begins, with a site that holds everything up to `held`: what was on its way to there counts as taken.
  void begin(Seq held);
  // A message was sent that brings the site up to record `last`; zero: a piece of a difference.
  void sent(size_t bytes, Seq last);
  // The site has dealt with so many messages since begin().
  void consumed(uint64_t frames);

  [[nodiscard]] uint64_t once() const { return once_; }    // taken by the site
  [[nodiscard]] uint64_t again() const { return again_; }  // sent, of records that had been sent before

 private:
  struct Frame {
    size_t bytes;
    Seq last;
  };
  void take(const Frame& frame);

  std::deque<Frame> on_the_way_;  // the window bounds it
  uint64_t consumed_ = 0;         // messages, since begin()
  Seq sent_;                      // newest record that was ever sent
  Seq taken_;                     // and taken
  uint64_t once_ = 0;
  uint64_t again_ = 0;
};

}  // namespace tidemark
