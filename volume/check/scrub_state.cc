#include "volume/check/scrub_state.h"

#include "volume/group/sealed_json.h"

namespace tidemark {
namespace {

constexpr int kFormat = 1;

std::string path_in(const std::string& directory) { return directory + "/scrub.json"; }

}  // namespace

Result<ScrubState> load_scrub_state(const std::string& directory, FileSystem& files) {
  const std::string path = path_in(directory);
  Result<std::string> content = read_file(files, path);
  if (content.status().code() == Code::kNotFound) return ScrubState();
  TM_TRY(content.status());
  TM_ASSIGN(const nlohmann::ordered_json json, open_sealed_json(*content, path));
  try {
    if (json.at("format") != kFormat) return Status(Code::kCorrupt, path + ": this version does not know its format");
    ScrubState state;
    state.every_s = json.at("every_s").get<int64_t>();
    state.known_ns = json.at("known_ns").get<int64_t>();
    state.began_ns = json.at("began_ns").get<int64_t>();
    state.ended_ns = json.at("ended_ns").get<int64_t>();
    state.running = json.at("running").get<bool>();
    state.to = Seq(json.at("to").get<uint64_t>());
    state.packs = json.at("packs").get<bool>();
    state.next = Seq(json.at("next").get<uint64_t>());
    state.bytes_done = json.at("bytes_done").get<uint64_t>();
    state.bytes_total = json.at("bytes_total").get<uint64_t>();
    state.found = json.at("found").get<uint64_t>();
    state.healed = json.at("healed").get<uint64_t>();
    for (const auto& each : json.at("damaged")) {
      if (state.damaged.size() == kScrubDamageMax) break;
      state.damaged.push_back(
          {each.at("file").get<std::string>(), each.at("byte").get<uint64_t>(), Seq(each.at("seq").get<uint64_t>())});
    }
    return state;
  } catch (const nlohmann::json::exception& error) {
    return Status(Code::kCorrupt, path + ": " + error.what());
  }
}

Status save_scrub_state(const std::string& directory, const ScrubState& state, FileSystem& files) {
  auto damaged = nlohmann::ordered_json::array();
  for (const ScrubDamage& each : state.damaged) {
    damaged.push_back({{"file", each.file}, {"byte", each.at}, {"seq", each.seq.value()}});
  }
  const nlohmann::ordered_json json = {{"format", kFormat},
                                       {"every_s", state.every_s},
                                       {"known_ns", state.known_ns},
                                       {"began_ns", state.began_ns},
                                       {"ended_ns", state.ended_ns},
                                       {"running", state.running},
                                       {"to", state.to.value()},
                                       {"packs", state.packs},
                                       {"next", state.next.value()},
                                       {"bytes_done", state.bytes_done},
                                       {"bytes_total", state.bytes_total},
                                       {"found", state.found},
                                       {"healed", state.healed},
                                       {"damaged", damaged}};
  return write_file_atomically(files, path_in(directory), seal_json(json));
}

}  // namespace tidemark
