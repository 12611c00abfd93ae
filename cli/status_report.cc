#include "cli/status_report.h"

#include <algorithm>

#include "cli/output.h"

namespace tidemark::cli {
namespace {

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

Json pair_json(Group& group, const PairConfig& pair, const std::map<std::string, SiteProgress>& progress) {
  Json made = {{"site", pair.site}, {"endpoint", pair.endpoint}};
  auto found = progress.find(pair.site);
  if (found == progress.end()) {
    made["state"] = "not-running";
    made["connected"] = false;
    return made;
  }
  const SiteProgress& site = found->second;
  Seq newest = group.log().durable();
  made["state"] = site.state;
  made["connected"] = site.connected;
  made["sent"] = site.sent.value();
  made["received"] = site.received.value();
  made["durable"] = site.durable.value();
  made["exposed_records"] = newest > site.durable ? newest.value() - site.durable.value() : 0;
  made["exposed_seconds"] = exposure_seconds(group, site.durable);
  made["since"] = site.since_ns == 0 ? "" : format_time(site.since_ns);
  made["acked"] = site.acked_ns == 0 ? "" : format_time(site.acked_ns);
  made["last_error"] = site.last_error;
  return made;
}

void print_field(const char* name, const std::string& value) {
  std::string line = "  ";
  line += name;
  line.append(line.size() < 14 ? 14 - line.size() : 1, ' ');
  print_line(line + value);
}

std::string count_field(const Json& status, const char* name) { return human_count(number_field(status, name)); }

void print_pair(const Json& pair) {
  std::string line = text_field(pair, "site") + " at " + text_field(pair, "endpoint") + ": " + text_field(pair, "state");
  if (pair.contains("durable")) {
    line += flag_field(pair, "connected") ? ", connected" : ", not connected";
    line += ", durable there up to " + count_field(pair, "durable");
    uint64_t exposed = number_field(pair, "exposed_records");
    if (exposed > 0) {
      line += ", exposed: " + human_count(exposed) + " records, " + human_seconds(pair.value("exposed_seconds", 0.0));
    } else {
      line += ", nothing exposed";
    }
  }
  print_field("pair", line);
  if (std::string error = text_field(pair, "last_error"); !error.empty()) print_field("", "last error: " + error);
}

}  // namespace

Json status_json(Group& group, const std::vector<PairConfig>& pairs) {
  const GroupIdentity& identity = group.identity();
  Position position = group.position();
  Status health = group.log().health();
  Result<VolumeSpace> space = group.space();
  Json made = {{"name", identity.name},
               {"group", group_id_text(identity.id)},
               {"directory", group.directory()},
               {"role", identity.role == Role::kPrimary ? "primary" : "replica"},
               {"position", position_json(position)},
               {"durable", group.log().durable().value()},
               {"base", group.base().value()},
               {"healthy", health.ok()},
               {"health", health.text()},
               {"recovery", group.recovery().text}};
  if (space.ok()) {
    made["log_bytes"] = space->log_bytes;
    made["inodes"] = space->inodes;
    made["disk_available_bytes"] = space->disk.available_bytes;
  }
  made["pairs"] = Json::array();
  auto progress = group.watermarks().snapshot();
  for (const PairConfig& pair : pairs) made["pairs"].push_back(pair_json(group, pair, progress));
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
  print_field("durable", "seq " + count_field(status, "durable") + "; oldest point: seq " + count_field(status, "base"));
  if (status.contains("log_bytes")) {
    std::string line = human_bytes(number_field(status, "log_bytes"));
    if (status.contains("inodes")) line += " for about " + count_field(status, "inodes") + " inodes";
    if (status.contains("disk_available_bytes")) {
      line += "; " + human_bytes(number_field(status, "disk_available_bytes")) + " free on the disk";
    }
    print_field("log", line);
  }
  if (!flag_field(status, "healthy", true)) print_field("FAILED", text_field(status, "health"));
  if (auto text = text_field(status, "recovery"); !text.empty()) print_field("recovery", text);
  for (const Json& pair : status.value("pairs", Json::array())) print_pair(pair);
}

}  // namespace tidemark::cli
