#include "cli/output/alerts.h"

#include <tidemark/exit_code.h>

#include <algorithm>

#include "cli/output/exit_map.h"
#include "cli/output/output.h"

namespace tidemark::cli {
namespace {

using Rpo = std::optional<double>;  // seconds

double seconds_field(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

// Collects what is told of one volume.
class Alerts {
 public:
  explicit Alerts(const Json& volume) : name_(printable(text_field(volume, "name"))) {}

  Alert& tell(AlertKind kind, Standing standing, int exit, const std::string& what, const std::string& since = "",
              const std::string& to_do = "") {
    Alert alert;
    alert.kind = kind;
    alert.standing = standing;
    alert.exit = exit;
    alert.what = printable(what);
    alert.since = since;
    alert.to_do = printable(to_do);
    alert.text =
        name_ + ": " + alert.what + (since.empty() ? "" : ", since " + since) + (to_do.empty() ? "" : "; " + alert.to_do);
    found_.push_back(std::move(alert));
    return found_.back();
  }
  std::vector<Alert> take() { return std::move(found_); }

 private:
  const std::string name_;
  std::vector<Alert> found_;
};

void tell_down(Alerts& alerts, const std::string& what, const std::string& since, const std::string& to_do) {
  alerts.tell(AlertKind::kDown, Standing::kDown, TIDEMARK_EXIT_FAILURE, what, since, to_do);
}

Alert& tell_at_risk(Alerts& alerts, const std::string& what, const std::string& since, const std::string& to_do) {
  return alerts.tell(AlertKind::kAtRisk, Standing::kAtRisk, TIDEMARK_EXIT_PARTIAL, what, since, to_do);
}

// The volume could not be read, or this user may not read it.
void tell_error(Alerts& alerts, const Json& volume) {
  if (!volume.contains("error")) return;
  const std::string what = text_field(volume, "error");
  const int exit = exit_code(code_from_name(text_field(volume, "error_code")));
  if (exit == TIDEMARK_EXIT_NOT_AUTHORISED) {
    alerts.tell(AlertKind::kUnknown, Standing::kUnknown, exit, "this user may not see its state: " + what, "",
                "run `tidemark status` as the user that runs it, or as root");
  } else {
    alerts.tell(AlertKind::kDown, Standing::kDown, exit, what);
  }
}

void tell_mount(Alerts& alerts, const Json& volume) {
  const std::string where = text_field(volume, "mountpoint");
  const std::string answers = text_field(volume, "mount");
  if (answers == "dead") {
    tell_down(alerts, "the mount at " + where + " does not answer: its process has ended", "",
              "`tidemark umount " + where + "`, then mount it again; the system log says why it ended");
  } else if (answers == "silent") {
    tell_down(alerts, "the mount at " + where + " does not answer in time", "", "check its process and the disk under it");
  }
  if (!flag_field(volume, "holder_answers", true)) {
    tell_down(alerts, "process " + std::to_string(number_field(volume, "holder_pid")) + ", which holds it, does not answer",
              "", "check that process and the disk under it; the state shown is the last one it saved");
  }
}

// Held for another site, here or there.
bool is_copy(const Json& volume) {
  return text_field(volume, "role") == "replica" || text_field(volume, "role") == "remote";
}

// Why nothing can be written, each reason once.
void tell_refusal(Alerts& alerts, const Json& volume) {
  if (!flag_field(volume, "healthy", true)) {
    alerts.tell(AlertKind::kLogFailed, Standing::kDown, TIDEMARK_EXIT_FAILURE,
                "the log has failed: " + text_field(volume, "health"), "", "check the disk, then unmount and mount again");
    return;
  }
  if (volume.contains("superseded")) {
    const Json& by = volume["superseded"];
    return tell_down(alerts, "writes are refused: " + text_field(by, "advice"), text_field(by, "time"), "");
  }
  if (!flag_field(volume, "writable", true)) {
    return tell_down(alerts, "writes are refused: " + text_field(volume, "refusal"), text_field(volume, "refused_since"),
                     "");
  }
  for (const Json& pair : volume.value("pairs", Json::array())) {
    if (!flag_field(pair, "withholds") || !flag_field(pair, "running") || flag_field(pair, "fenced")) continue;
    tell_down(alerts,
              "nothing is acknowledged as durable (fence=data) until the pair with site '" + text_field(pair, "site") +
                  "' is duplex",
              text_field(pair, "since"), text_field(pair, "advice"));
  }
}

void tell_log_limit(Alerts& alerts, const Json& volume) {
  const std::string pressure = text_field(volume, "log_pressure");
  const std::string on_full = text_field(volume, "on_full");
  const std::string of_limit = human_bytes(number_field(volume, "log_bytes")) + " of the log limit of " +
                               human_bytes(number_field(volume, "log_limit")) + " are used";
  if (pressure == "full") {
    const Standing standing = on_full == "block-writes" ? Standing::kDown : Standing::kAtRisk;
    alerts.tell(AlertKind::kLogFull, standing, TIDEMARK_EXIT_RPO_EXCEEDED, "the log is full: " + of_limit + ", " + on_full,
                "", "prune it, raise --max-log, or bring back the site that still needs the log");
  }
  if (pressure == "alert") alerts.tell(AlertKind::kLogAlert, Standing::kAtRisk, TIDEMARK_EXIT_RPO_EXCEEDED, of_limit);
}

// --- copies

// A pair of the volume's own, seen from its source; "" where it keeps within `rpo`.
std::string pair_exceeds(const Json& pair, uint64_t newest, double rpo) {
  const std::string who = "the pair with site '" + text_field(pair, "site") + "' ";
  const std::string state = text_field(pair, "state");
  const double since = seconds_field(pair, "state_seconds");
  if (state != "duplex" && since > rpo) return who + "has been " + state + " for " + human_seconds(since);
  const double exposed = seconds_field(pair, "exposed_seconds");
  if (exposed > rpo) return who + "exposes the last " + human_seconds(exposed);
  if (!flag_field(pair, "running") && number_field(pair, "durable") < newest) {
    return who + "is not running, and the site is only known to have record " + human_count(number_field(pair, "durable")) +
           " of " + human_count(newest);
  }
  const bool unknown = flag_field(pair, "exposed_at_least") || !pair.contains("exposed_seconds");
  if (unknown && number_field(pair, "exposed_records") > 0) {
    return who + "exposes " + human_count(number_field(pair, "exposed_records")) +
           " records, for an unknown time: the log no longer holds the oldest of them";
  }
  return "";
}

// At a site: the pair that feeds this copy.
std::string source_exceeds(const Json& source, double rpo) {
  const std::string state = text_field(source, "state");
  const double since = seconds_field(source, "state_seconds");
  const std::string who = "the pair from " + text_field(source, "source") + " ";
  if (state != "duplex" && since > rpo) return who + "has been " + state + " for " + human_seconds(since);
  if (text_field(source, "copy") != "unknown") return "";
  if (!source.contains("heard_seconds")) return who + "has not been heard from for an unknown time";
  const double silent = seconds_field(source, "heard_seconds");
  return silent > rpo ? who + "has not been heard from for " + human_seconds(silent) : "";
}

// Whether a copy that is so may be so for a while.
bool passes(const std::string& copy) { return copy == "behind" || copy == "unknown" || copy == "up to date"; }

std::string lacking(const Json& pair) {
  const uint64_t records = number_field(pair, "exposed_records");
  return records == 0 ? "" : ", it lacks " + human_count(records) + " records";
}

// A copy that this volume is shipped to, directly or not.
void tell_copy(Alerts& alerts, const Json& pair, bool rpo_given) {
  const std::string copy = text_field(pair, "copy");
  const std::string state = text_field(pair, "state");
  const std::string who = "the copy at site '" + text_field(pair, "site") + "' ";
  if (copy.empty() || (copy == "up to date" && state == "duplex")) return;
  std::string what = who + "is " + copy + " (" + state + lacking(pair) + ")";
  if (copy == "up to date") what = who + "is complete, but receives no updates (" + state + ")";
  if (const std::string error = text_field(pair, "last_error"); !error.empty()) what += ": " + error;
  Alert& told = tell_at_risk(alerts, what, text_field(pair, "copy_since"), text_field(pair, "advice"));
  told.within_rpo = rpo_given && passes(copy);
}

void tell_source(Alerts& alerts, const Json& volume, bool rpo_given) {
  if (!is_copy(volume) || !volume.contains("served")) return;
  if (!flag_field(volume, "served")) {
    tell_down(alerts, "no process serves this copy, so it receives nothing", "",
              "run `tidemark serve` with its parent directory as --dir");
  }
  if (!volume.contains("source")) {
    tell_at_risk(alerts, "no source has connected to this copy yet", "",
                 "create a pair at the primary, or check the existing one there");
    return;
  }
  const Json& source = volume["source"];
  const std::string copy = text_field(source, "copy");
  if (copy.empty() || copy == "up to date") return;
  const std::string who = "its source " + text_field(source, "source") + " ";
  const std::string since = text_field(source, "copy_since");
  if (copy == "unknown") {
    const std::string held = "this copy has record " + human_count(number_field(volume, "durable")) + ", the source had " +
                             human_count(number_field(source, "newest")) + " at that time";
    Alert& told =
        tell_at_risk(alerts, who + "is silent (it last reported " + text_field(source, "said_state") + "; " + held + ")",
                     since, "check the source; if it is lost, restore from this copy (`tidemark restore`)");
    told.within_rpo = rpo_given;
    return;
  }
  Alert& told = tell_at_risk(alerts, who + "reports " + text_field(source, "said_state") + ", so the copy is " + copy, since,
                             "run `tidemark status` at the source");
  told.within_rpo = rpo_given;
}

void tell_damage(Alerts& alerts, const Json& volume) {
  const std::string repair =
      "run `tidemark verify " + text_field(volume, "directory") + " --repair` to fetch damaged records from another copy";
  if (volume.contains("damaged_from")) {
    tell_at_risk(alerts, "its log is damaged from record " + human_count(number_field(volume, "damaged_from")) + " on", "",
                 repair);
  }
  const Json scrub = volume.value("scrub", Json::object());
  const size_t places = scrub.value("damaged", Json::array()).size();
  if (places == 0) return;
  tell_at_risk(alerts,
               "scrubbing found " + human_count(places) + (places == 1 ? " damaged place" : " damaged places") +
                   " that no reachable copy can repair",
               "", repair);
}

}  // namespace

std::string standing_name(Standing standing) {
  switch (standing) {
    case Standing::kLocal: return "LOCAL";
    case Standing::kProtected: return "PROTECTED";
    case Standing::kUnknown: return "UNKNOWN";
    case Standing::kAtRisk: return "AT RISK";
    case Standing::kDown: return "DOWN";
  }
  return "UNKNOWN";
}

std::vector<Alert> alerts_of(const Json& volume, std::optional<std::chrono::milliseconds> rpo) {
  Alerts alerts(volume);
  tell_error(alerts, volume);
  tell_mount(alerts, volume);
  tell_refusal(alerts, volume);
  tell_log_limit(alerts, volume);
  const auto exceeds = [&](const std::string& text) {
    if (text.empty()) return;
    alerts.tell(AlertKind::kRpoExceeded, Standing::kAtRisk, TIDEMARK_EXIT_RPO_EXCEEDED, text);
  };
  const double limit = rpo ? std::chrono::duration<double>(*rpo).count() : 0;
  for (const Json& pair : volume.value("pairs", Json::array())) {
    if (rpo) exceeds(pair_exceeds(pair, number_field(volume, "durable"), limit));
    tell_copy(alerts, pair, rpo.has_value());
  }
  if (rpo && volume.contains("source")) exceeds(source_exceeds(volume["source"], limit));
  for (const Json& site : volume.value("downstream", Json::array())) tell_copy(alerts, site, rpo.has_value());
  tell_source(alerts, volume, rpo.has_value());
  tell_damage(alerts, volume);
  std::vector<Alert> found = alerts.take();
  std::stable_sort(found.begin(), found.end(), [](const Alert& a, const Alert& b) { return a.kind < b.kind; });
  return found;
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
  for (const Alert& alert : alerts) {
    if (!alert.within_rpo) return alert.exit;
  }
  return TIDEMARK_EXIT_OK;
}

void add_standing(Json& volume, std::optional<std::chrono::milliseconds> rpo) {
  if (text_field(volume, "role") == "point" && text_field(volume, "mount") == "answers")
    return;  // the past: nothing is at stake
  const bool copied = !volume.value("pairs", Json::array()).empty() || is_copy(volume);
  Standing standing = copied ? Standing::kProtected : Standing::kLocal;
  Json reasons = Json::array();
  for (const Alert& alert : alerts_of(volume, rpo)) {
    standing = std::max(standing, alert.standing);
    reasons.push_back(
        {{"standing", standing_name(alert.standing)}, {"what", alert.what}, {"since", alert.since}, {"to_do", alert.to_do}});
  }
  volume["standing"] = standing_name(standing);
  volume["reasons"] = std::move(reasons);
}

}  // namespace tidemark::cli
