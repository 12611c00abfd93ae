// The --json forms. Field names are part of the interface (docs/GUIDE.md): add, never rename.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "log/format/record.h"
#include "restore/restore.h"
#include "volume/history/point.h"

namespace tidemark::cli {

using Json = nlohmann::ordered_json;

// One line; bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string json_text(const Json& value);
void print_json(const Json& value);  // that line on stdout

[[nodiscard]] std::string chain_text(uint64_t chain);  // 16 hexadecimal digits: JSON numbers have only 53 bits
[[nodiscard]] Json mark_json(const Mark& mark);
[[nodiscard]] Json position_json(const Position& position);
[[nodiscard]] Json plan_entry_json(const PlanEntry& entry);
[[nodiscard]] Json plan_summary_json(const RestorePlan& plan);

// A field of a request or answer from another process: `fallback` where it is missing or of another type.
[[nodiscard]] std::string text_field(const Json& object, const char* name, const std::string& fallback = "");
[[nodiscard]] uint64_t number_field(const Json& object, const char* name, uint64_t fallback = 0);
[[nodiscard]] bool flag_field(const Json& object, const char* name, bool fallback = false);

}  // namespace tidemark::cli
