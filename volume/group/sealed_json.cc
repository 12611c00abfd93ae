#include "volume/group/sealed_json.h"

#include "base/hash.h"

namespace tidemark {
namespace {

constexpr const char* kCheck = "check";

std::string hex(uint64_t value) {
  std::string text(16, '0');
  for (size_t i = text.size(); i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

}  // namespace

std::string seal_json(const nlohmann::ordered_json& fields) {
  nlohmann::ordered_json sealed = fields;
  sealed[kCheck] = hex(hash64(as_bytes(fields.dump())));
  return sealed.dump(2) + "\n";
}

Result<nlohmann::ordered_json> open_sealed_json(std::string_view text, const std::string& path) {
  const auto bad = [&](const std::string& what) { return Status(Code::kCorrupt, path + ": " + what); };
  if (text.size() > kSealedJsonMax) return bad("it is larger than any such file can be");
  bool deep = false;
  const auto watch_depth = [&](int depth, nlohmann::ordered_json::parse_event_t, nlohmann::ordered_json&) {
    deep = deep || depth > kSealedJsonDepthMax;
    return !deep;
  };
  nlohmann::ordered_json fields;
  try {
    fields = nlohmann::ordered_json::parse(text, watch_depth);
  } catch (const nlohmann::json::exception& error) {
    return bad(error.what());
  }
  if (deep || !fields.is_object()) return bad("it is not a flat object");
  if (!fields.contains(kCheck)) return bad("'check' is missing: the file is damaged, or was written by hand");
  fields.erase(kCheck);
  if (seal_json(fields) != text) return bad("its check is wrong: the file is damaged, or was changed by hand");
  return fields;
}

}  // namespace tidemark
