#include "cli/output/scrub_status.h"

#include <algorithm>

#include "cli/output/output.h"
#include "volume/check/scrub_state.h"
#include "volume/history/point.h"

namespace tidemark::cli {
namespace {

constexpr size_t kPlacesShown = 5;

std::string time_text(int64_t ns) { return ns == 0 ? "" : format_time(ns); }

std::string every_text(uint64_t seconds) {
  if (seconds == 0) return "off";
  if (seconds % 86'400 == 0) return "every " + std::to_string(seconds / 86'400) + "d";
  if (seconds % 3'600 == 0) return "every " + std::to_string(seconds / 3'600) + "h";
  return "every " + std::to_string(seconds) + "s";
}

}  // namespace

void add_scrub(Json& status, const std::string& directory) {
  const auto state = load_scrub_state(directory);
  if (!state.ok() || state->known_ns == 0) return;
  Json damaged = Json::array();
  for (const ScrubDamage& each : state->damaged) {
    damaged.push_back({{"file", each.file}, {"byte", each.at}, {"seq", each.seq.value()}});
  }
  status["scrub"] = {{"every_seconds", state->every_s},
                     {"last_pass", time_text(state->ended_ns)},
                     {"running", state->running},
                     {"pass_began", time_text(state->began_ns)},
                     {"bytes_done", state->bytes_done},
                     {"bytes_total", state->bytes_total},
                     {"found", state->found},
                     {"healed", state->healed},
                     {"damaged", damaged}};
}

void print_scrub(const Json& status) {
  if (!status.contains("scrub")) return;
  const Json& scrub = status["scrub"];
  std::string line = "  scrub       " + every_text(number_field(scrub, "every_seconds"));
  const std::string last = text_field(scrub, "last_pass");
  line += last.empty() ? ", no complete pass yet" : ", last complete pass " + last;
  if (flag_field(scrub, "running") && number_field(scrub, "every_seconds") != 0) {
    const uint64_t total = std::max<uint64_t>(1, number_field(scrub, "bytes_total"));
    line += "; now " + std::to_string(std::min<uint64_t>(100, number_field(scrub, "bytes_done") * 100 / total)) + " %";
  }
  line += "; damage found: " + human_count(number_field(scrub, "found")) +
          ", repaired: " + human_count(number_field(scrub, "healed"));
  print_line(line);
  const Json damaged = scrub.value("damaged", Json::array());
  if (damaged.empty()) return;
  std::string text = "  DAMAGED     " + human_count(damaged.size()) + (damaged.size() == 1 ? " place: " : " places: ");
  for (size_t i = 0; i < std::min(damaged.size(), kPlacesShown); ++i) {
    const uint64_t seq = number_field(damaged[i], "seq");
    text += (i == 0 ? "" : "; ") + printable(text_field(damaged[i], "file")) + ", byte " +
            std::to_string(number_field(damaged[i], "byte")) + (seq == 0 ? "" : ", record " + std::to_string(seq));
  }
  print_line(text + (damaged.size() > kPlacesShown ? " …" : ""));
}

}  // namespace tidemark::cli
