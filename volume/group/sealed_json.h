// The small JSON files of a group's directory (group.json, pairs.json, site.json) carry a sum over themselves in their last field,
// "check": a flipped bit anywhere in one of them is noticed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tidemark {

inline constexpr size_t kSealedJsonMax = 1024 * 1024;  // bytes; 64 pairs with the longest words of their sites take less
inline constexpr int kSealedJsonDepthMax = 8;

// The file's text: `fields` (an object) with their sum.
std::string seal_json(const nlohmann::ordered_json& fields);

// The fields, without the sum. kCorrupt: `path`, where, and what is wrong; every byte of `text` is as seal_json() made it.
Result<nlohmann::ordered_json> open_sealed_json(std::string_view text, const std::string& path);

}  // namespace tidemark
