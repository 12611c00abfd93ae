// Lengths of time as people write them.
#pragma once

#include <chrono>
#include <string_view>

#include "base/status.h"

namespace tidemark::cli {

// "500ms", "30s", "5m", "2h", "1d"; a unit is needed but for 0. At most 365 days. kInvalid says what is accepted.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace tidemark::cli
