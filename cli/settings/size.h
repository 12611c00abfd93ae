// Amounts of bytes as people write them.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace tidemark::cli {

// "4096B", "64KiB", "100MiB", "10GiB", "1TiB" (K, M, G and T alone mean the same); a unit is needed but for 0. kInvalid says what is accepted.
Result<uint64_t> parse_size(std::string_view text);

}  // namespace tidemark::cli
