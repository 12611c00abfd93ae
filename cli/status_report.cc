#include "cli/status_report.h"

#include <algorithm>

#include "cli/output.h"
#include "cli/pool.h"

namespace tidemark::cli {
namespace {

// True where a pair is not as an operator wants it.
bool differs(const Json& pair) {
  return (text_field(pair, "wanted") == "suspended") != (text_field(pair, "state") == "suspended");
}

// Wall time of record `seq`, or 0 where it cannot be read.
int64_t record_time(Log& log, Seq seq) {
  LogCursor cursor(log, seq, false);
  Result<LogCursor::Run> run = cursor.read(1, seq);
  RecordHeader header;
  if (!run.ok() || run->bytes.size() < kRecordHeaderSize) return 0;
  return decode_header(run->bytes, header) == RecordFault::kNone ? header.time_ns : 0;
}

// Seconds since the oldest record that the site has not made durable was written: what a loss of the primary would cost now.
double exposure_seconds(Group& group, Seq durable_there) {
  Seq newest = group.log().durable();
  if (durable_there >= newest) return 0;
  int64_t written = record_time(group.log(), durable_there.next());
  return written == 0 ? 0 : std::max(0.0, static_cast<double>(system_clock().wall_ns() - written) / 1e9);
}

// How long a state has lasted that began at wall time `since_ns`.
double seconds_since(int64_t since_ns) {
  return since_ns == 0 ? 0 : std::max(0.0, static_cast<double>(system_clock().wall_ns() - since_ns) / 1e9);
}

// What an operator can do about a pair in this state; "" where all is well.
std::string advice(const Json& pair) {
  std::string site = text_field(pair, "site");
  std::string state = text_field(pair, "state");
  const std::string resume = "`tidemark pair resume DIR " + site + "`";
  if (flag_field(pair, "parked")) {
    return "the log is not kept for it any more: " + resume + " copies what is missing" +
           (flag_field(pair, "fenced")
                ? "; until then, or until `tidemark pair suspend DIR " + site + "`, writes are refused (fence=data)"
                : "");
  }
  if (flag_field(pair, "fenced")) {
    return "writes are refused (fence=data): bring the site back, or `tidemark pair suspend DIR " + site +
           "` to go on without it";
  }
  if (flag_field(pair, "withholds")) {
    return "fsync waits (fence=data) until the pair is duplex again; `tidemark pair suspend DIR " + site +
           "` to go on without it";
  }
  if (state == "suspended") return resume + " copies what is missing";
  if (!flag_field(pair, "running")) return "mount the volume: nothing is copied meanwhile";
  if (state == "failure-suspended") return "it is tried again by itself; see last error";
  if (state == "simplex") return "start the site (`tidemark serve`), or check the endpoint";
  return "";
}

// Fraction done and seconds left of a copy on its way.
void add_progress(Json& made, const SiteProgress& site) {
  if (site.copy_bytes == 0 || !site.lag_bytes || *site.lag_bytes > site.copy_bytes) return;
  double done = static_cast<double>(site.copy_bytes - *site.lag_bytes);
  double seconds = static_cast<double>(system_clock().wall_ns() - site.copy_since_ns) / 1e9;
  made["copy_bytes"] = site.copy_bytes;
  made["copied_bytes"] = site.copy_bytes - *site.lag_bytes;
  if (done > 0 && seconds > 0) made["remaining_seconds"] = static_cast<double>(*site.lag_bytes) / (done / seconds);
}

Json running_json(Group& group, const Pair& pair, const SiteProgress& site) {
  Json made = pair_status_json(pair);
  Seq newest = group.log().durable();
  made["running"] = true;
  made["state"] = site.state;
  made["wanted"] = site.wanted;
  made["cause"] = site.cause;
  made["fenced"] = site.fenced;
  made["withholds"] = site.withholds;
  made["connected"] = site.connected;
  made["sent"] = site.sent.value();
  made["received"] = site.received.value();
  made["shipped_bytes"] = site.shipped_bytes;
  made["durable"] = site.durable.value();
  made["exposed_records"] = newest > site.durable ? newest.value() - site.durable.value() : 0;
  made["exposed_seconds"] = exposure_seconds(group, site.durable);
  if (site.lag_bytes) made["exposed_bytes"] = *site.lag_bytes;
  made["since"] = site.since_ns == 0 ? "" : format_time(site.since_ns);
  made["state_seconds"] = seconds_since(site.since_ns);
  made["acked"] = site.acked_ns == 0 ? "" : format_time(site.acked_ns);
  made["last_error"] = site.last_error;
  add_progress(made, site);
  made["advice"] = advice(made);
  return made;
}

Json downstream_json(const std::string& name, const SiteProgress& site, Seq newest) {
  return {{"site", name},
          {"state", site.state},
          {"mode", site.mode},
          {"connected", site.connected},
          {"durable", site.durable.value()},
          {"exposed_records", newest > site.durable ? newest.value() - site.durable.value() : 0},
          {"acked", site.acked_ns == 0 ? "" : format_time(site.acked_ns)}};
}

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
  if (records == 0) return "nothing exposed";
  std::string text = "exposed: " + human_count(records) + " records";
  if (pair.contains("exposed_bytes")) text += ", " + human_bytes(number_field(pair, "exposed_bytes"));
  if (pair.contains("exposed_seconds")) text += ", " + human_seconds(pair.value("exposed_seconds", 0.0));
  return text;
}

void print_pair(const Json& pair) {
  std::string line = text_field(pair, "site") + " at " + text_field(pair, "endpoint") + ": " + state_text(pair) + ", " +
                     text_field(pair, "mode");
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
  print_field("behind", printable(text_field(site, "site")) + ": " + text_field(site, "state") + ", " +
                            text_field(site, "mode") + (flag_field(site, "connected") ? ", connected" : ", not connected") +
                            ", durable there up to " + count_field(site, "durable") + ", " + exposure_text(site));
}

void print_source(const Json& source) {
  print_field("source", printable(text_field(source, "source")) + ": " + text_field(source, "state") + ", " +
                            text_field(source, "mode") + ", since " + text_field(source, "since"));
  if (std::string cause = text_field(source, "cause"); !cause.empty()) print_field("", printable(cause));
}

}  // namespace

std::string state_text(const Json& pair) {
  return text_field(pair, "state") + (differs(pair) ? " (wanted: " + text_field(pair, "wanted") + ")" : "");
}

Json pair_status_json(const Pair& pair) {
  const PairStatus& status = pair.status;
  Json made = {{"site", pair.config.site},
               {"endpoint", pair.config.endpoint},
               {"mode", pair_mode_name(pair.config.mode)},
               {"fence", pair_fence_name(pair.config.fence)},
               {"bytes_per_second", pair.config.bytes_per_second},
               {"running", false},
               {"connected", false},
               {"state", pair_state_name(status.state)},
               {"wanted", pair_wanted_name(status.wanted)},
               {"since", status.since_ns == 0 ? "" : format_time(status.since_ns)},
               {"state_seconds", seconds_since(status.since_ns)},
               {"cause", status.cause},
               {"fenced", status.fenced},
               {"withholds", withholds(status)},
               {"parked", status.parked},
               {"durable", status.durable.value()}};
  if (pair.config.mode == PairMode::kAsync) made["duplex_lag_max_seconds"] = kDuplexLagMax.count();
  made["advice"] = advice(made);
  return made;
}

void add_source(Json& status, const std::optional<SourceRecord>& source) {
  if (!source) return;
  status["source"] = {{"source", source->news.source},
                      {"mode", pair_mode_name(source->news.mode)},
                      {"fence", pair_fence_name(source->news.fence)},
                      {"state", pair_state_name(source->state)},
                      {"since", format_time(source->since_ns)},
                      {"state_seconds", seconds_since(source->since_ns)},
                      {"cause", source->cause},
                      {"said_state", pair_state_name(source->news.state)},
                      {"said_since", format_time(source->news.since_ns)}};
}

Json status_json(Group& group, const std::vector<Pair>& pairs) {
  const GroupIdentity& identity = group.identity();
  Position position = group.position();
  Status health = group.log().health();
  Result<VolumeSpace> space = group.space();
  Json made = {{"name", identity.name},
               {"group", group_id_text(identity.id)},
               {"directory", group.directory()},
               {"role", role_name(group)},
               {"position", position_json(position)},
               {"durable", group.log().durable().value()},
               {"base", group.base().value()},
               {"base_time", group.base_time_ns() != 0 ? format_time(group.base_time_ns()) : ""},
               {"healthy", health.ok()},
               {"health", health.text()},
               {"recovery", group.recovery().text}};
  if (const auto by = group.superseded()) {
    made["superseded"] = {{"epoch", by->epoch.value()},
                          {"own_epoch", by->own.value()},
                          {"told_by", by->told_by},
                          {"time", by->time_ns == 0 ? "" : format_time(by->time_ns)},
                          {"advice", superseded_text(group.directory(), *by)}};
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
  made["pairs"] = Json::array();
  auto progress = group.watermarks().snapshot();
  for (const Pair& pair : pairs) {
    auto found = progress.find(pair.config.site);
    made["pairs"].push_back(found == progress.end() ? pair_status_json(pair) : running_json(group, pair, found->second));
  }
  made["downstream"] = Json::array();
  for (const auto& [name, site] : progress) {
    if (site.downstream) made["downstream"].push_back(downstream_json(name, site, group.log().durable()));
  }
  return made;
}

void add_holder(Json& status, const std::string& mountpoint, const std::optional<Holder>& holder) {
  status["mountpoint"] = mountpoint;
  status["holder_pid"] = holder ? holder->pid : 0;
  status["holder"] = holder ? holder->purpose : "";
}

void print_status(const Json& status) {
  print_line(text_field(status, "name") + " (" + text_field(status, "role") + ")");
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
      if (pressure == "alert") text += "; ALERT: 80 % of it are used";
      if (pressure == "full") text += "; FULL";
      print_field("log limit", text);
    }
  }
  print_pool(status);
  if (status.contains("superseded")) print_field("FENCED", printable(text_field(status["superseded"], "advice")));
  if (!flag_field(status, "healthy", true)) print_field("FAILED", text_field(status, "health"));
  if (auto text = text_field(status, "recovery"); !text.empty()) print_field("recovery", text);
  if (status.contains("source")) print_source(status["source"]);
  for (const Json& pair : status.value("pairs", Json::array())) print_pair(pair);
  for (const Json& site : status.value("downstream", Json::array())) print_downstream(site);
}

}  // namespace tidemark::cli
