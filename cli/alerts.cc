#include "cli/alerts.h"

#include <tidemark/exit_code.h>

#include <algorithm>

#include "cli/output.h"

namespace tidemark::cli {
namespace {

double seconds_field(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

// A pair of the volume's own, seen from its source; "" where it keeps within `rpo`.
std::string pair_exceeds(const Json& pair, uint64_t newest, double rpo) {
  const std::string who = "the pair with site '" + printable(text_field(pair, "site")) + "' ";
  const std::string state = text_field(pair, "state");
  const double since = seconds_field(pair, "state_seconds");
  if (state != "duplex" && since > rpo) return who + "has been " + state + " for " + human_seconds(since);
  const double exposed = seconds_field(pair, "exposed_seconds");
  if (exposed > rpo) return who + "exposes the last " + human_seconds(exposed);
  if (!flag_field(pair, "running") && number_field(pair, "durable") < newest) {
    return who + "does not run, and the site is not known to have more than record " +
           human_count(number_field(pair, "durable")) + " of " + human_count(newest);
  }
  return "";
}

// At a site: the pair that feeds this copy.
std::string source_exceeds(const Json& source, double rpo) {
  const std::string state = text_field(source, "state");
  const double since = seconds_field(source, "state_seconds");
  if (state == "duplex" || since <= rpo) return "";
  return "the pair from " + printable(text_field(source, "source")) + " has been " + state + " for " + human_seconds(since);
}

}  // namespace

std::vector<Alert> alerts_of(const Json& volume, std::optional<std::chrono::milliseconds> rpo) {
  std::vector<Alert> alerts;
  const std::string name = printable(text_field(volume, "name")) + ": ";
  const auto tell = [&](AlertKind kind, const std::string& text) {
    if (!text.empty()) alerts.push_back({kind, name + text});
  };
  if (!flag_field(volume, "healthy", true)) {
    tell(AlertKind::kLogFailed, "the log has failed: " + printable(text_field(volume, "health")));
  }
  const std::string pressure = text_field(volume, "log_pressure");
  const std::string of_limit = human_bytes(number_field(volume, "log_bytes")) + " of the log limit of " +
                               human_bytes(number_field(volume, "log_limit")) + " are used";
  if (pressure == "full") tell(AlertKind::kLogFull, "the log is full: " + of_limit + ", " + text_field(volume, "on_full"));
  if (rpo) {
    const double limit = std::chrono::duration<double>(*rpo).count();
    const uint64_t newest = number_field(volume, "durable");
    for (const Json& pair : volume.value("pairs", Json::array())) {
      tell(AlertKind::kRpoExceeded, pair_exceeds(pair, newest, limit));
    }
    if (volume.contains("source")) tell(AlertKind::kRpoExceeded, source_exceeds(volume["source"], limit));
  }
  if (pressure == "alert") tell(AlertKind::kLogAlert, of_limit);
  return alerts;
}

std::vector<Alert> alerts_of_all(const Json& volumes, std::optional<std::chrono::milliseconds> rpo) {
  std::vector<Alert> all;
  for (const Json& volume : volumes) {
    for (Alert& alert : alerts_of(volume, rpo)) all.push_back(std::move(alert));
  }
  std::stable_sort(all.begin(), all.end(), [](const Alert& a, const Alert& b) { return a.kind < b.kind; });
  return all;
}

int alerts_exit_code(const std::vector<Alert>& alerts) {
  if (alerts.empty()) return TIDEMARK_EXIT_OK;
  return alerts.front().kind == AlertKind::kLogFailed ? TIDEMARK_EXIT_FAILURE : TIDEMARK_EXIT_RPO_EXCEEDED;
}

}  // namespace tidemark::cli
