#include "cli/settings/duration.h"

#include <charconv>
#include <string>

namespace tidemark::cli {

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  static constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
  constexpr int64_t kMax = int64_t{365} * 86'400'000;
  int64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  if (error == std::errc() && count >= 0) {
    if (unit.empty() && count == 0) return std::chrono::milliseconds(0);
    if (unit.empty()) {
      const std::string number(text);
      return Status(Code::kInvalid, "'" + number + "' has no unit; write " + number + "s, " + number + "m, " + number +
                                        "h or " + number + "d");
    }
    for (const auto& [name, milliseconds] : kUnits) {
      if (unit == name && count <= kMax / milliseconds) return std::chrono::milliseconds(count * milliseconds);
    }
  }
  return Status(Code::kInvalid, "invalid duration '" + std::string(text) + "' (use ms, s, m, h, d)");
}

}  // namespace tidemark::cli
