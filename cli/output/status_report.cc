#include "cli/output/status_report.h"

#include <algorithm>

#include "base/clock.h"
#include "base/pinned.h"
#include "cli/output/output.h"
#include "cli/output/scrub_status.h"
#include "cli/settings/pool.h"

namespace tidemark::cli {
namespace {

std::string role_name(const Group& group) {
  if (group.superseded()) return "fenced";
  return group.identity().role == Role::kPrimary ? "primary" : "replica";
}

void print_field(const char* name, const std::string& value) {
  std::string line = "  ";
  line += name;
  line.append(line.size() < 14 ? 14 - line.size() : 1, ' ');
  print_line(line + value);
}

std::string count_field(const Json& status, const char* name) { return human_count(number_field(status, name)); }

std::string exposure_text(const Json& pair) {
  uint64_t records = number_field(pair, "exposed_records");
  if (records == 0)
    return text_field(pair, "copy") == "unknown" ? "nothing exposed when last heard from" : "nothing exposed";
  std::string text = "exposed: " + human_count(records) + " records";
  if (pair.contains("exposed_bytes")) text += ", " + human_bytes(number_field(pair, "exposed_bytes"));
  if (!pair.contains("exposed_seconds")) return text + ", since an unknown time";
  if (flag_field(pair, "exposed_at_least")) text += ", more than";
  return text + (flag_field(pair, "exposed_at_least") ? " " : ", ") + human_seconds(pair.value("exposed_seconds", 0.0));
}

// "up to date; ", "unknown since …; "
std::string copy_text(const Json& pair) {
  const std::string copy = text_field(pair, "copy");
  if (copy.empty()) return "";
  const std::string since = text_field(pair, "copy_since");
  return copy + (since.empty() ? "" : " since " + since) + "; ";
}

void print_pair(const Json& pair) {
  std::string line = text_field(pair, "site") + " at " + text_field(pair, "endpoint") + ": " + copy_text(pair) +
                     state_text(pair) + ", " + text_field(pair, "mode");
  if (flag_field(pair, "running")) {
    line += flag_field(pair, "connected") ? ", connected" : ", not connected";
    line += ", durable there up to " + count_field(pair, "durable") + ", " + exposure_text(pair);
  }
  print_field("pair", line);
  if (pair.contains("remaining_seconds")) {
    print_field("", human_bytes(number_field(pair, "copied_bytes")) + " of " +
                        human_bytes(number_field(pair, "copy_bytes")) + " copied, about " +
                        human_seconds(pair.value("remaining_seconds", 0.0)) + " left");
  }
  if (std::string since = text_field(pair, "since"); !since.empty()) {
    print_field("", "since " + since + ": " + printable(text_field(pair, "cause")));
  }
  if (std::string error = text_field(pair, "last_error"); !error.empty()) print_field("", "last error: " + printable(error));
  if (std::string what = text_field(pair, "advice"); !what.empty()) print_field("", "-> " + what);
}

void print_downstream(const Json& site) {
  print_field("behind", printable(text_field(site, "site")) + ": " + copy_text(site) + text_field(site, "state") + ", " +
                            text_field(site, "mode") + (flag_field(site, "connected") ? ", connected" : ", not connected") +
                            ", durable there up to " + count_field(site, "durable") + ", " + exposure_text(site));
}

void print_source(const Json& source) {
  print_field("source", printable(text_field(source, "source")) + ": " + copy_text(source) + text_field(source, "state") +
                            ", " + text_field(source, "mode") + ", since " + text_field(source, "since"));
  if (std::string cause = text_field(source, "cause"); !cause.empty()) print_field("", printable(cause));
  std::string heard = text_field(source, "heard");
  print_field("", heard.empty() ? "last heard at an unknown time"
                                : "last heard " + heard + ", when it had record " + count_field(source, "newest"));
}

}  // namespace

void print_standing(const Json& status, const std::string& title) {
  const std::string standing = text_field(status, "standing");
  print_line(title + (standing.empty() ? "" : ": " + standing));
  for (const Json& reason : status.value("reasons", Json::array())) {
    const std::string since = text_field(reason, "since");
    const std::string to_do = text_field(reason, "to_do");
    print_line("  " + text_field(reason, "standing") + ": " + text_field(reason, "what") +
               (since.empty() ? "" : ", since " + since));
    if (!to_do.empty()) print_line("    -> " + to_do);
  }
}

void add_source(Json& status, const std::optional<SourceRecord>& source) {
  if (source) status["source"] = source_json(*source, Seq(number_field(status, "durable")), system_clock().wall_ns());
}

Json status_json(Group& group, const std::vector<Pair>& pairs) {
  const GroupIdentity& identity = group.identity();
  Position position = group.position();
  Status health = group.log().health();
  Result<VolumeSpace> space = group.space();
  Json made = {{"name", identity.name},
               {"group", group_id_text(identity.id)},
               {"directory", where_now(group.directory())},
               {"role", role_name(group)},
               {"position", position_json(position)},
               {"durable", group.log().durable().value()},
               {"base", group.base().value()},
               {"base_time", group.base_time_ns() != 0 ? format_time(group.base_time_ns()) : ""},
               {"healthy", health.ok()},
               {"health", health.text()},
               {"recovery", group.recovery().text}};
  if (const Status takes = group.takes_changes(); health.ok() && !takes.ok()) {
    made["writable"] = false;
    made["refusal"] = takes.text();
  }
  if (const Seq sound = group.log().sound(); sound < group.log().appended()) made["damaged_from"] = sound.next().value();
  if (const auto by = group.superseded()) {
    made["superseded"] = {{"epoch", by->epoch.value()},
                          {"own_epoch", by->own.value()},
                          {"told_by", by->told_by},
                          {"time", by->time_ns == 0 ? "" : format_time(by->time_ns)},
                          {"advice", superseded_text(where_now(group.directory()), *by)}};
  }
  if (space.ok()) {
    made["log_bytes"] = space->log_bytes;
    made["pack_bytes"] = space->pack_bytes;
    if (!space->pool.empty()) made["pool"] = pool_json(space->pool);
    if (const LogLimit& limit = group.log_limit(); limit.max_bytes != 0) {
      made["log_limit"] = limit.max_bytes;
      made["log_pressure"] = log_pressure_name(log_pressure(space->log_bytes, limit));
      made["on_full"] = limit.on_full == OnFull::kBlockWrites ? "block-writes" : "suspend-pair";
    }
    made["inodes"] = space->inodes;
    made["disk_available_bytes"] = space->disk.available_bytes;
  }
  add_scrub(made, group.directory());
  made["pairs"] = Json::array();
  auto progress = group.watermarks().snapshot();
  for (const Pair& pair : pairs) {
    auto found = progress.find(pair.config.site);
    made["pairs"].push_back(found == progress.end() ? pair_status_json(pair, &group)
                                                    : running_json(group, pair, found->second));
  }
  made["downstream"] = Json::array();
  for (const auto& [name, site] : progress) {
    if (site.downstream) made["downstream"].push_back(downstream_json(group, name, site));
  }
  return made;
}

void add_holder(Json& status, const std::string& mountpoint, const std::optional<Holder>& holder) {
  status["mountpoint"] = mountpoint;
  status["holder_pid"] = holder ? holder->pid : 0;
  status["holder"] = holder ? holder->purpose : "";
}

void print_status(const Json& status) {
  print_standing(status, text_field(status, "name") + " (" + text_field(status, "role") + ")");
  if (auto text = text_field(status, "directory"); !text.empty()) print_field("directory", printable(text));
  if (auto text = text_field(status, "mountpoint"); !text.empty()) print_field("mounted at", printable(text));
  if (uint64_t pid = number_field(status, "holder_pid"); pid != 0) {
    print_field("held by", "process " + std::to_string(pid) + ", " + printable(text_field(status, "holder")));
  }
  Json position = status.value("position", Json::object());
  print_field("position", "seq " + count_field(position, "seq") + ", epoch " + count_field(position, "epoch") + ", chain " +
                              text_field(position, "chain"));
  std::string oldest = "; oldest point: seq " + count_field(status, "base");
  if (auto time = text_field(status, "base_time"); !time.empty()) oldest += " of " + time;
  print_field("durable", "seq " + count_field(status, "durable") + oldest);
  if (status.contains("log_bytes")) {
    std::string line = human_bytes(number_field(status, "log_bytes"));
    if (const uint64_t packs = number_field(status, "pack_bytes"); packs != 0) line += ", packs " + human_bytes(packs);
    if (status.contains("inodes")) line += " for about " + count_field(status, "inodes") + " inodes";
    if (status.contains("disk_available_bytes")) {
      line += "; " + human_bytes(number_field(status, "disk_available_bytes")) + " free on the disk";
    }
    print_field("log", line);
    if (const uint64_t limit = number_field(status, "log_limit"); limit != 0) {
      const std::string pressure = text_field(status, "log_pressure");
      std::string text = human_bytes(limit) + ", then " + text_field(status, "on_full");
      if (pressure == "alert") text += "; ALERT: at least 80 % used";
      if (pressure == "full") text += "; FULL";
      print_field("log limit", text);
    }
  }
  print_pool(status);
  if (status.contains("superseded")) print_field("FENCED", printable(text_field(status["superseded"], "advice")));
  if (!flag_field(status, "healthy", true)) print_field("FAILED", text_field(status, "health"));
  if (auto text = text_field(status, "recovery"); !text.empty()) print_field("recovery", text);
  print_scrub(status);
  if (status.contains("source")) print_source(status["source"]);
  for (const Json& pair : status.value("pairs", Json::array())) print_pair(pair);
  for (const Json& site : status.value("downstream", Json::array())) print_downstream(site);
}

}  // namespace tidemark::cli
