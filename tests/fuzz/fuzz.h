// What the fuzzers share. Each target is a file with two functions: fuzz_one() takes any bytes and must come back (it aborts where a
// promise is broken), fuzz_seeds() makes real encodings to begin from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"

namespace tidemark::fuzz {

void fuzz_one(Bytes input);
std::vector<std::string> fuzz_seeds();

// Takes an input apart; past its end everything is zero and empty.
class Input {
 public:
  explicit Input(Bytes bytes) : rest_(bytes) {}
  uint8_t byte() {
    const Bytes one = take(1);
    return one.empty() ? uint8_t{0} : std::to_integer<uint8_t>(one[0]);
  }
  uint16_t number() { return static_cast<uint16_t>(byte() | byte() << 8); }
  Bytes take(size_t size) {
    const Bytes taken = rest_.first(size < rest_.size() ? size : rest_.size());
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  [[nodiscard]] Bytes rest() const { return rest_; }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  Bytes rest_;
};

}  // namespace tidemark::fuzz
