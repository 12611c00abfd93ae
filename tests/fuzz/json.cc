// group.json, pairs.json and the sum both carry.
#include "replicator/source/pair.h"
#include "tests/fuzz/fuzz.h"
#include "volume/group/directory.h"
#include "volume/group/sealed_json.h"

namespace tidemark::fuzz {
namespace {

void parse(std::string_view text) {
  (void)parse_identity(text, "group.json");
  (void)parse_pairs(text, "pairs.json");
  if (auto fields = open_sealed_json(text, "x.json"); fields.ok()) CHECK_INVARIANT(seal_json(*fields) == text);
}

}  // namespace

void fuzz_one(Bytes bytes) {
  parse(as_text(bytes));
  // The same with a right sum, so that what stands behind it is reached.
  const auto fields = nlohmann::ordered_json::parse(as_text(bytes), nullptr, false);
  if (fields.is_object() && !fields.contains("check") && bytes.size() < 4096) {
    int depth = 0, deepest = 0;
    for (const char c : as_text(bytes)) {
      depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
      deepest = std::max(deepest, depth);
    }
    if (deepest <= kSealedJsonDepthMax) parse(seal_json(fields));
  }
}

std::vector<std::string> fuzz_seeds() {
  const nlohmann::ordered_json group = {
      {"format", 1}, {"group", "0102030405060708090a0b0c0d0e0f10"}, {"name", "shop"}, {"role", "primary"}};
  const nlohmann::ordered_json pair = {
      {"site", "away"}, {"endpoint", "tcp://127.0.0.1:7400"}, {"server_key", "/k/s"}, {"own_key", "/k/o"}};
  const nlohmann::ordered_json pairs = {{"format", 1}, {"pairs", nlohmann::ordered_json::array({pair})}};
  return {seal_json(group), seal_json(pairs), group.dump(), pairs.dump(), std::string(200, '[')};
}

}  // namespace tidemark::fuzz
