#include "cli/settings/size.h"

#include <charconv>
#include <string>

namespace tidemark::cli {

Result<uint64_t> parse_size(std::string_view text) {
  static constexpr std::pair<std::string_view, unsigned> kUnits[] = {
      {"B", 0}, {"K", 10}, {"KiB", 10}, {"M", 20}, {"MiB", 20}, {"G", 30}, {"GiB", 30}, {"T", 40}, {"TiB", 40},
  };
  uint64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  if (error == std::errc()) {
    if (unit.empty() && count == 0) return uint64_t{0};
    if (unit.empty()) {
      const std::string number(text);
      return Status(Code::kInvalid, "'" + number + "' has no unit; write \"" + number + "B\" if you mean bytes, or \"" +
                                        number + "MiB\", \"" + number + "GiB\" …");
    }
    for (const auto& [name, bits] : kUnits) {
      if (unit == name && count <= UINT64_MAX >> bits) return count << bits;
    }
  }
  return Status(Code::kInvalid, "invalid size '" + std::string(text) + "' (use B, KiB, MiB, GiB, TiB)");
}

}  // namespace tidemark::cli
