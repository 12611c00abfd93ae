// A cryptographic digest, for what must not be forged: BLAKE2b-256 (RFC 7693). Sums that notice accidents are in base/hash.h.
#pragma once

#include <array>
#include <memory>

#include "base/bytes.h"

namespace tidemark {

using Digest = std::array<std::byte, 32>;

// Takes the bytes piece by piece.
class Digester {
 public:
  Digester();
  ~Digester();
  Digester(Digester&&) noexcept;
  Digester& operator=(Digester&&) noexcept;
  void add(Bytes bytes);
  [[nodiscard]] Digest finish();  // once; nothing is added afterwards

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemark
