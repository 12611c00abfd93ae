#include "volume/group/superseded.h"

#include "volume/group/sealed_json.h"
#include "volume/history/point.h"

namespace tidemark {
namespace {

constexpr int kFormat = 1;

}  // namespace

Result<std::optional<Superseded>> load_superseded(const std::string& directory, FileSystem& files) {
  const std::string path = superseded_path(directory);
  Result<std::string> content = read_file(files, path);
  if (!content.ok()) {
    if (content.status().code() == Code::kNotFound) return std::optional<Superseded>();
    return content.status();
  }
  TM_ASSIGN(const nlohmann::ordered_json json, open_sealed_json(*content, path));
  try {
    if (json.at("format") != kFormat) return Status(Code::kCorrupt, path + ": this version does not know its format");
    Superseded by;
    by.epoch = Epoch(json.at("epoch").get<uint64_t>());
    by.own = Epoch(json.at("own_epoch").get<uint64_t>());
    by.told_by = json.at("told_by").get<std::string>();
    by.time_ns = json.at("time_ns").get<int64_t>();
    return std::optional<Superseded>(std::move(by));
  } catch (const nlohmann::json::exception& error) {
    return Status(Code::kCorrupt, path + ": " + error.what());
  }
}

Status save_superseded(const std::string& directory, const Superseded& by, FileSystem& files) {
  const nlohmann::ordered_json json = {{"format", kFormat},
                                       {"epoch", by.epoch.value()},
                                       {"own_epoch", by.own.value()},
                                       {"told_by", by.told_by},
                                       {"time_ns", by.time_ns}};
  return write_file_atomically(files, superseded_path(directory), seal_json(json));
}

std::string superseded_text(const std::string& directory, const Superseded& by) {
  const std::string epoch = by.epoch == Epoch() ? "a newer epoch" : "epoch " + std::to_string(by.epoch.value());
  const std::string who = by.told_by.empty() ? "" : ": site '" + by.told_by + "' said so at " + format_time(by.time_ns);
  return "this volume is fenced: a primary of " + epoch + " has taken over its group (this one is of epoch " +
         std::to_string(by.own.value()) + who + "). Nothing more is written here; use the new primary. If there is none, " +
         "unmount the volume and remove " + superseded_path(directory);
}

}  // namespace tidemark
