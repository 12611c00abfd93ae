// The bandwidth limit of a pair. A second's worth is saved up at most; a message goes when there is anything, and is paid for
// afterwards.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark {

class RateLimit {
 public:
  explicit RateLimit(uint64_t bytes_per_second) : rate_(static_cast<double>(bytes_per_second)) {}  // 0: no limit

  [[nodiscard]] bool limits() const { return rate_ > 0; }
  // Bytes to send at once at most, so that they go evenly.
  [[nodiscard]] size_t share() const;
  // Nothing is saved up.
  void restart(int64_t now_ns);
  [[nodiscard]] bool allows(int64_t now_ns);
  void spend(size_t bytes) { saved_ -= static_cast<double>(bytes); }

 private:
  double rate_;
  double saved_ = 0;  // bytes
  int64_t counted_ns_ = 0;
};

}  // namespace tidemark
