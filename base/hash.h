// Checksums: XXH3-64 throughout (it notices accidents, not attackers; see docs/ARCHITECTURE.md).
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace tidemark {

[[nodiscard]] uint64_t hash64(Bytes bytes);
[[nodiscard]] uint64_t hash64(Bytes bytes, uint64_t seed);

}  // namespace tidemark
