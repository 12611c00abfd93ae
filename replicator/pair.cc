// DIR/pairs.json.
#include "replicator/pair.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "replicator/endpoint.h"
#include "replicator/keys.h"

namespace tidemark {
namespace {

constexpr int kPairsFormat = 1;
constexpr size_t kPairsMax = 64;

std::string pairs_path(const std::string& directory) { return directory + "/pairs.json"; }

size_t line_of(const std::string& content, size_t byte) {
  size_t line = 1;
  for (size_t i = 0; i < byte && i < content.size(); ++i) {
    if (content[i] == '\n') ++line;
  }
  return line;
}

// A text field of one pair; kCorrupt where it is missing (unless optional) or not a text.
Result<std::string> text_field(const nlohmann::json& object, const char* field, bool required, const std::string& where) {
  auto found = object.find(field);
  if (found == object.end()) {
    if (!required) return std::string();
    return Status(Code::kCorrupt, where + ": '" + field + "' is missing");
  }
  if (!found->is_string()) return Status(Code::kCorrupt, where + ": '" + field + "' is not a text");
  return found->get<std::string>();
}

Result<PairConfig> pair_from(const nlohmann::json& object, const std::string& where) {
  if (!object.is_object()) return Status(Code::kCorrupt, where + " is not an object");
  for (const auto& [field, value] : object.items()) {
    if (field != "site" && field != "endpoint" && field != "server_key" && field != "own_key") {
      return Status(Code::kCorrupt, where + ": unknown field '" + field + "'");
    }
  }
  PairConfig pair;
  TM_ASSIGN(pair.site, text_field(object, "site", true, where));
  TM_ASSIGN(pair.endpoint, text_field(object, "endpoint", true, where));
  TM_ASSIGN(pair.server_key, text_field(object, "server_key", false, where));
  TM_ASSIGN(pair.own_key, text_field(object, "own_key", false, where));
  return pair;
}

// The syntax alone; the files behind the keys are looked at when they are needed.
Status check_syntax(const PairConfig& pair) {
  TM_TRY(check_name(pair.site, "site"));
  if (pair.site == "local" || pair.site == "all") {
    return Status(Code::kInvalid, "'" + pair.site + "' has a meaning of its own; choose another name for the site");
  }
  return parse_endpoint(pair.endpoint, false).status();
}

}  // namespace

Result<std::vector<PairConfig>> load_pairs(const std::string& directory) {
  std::string path = pairs_path(directory);
  Result<std::string> content = read_file(posix_file_system(), path);
  if (!content.ok()) {
    if (content.status().code() == Code::kNotFound) return std::vector<PairConfig>();
    return content.status();
  }
  nlohmann::json root;
  try {
    root = nlohmann::json::parse(*content);
  } catch (const nlohmann::json::parse_error& error) {
    return Status(Code::kCorrupt, path + ":" + std::to_string(line_of(*content, error.byte)) + ": " + error.what());
  }
  if (!root.is_object() || root.value("format", nlohmann::json()) != kPairsFormat || !root.contains("pairs") ||
      !root["pairs"].is_array()) {
    return Status(Code::kCorrupt, path + ": 'format' is not 1 or 'pairs' is not a list");
  }
  if (root["pairs"].size() > kPairsMax) return Status(Code::kLimit, path + ": more than 64 pairs");
  std::vector<PairConfig> pairs;
  std::set<std::string> names;
  for (const nlohmann::json& object : root["pairs"]) {
    std::string where = path + ": pair " + std::to_string(pairs.size() + 1);
    TM_ASSIGN(PairConfig pair, pair_from(object, where));
    if (Status syntax = check_syntax(pair); !syntax.ok()) return Status(Code::kCorrupt, where + ": " + syntax.text());
    if (!names.insert(pair.site).second) return Status(Code::kCorrupt, where + ": site '" + pair.site + "' stands twice");
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

Status save_pairs(const std::string& directory, const std::vector<PairConfig>& pairs) {
  if (pairs.size() > kPairsMax) return Status(Code::kLimit, "a group can have at most 64 pairs");
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const PairConfig& pair : pairs) {
    TM_TRY(check_syntax(pair));
    nlohmann::ordered_json object;
    object["site"] = pair.site;
    object["endpoint"] = pair.endpoint;
    if (!pair.server_key.empty()) object["server_key"] = pair.server_key;
    if (!pair.own_key.empty()) object["own_key"] = pair.own_key;
    list.push_back(std::move(object));
  }
  nlohmann::ordered_json root;
  root["format"] = kPairsFormat;
  root["pairs"] = std::move(list);
  std::string text;
  try {
    text = root.dump(2) + "\n";
  } catch (const nlohmann::json::exception&) {
    return Status(Code::kInvalid, "the path of a key or socket is not UTF-8");  // JSON can hold nothing else
  }
  return write_file_atomically(posix_file_system(), pairs_path(directory), text);
}

Status check_pair(const PairConfig& pair) {
  TM_TRY(check_syntax(pair));
  TM_ASSIGN(Endpoint endpoint, parse_endpoint(pair.endpoint, false));
  return load_client_keys(pair.server_key, pair.own_key, endpoint.is_local(), pair.endpoint).status();
}

}  // namespace tidemark
