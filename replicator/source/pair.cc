// DIR/pairs.json.
#include "replicator/source/pair.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "replicator/wire/endpoint.h"
#include "replicator/wire/keys.h"
#include "volume/group/directory.h"
#include "volume/group/sealed_json.h"

namespace tidemark {
namespace {

constexpr int kPairsFormat = 1;
constexpr size_t kPairsMax = 64;
constexpr uint64_t kBandwidthMin = 64u << 10;

std::string pairs_path(const std::string& directory) { return directory + "/pairs.json"; }

size_t line_of(std::string_view content, size_t byte) {
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
  if (!found->is_string()) return Status(Code::kCorrupt, where + ": '" + field + "' is not a string");
  return found->get<std::string>();
}

constexpr const char* kFields[] = {"site",    "endpoint",         "server_key", "own_key",         "mode",
                                   "fence",   "bytes_per_second", "state",      "since_ns",        "cause",
                                   "copied",  "fenced",           "parked",     "durable",         "drain_to",
                                   "reached", "wanted",           "armed",      "exposed_since_ns"};

// An optional value of one pair, of the type the default has; kCorrupt where it is of another.
template <class Value>
Status optional_field(const nlohmann::json& object, const char* field, Value& value, const std::string& where) {
  auto found = object.find(field);
  if (found == object.end()) return Status();
  bool fits = std::is_same_v<Value, bool> ? found->is_boolean()
              : std::is_unsigned_v<Value> ? found->is_number_unsigned()
                                          : found->is_number_integer();
  if (!fits) return Status(Code::kCorrupt, where + ": '" + field + "' has the wrong type");
  value = found->get<Value>();
  return Status();
}

// A text that is one of a few words; absent: the value stays.
template <class Value>
Status word_field(const nlohmann::json& object, const char* field, std::optional<Value> (*parse)(std::string_view),
                  Value& value, const std::string& where) {
  TM_ASSIGN(std::string word, text_field(object, field, false, where));
  if (word.empty()) return Status();
  std::optional<Value> known = parse(word);
  if (!known) return Status(Code::kCorrupt, where + ": '" + field + "' is unknown: '" + word + "'");
  value = *known;
  return Status();
}

// What files of earlier versions do not say. A fence that may have been armed is: a pair that was ever duplex, and is not suspended.
void derive_missing(const nlohmann::json& object, const PairConfig& config, PairStatus& status) {
  const bool rests = status.state == PairState::kSuspended || status.state == PairState::kSuspending;
  if (!object.contains("wanted")) status.wanted = rests ? PairWanted::kSuspended : PairWanted::kRun;
  if (object.contains("armed")) return;
  status.armed = config.mode == PairMode::kSync && config.fence == PairFence::kData && status.copied && !rests;
  status.fenced = status.fenced || (status.armed && status.state == PairState::kFailed);
}

Status status_from(const nlohmann::json& object, const PairConfig& config, PairStatus& status, const std::string& where) {
  uint64_t durable = 0, drain_to = 0, reached = 0;
  TM_TRY(word_field(object, "state", pair_state_from_name, status.state, where));
  TM_TRY(optional_field(object, "since_ns", status.since_ns, where));
  TM_TRY(optional_field(object, "exposed_since_ns", status.exposed_since_ns, where));
  TM_ASSIGN(status.cause, text_field(object, "cause", false, where));
  TM_TRY(optional_field(object, "copied", status.copied, where));
  TM_TRY(word_field(object, "wanted", pair_wanted_from_name, status.wanted, where));
  TM_TRY(optional_field(object, "armed", status.armed, where));
  TM_TRY(optional_field(object, "fenced", status.fenced, where));
  TM_TRY(optional_field(object, "parked", status.parked, where));
  TM_TRY(optional_field(object, "durable", durable, where));
  TM_TRY(optional_field(object, "drain_to", drain_to, where));
  TM_TRY(optional_field(object, "reached", reached, where));
  status.durable = Seq(durable);
  status.drain_to = Seq(drain_to);
  status.reached = Seq(std::max(reached, durable));
  derive_missing(object, config, status);
  return Status();
}

Result<Pair> pair_from(const nlohmann::json& object, const std::string& where) {
  if (!object.is_object()) return Status(Code::kCorrupt, where + " is not an object");
  for (const auto& [field, value] : object.items()) {
    if (std::find(std::begin(kFields), std::end(kFields), field) == std::end(kFields)) {
      return Status(Code::kCorrupt, where + ": unknown field '" + field + "'");
    }
  }
  Pair pair;
  PairConfig& config = pair.config;
  TM_ASSIGN(config.site, text_field(object, "site", true, where));
  TM_ASSIGN(config.endpoint, text_field(object, "endpoint", true, where));
  TM_ASSIGN(config.server_key, text_field(object, "server_key", false, where));
  TM_ASSIGN(config.own_key, text_field(object, "own_key", false, where));
  TM_TRY(word_field(object, "mode", pair_mode_from_name, config.mode, where));
  TM_TRY(word_field(object, "fence", pair_fence_from_name, config.fence, where));
  TM_TRY(optional_field(object, "bytes_per_second", config.bytes_per_second, where));
  TM_TRY(status_from(object, config, pair.status, where));
  return pair;
}

nlohmann::ordered_json pair_json(const Pair& pair) {
  const PairConfig& config = pair.config;
  const PairStatus& status = pair.status;
  nlohmann::ordered_json object;
  object["site"] = config.site;
  object["endpoint"] = config.endpoint;
  if (!config.server_key.empty()) object["server_key"] = config.server_key;
  if (!config.own_key.empty()) object["own_key"] = config.own_key;
  object["mode"] = pair_mode_name(config.mode);
  object["fence"] = pair_fence_name(config.fence);
  if (config.bytes_per_second != 0) object["bytes_per_second"] = config.bytes_per_second;
  object["state"] = pair_state_name(status.state);
  object["since_ns"] = status.since_ns;
  // A site's own words may be in it, in any bytes.
  object["cause"] =
      nlohmann::json::parse(nlohmann::json(status.cause).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
  object["copied"] = status.copied;
  object["wanted"] = pair_wanted_name(status.wanted);
  object["armed"] = status.armed;
  if (status.fenced) object["fenced"] = true;
  if (status.parked) object["parked"] = true;
  object["durable"] = status.durable.value();
  object["reached"] = status.reached.value();
  if (status.exposed_since_ns != 0) object["exposed_since_ns"] = status.exposed_since_ns;
  if (status.state == PairState::kSuspending) object["drain_to"] = status.drain_to.value();
  return object;
}

// The syntax alone; the files behind the keys are looked at when they are needed.
Status check_syntax(const PairConfig& pair) {
  TM_TRY(check_peer_name(pair.site, "site"));
  if (pair.site == "local" || pair.site == "all") {
    return Status(Code::kInvalid, "'" + pair.site + "' is reserved; choose another name for the site");
  }
  if (pair.fence == PairFence::kData && pair.mode != PairMode::kSync) {
    return Status(Code::kInvalid, "fence=data needs a sync pair: the target of an async pair may be behind");
  }
  if (pair.bytes_per_second != 0 && pair.bytes_per_second < kBandwidthMin) {
    return Status(Code::kInvalid, "a bandwidth limit must be at least 64 KiB a second; 0 means none");
  }
  return parse_lines(pair.endpoint).status();
}

Result<Pair*> find_pair(std::vector<Pair>& pairs, const std::string& site) {
  auto found = std::find_if(pairs.begin(), pairs.end(), [&](const Pair& pair) { return pair.config.site == site; });
  if (found != pairs.end()) return &*found;
  std::string names;
  for (const Pair& pair : pairs) names += (names.empty() ? "" : ", ") + pair.config.site;
  return Status(Code::kNotFound,
                "there is no pair with site '" + site + "'; known sites: " + (names.empty() ? "none" : names));
}

}  // namespace

Result<std::vector<Pair>> load_pairs(const std::string& directory, FileSystem& files) {
  std::string path = pairs_path(directory);
  Result<std::string> content = read_file(files, path);
  if (!content.ok()) {
    if (content.status().code() == Code::kNotFound) return std::vector<Pair>();
    return content.status();
  }
  return parse_pairs(*content, path);
}

Result<std::vector<Pair>> parse_pairs(std::string_view content, const std::string& path) {
  if (content.size() > kSealedJsonMax) return Status(Code::kCorrupt, path + ": it is too large for 64 pairs");
  nlohmann::json root;
  try {
    root = nlohmann::json::parse(content);
  } catch (const nlohmann::json::parse_error& error) {
    return Status(Code::kCorrupt, path + ":" + std::to_string(line_of(content, error.byte)) + ": " + error.what());
  } catch (const nlohmann::json::exception& error) {
    return Status(Code::kCorrupt, path + ": " + error.what());
  }
  if (!root.is_object() || root.value("format", nlohmann::json()) != kPairsFormat || !root.contains("pairs") ||
      !root["pairs"].is_array()) {
    return Status(Code::kCorrupt, path + ": 'format' is not 1 or 'pairs' is not a list");
  }
  if (root["pairs"].size() > kPairsMax) return Status(Code::kLimit, path + ": more than 64 pairs");
  std::vector<Pair> pairs;
  std::set<std::string> names;
  for (const nlohmann::json& object : root["pairs"]) {
    std::string where = path + ": pair " + std::to_string(pairs.size() + 1);
    TM_ASSIGN(Pair pair, pair_from(object, where));
    if (Status syntax = check_syntax(pair.config); !syntax.ok()) return Status(Code::kCorrupt, where + ": " + syntax.text());
    if (!names.insert(pair.config.site).second) {
      return Status(Code::kCorrupt, where + ": site '" + pair.config.site + "' appears twice");
    }
    pairs.push_back(std::move(pair));
  }
  // Last: what is wrong is better said by what stands there than by its sum.
  TM_TRY(open_sealed_json(content, path).status());
  return pairs;
}

Status save_pairs(const std::string& directory, const std::vector<Pair>& pairs, FileSystem& files) {
  if (pairs.size() > kPairsMax) return Status(Code::kLimit, "a group can have at most 64 pairs");
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Pair& pair : pairs) {
    TM_TRY(check_syntax(pair.config));
    list.push_back(pair_json(pair));
  }
  nlohmann::ordered_json root;
  root["format"] = kPairsFormat;
  root["pairs"] = std::move(list);
  std::string text;
  try {
    text = seal_json(root);
  } catch (const nlohmann::json::exception&) {
    return Status(Code::kInvalid, "the path of a key or socket is not UTF-8");  // JSON can hold nothing else
  }
  return write_file_atomically(files, pairs_path(directory), text);
}

Status check_pair(const PairConfig& pair) {
  TM_TRY(check_syntax(pair));
  TM_ASSIGN(const std::vector<Endpoint> lines, parse_lines(pair.endpoint));
  return load_client_keys(pair.server_key, pair.own_key, all_local(lines), pair.endpoint).status();
}

Status edit_pairs(const std::string& directory, const std::function<Status(std::vector<Pair>&)>& change) {
  TM_ASSIGN(auto lock, DirectoryLock::take(directory, "changing its pairs"));
  TM_ASSIGN(std::vector<Pair> pairs, load_pairs(directory));
  TM_TRY(change(pairs));
  return save_pairs(directory, pairs);
}

Status add_pair(std::vector<Pair>& pairs, const PairConfig& config) {
  TM_TRY(check_pair(config));
  if (find_pair(pairs, config.site).ok()) {
    return Status(Code::kExists, "there is already a pair with site '" + config.site + "'; delete it first to change it");
  }
  pairs.push_back({config, {}});
  return Status();
}

Status remove_pair(std::vector<Pair>& pairs, const std::string& site) {
  TM_TRY(find_pair(pairs, site).status());
  std::erase_if(pairs, [&](const Pair& pair) { return pair.config.site == site; });
  return Status();
}

Status suspend_pair(std::vector<Pair>& pairs, const std::string& site, int64_t wall_ns) {
  TM_ASSIGN(Pair * pair, find_pair(pairs, site));
  pair->status.wanted = PairWanted::kSuspended;
  if (pair->status.state != PairState::kSuspended) {
    change_state(pair->status, PairState::kSuspended, "suspended by an operator", wall_ns);
  }
  return Status();
}

Status resume_pair(std::vector<Pair>& pairs, const std::string& site, int64_t wall_ns) {
  TM_ASSIGN(Pair * pair, find_pair(pairs, site));
  TM_TRY(may_resume(pair->status, site));
  pair->status.wanted = PairWanted::kRun;
  change_state(pair->status, resumed_state(pair->status), "resumed by an operator", wall_ns);
  return Status();
}

}  // namespace tidemark
