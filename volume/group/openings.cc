#include "volume/group/openings.h"

#include "base/logging.h"
#include "volume/group/sealed_json.h"

namespace tidemark {
namespace {

constexpr int kFormat = 1;

}  // namespace

Result<std::vector<Position>> load_openings(const std::string& directory, FileSystem& files) {
  const std::string path = openings_path(directory);
  Result<std::string> content = read_file(files, path);
  if (!content.ok() && content.status().code() == Code::kNotFound) return std::vector<Position>();
  if (!content.ok()) return content.status();
  TM_ASSIGN(const nlohmann::ordered_json json, open_sealed_json(*content, path));
  try {
    if (json.at("format") != kFormat) return Status(Code::kCorrupt, path + ": this version does not know its format");
    std::vector<Position> openings;
    for (const auto& each : json.at("openings")) {
      openings.push_back({Epoch(each.at(0).get<uint64_t>()), Seq(each.at(1).get<uint64_t>()), each.at(2).get<uint64_t>()});
    }
    return openings;
  } catch (const nlohmann::json::exception& error) {
    return Status(Code::kCorrupt, path + ": " + error.what());
  }
}

Result<std::vector<Position>> note_opening(const std::string& directory, const Position& end, FileSystem& files) {
  auto known = load_openings(directory, files);
  if (known.status().code() == Code::kCorrupt) {
    log_warning(known.status().text() + "; starting a new file");
    known = std::vector<Position>();
  }
  TM_ASSIGN(std::vector<Position> openings, std::move(known));
  if (!openings.empty() && openings.back() == end) return openings;
  std::erase_if(openings, [&](const Position& each) { return each.seq >= end.seq; });
  openings.push_back(end);
  if (openings.size() > kOpeningsMax) openings.erase(openings.begin(), openings.end() - kOpeningsMax);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Position& each : openings) list.push_back({each.epoch.value(), each.seq.value(), each.chain});
  const nlohmann::ordered_json json = {{"format", kFormat}, {"openings", std::move(list)}};
  TM_TRY(write_file_atomically(files, openings_path(directory), seal_json(json)));
  return openings;
}

}  // namespace tidemark
