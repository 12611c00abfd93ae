#include "replicator/site/source_record.h"

#include "replicator/site/heard_note.h"
#include "volume/group/sealed_json.h"

namespace tidemark {

nlohmann::ordered_json source_to_json(const SourceRecord& source) {
  return {{"source", source.news.source},
          {"mode", pair_mode_name(source.news.mode)},
          {"fence", pair_fence_name(source.news.fence)},
          {"said_state", pair_state_name(source.news.state)},
          {"said_since_ns", source.news.since_ns},
          {"said_cause", source.news.cause},
          {"state", pair_state_name(source.state)},
          {"since_ns", source.since_ns},
          {"cause", source.cause},
          {"heard_ns", source.heard_ns},
          {"newest", source.newest.value()},
          {"ended", source.ended}};
}

std::optional<SourceRecord> source_from_json(const nlohmann::ordered_json& json) {
  try {
    SourceRecord source;
    source.news.source = json.at("source").get<std::string>();
    source.news.mode = pair_mode_from_name(json.at("mode").get<std::string>()).value();
    source.news.fence = pair_fence_from_name(json.at("fence").get<std::string>()).value();
    source.news.state = pair_state_from_name(json.at("said_state").get<std::string>()).value();
    source.news.since_ns = json.at("said_since_ns").get<int64_t>();
    source.news.cause = json.at("said_cause").get<std::string>();
    source.state = pair_state_from_name(json.at("state").get<std::string>()).value();
    source.since_ns = json.at("since_ns").get<int64_t>();
    source.cause = json.at("cause").get<std::string>();
    // What earlier versions did not write.
    source.heard_ns = json.value("heard_ns", int64_t{0});
    source.newest = Seq(json.value("newest", uint64_t{0}));
    source.ended = json.value("ended", false);
    return source;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

Result<std::optional<SourceRecord>> load_source_record(const std::string& directory, FileSystem& files) {
  const std::string path = site_record_path(directory);
  Result<std::string> content = read_file(files, path);
  if (content.status().code() == Code::kNotFound) return std::optional<SourceRecord>();
  TM_TRY(content.status());
  TM_ASSIGN(const nlohmann::ordered_json root, open_sealed_json(*content, path));
  if (!root.contains("pair")) return std::optional<SourceRecord>();
  std::optional<SourceRecord> source = source_from_json(root["pair"]);
  if (!source) return Status(Code::kCorrupt, path + ": its record of the source is damaged");
  const Heard heard = read_heard(files, directory);
  source->heard_ns = std::max(source->heard_ns, heard.time_ns);
  source->newest = std::max(source->newest, heard.newest);
  return source;
}

}  // namespace tidemark
