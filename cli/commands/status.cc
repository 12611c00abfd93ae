// tidemark status [SOURCE|MOUNTPOINT] [--watch]
#include <tidemark/exit_code.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "cli/commands/command.h"
#include "cli/output/alerts.h"
#include "cli/output/output.h"
#include "cli/output/status_report.h"
#include "cli/reader.h"
#include "cli/service/control.h"
#include "cli/service/mount_probe.h"
#include "cli/service/signals.h"
#include "cli/settings/duration.h"
#include "replicator/site/source_record.h"
#include "replicator/wire/status_protocol.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kControlTimeout{10};
constexpr std::chrono::seconds kProbeTimeout{10};
constexpr std::chrono::milliseconds kWatchEvery{1000};

struct StatusFlags {
  std::string source;
  std::string rpo;
  bool watch = false;
  bool json = false;
  RemoteKeys keys;
};

// The topmost mount that shows `directory` as it is now.
std::optional<MountedVolume> mount_of(const std::string& directory) {
  auto mounts = list_mounts();
  if (!mounts.ok()) return std::nullopt;
  std::optional<MountedVolume> found;
  for (MountedVolume& mount : *mounts) {
    if (mount.source == directory || mounted_now(mount) == directory) found = std::move(mount);
  }
  return found;
}

Result<std::unique_ptr<Group>> open_as_it_is(const std::string& directory) {
  GroupOptions options;
  options.purpose = "reading";
  return Group::open(directory, OpenMode::kRead, options);
}

// What the directory says. `hung`: its holder does not answer, and is not asked for anything.
Result<Json> status_from_disk(const std::string& directory, bool hung) {
  TM_ASSIGN(auto group, hung ? open_as_it_is(directory) : open_for_reading(directory));
  TM_ASSIGN(std::vector<Pair> pairs, load_pairs(directory));
  Json status = status_json(*group, pairs);
  if (group->identity().role == Role::kReplica) {
    TM_ASSIGN(const auto source, load_source_record(directory));
    add_source(status, source);
    status["served"] = false;
  }
  return status;
}

// From the process that holds it; where none answers, from the directory.
Result<Json> status_of_directory(const std::string& directory, const std::optional<Holder>& holder) {
  bool hung = false;
  if (holder) {
    Result<Json> asked = control_call(directory, {{"op", "status"}}, kControlTimeout);
    if (asked.ok()) {
      Json status = asked->value("status", Json::object());
      if (text_field(status, "role") == "replica") status["served"] = true;
      return status;
    }
    hung = asked.status().code() == Code::kTimeout;
    if (!hung && asked.status().code() != Code::kNotFound) print_warning(asked.status().text());
  }
  TM_ASSIGN(Json status, status_from_disk(directory, hung));
  if (hung) status["holder_answers"] = false;
  return status;
}

bool may_not_look(const Status& why) { return why.sys_errno() == EACCES || why.sys_errno() == EPERM; }

// A volume that cannot be looked at is one that is shown, too.
Json error_json(const std::string& name, const Status& why) {
  return {{"name", name}, {"error", why.text()}, {"error_code", code_name(may_not_look(why) ? Code::kAccess : why.code())}};
}

void add_mount(Json& status, const std::optional<MountedVolume>& mount) {
  if (!mount) return;
  status["mountpoint"] = mount->mountpoint;
  status["mount"] = mount_answer_name(probe_mount(mount->mountpoint, kProbeTimeout));
}

Json local_status(const std::string& directory) {
  const std::optional<MountedVolume> mount = mount_of(directory);
  Json status;
  Result<std::optional<Holder>> holder = lock_holder(directory);
  Result<Json> known = holder.ok() ? status_of_directory(directory, *holder) : Result<Json>(holder.status());
  if (known.ok()) {
    status = std::move(*known);
    add_holder(status, mount ? mount->mountpoint : "", *holder);
  } else {
    status = error_json(directory, known.status());
    status["directory"] = directory;
  }
  add_mount(status, mount);
  return status;
}

// What the site knows of its copy.
void add_report(Json& status, const SiteReport& report, Seq newest) {
  status["base_time"] = report.base_time_ns != 0 ? format_time(report.base_time_ns) : "";
  status["served"] = true;
  if (!report.refusal.empty()) {
    status["writable"] = false;
    status["refusal"] = report.refusal;
  }
  if (report.damaged_from != Seq()) status["damaged_from"] = report.damaged_from.value();
  const Seq held(number_field(status, "durable"));
  if (report.source) status["source"] = source_json(*report.source, held, report.wall_ns);
  Json pairs = Json::array(), downstream = Json::array();
  for (const auto& [name, site] : report.sites) {
    (site.downstream ? downstream : pairs).push_back(remote_copy_json(name, site, newest, report.wall_ns));
  }
  status["pairs"] = std::move(pairs);
  status["downstream"] = std::move(downstream);
}

Result<Json> remote_status(const Source& source, const RemoteKeys& keys) {
  TM_ASSIGN(Reader reader, Reader::open(source, keys));
  TM_ASSIGN(const RemoteGroupInfo info, reader.remote()->info());
  TM_ASSIGN(const SiteReport report, reader.remote()->report());
  Json status = {{"name", info.name},
                 {"group", group_id_text(info.id)},
                 {"endpoint", source.address.endpoint},
                 {"role", "remote"},
                 {"position", position_json(info.newest)},
                 {"durable", info.durable.value()},
                 {"base", info.base.value()},
                 {"newest_time", format_time(info.newest_time_ns)},
                 {"log_bytes", info.log_bytes}};
  add_report(status, report, info.durable);
  return status;
}

// A read-only mount of a point has no holder of its own to ask.
Json point_status(const MountedVolume& mount) {
  Json status = {{"name", mount.source}, {"role", "point"}, {"source", mount.source}};
  add_mount(status, mount);
  return status;
}

// Whether it shows a point and not a volume as it is now. Nothing is looked for on the disk where that is not needed: an ordinary user may
// not see root's.
bool shows_point(const MountedVolume& mount) {
  if (!mount.source.starts_with("/")) return true;  // a remote one, or nothing of this program's
  if (!split_source(mount.source, [](const std::string&) { return false; }).has_point || !mount.read_only) return false;
  return !Group::identify(mount.source).ok();  // a directory may have '@' in its name
}

Result<Json> all_mounts() {
  TM_ASSIGN(auto mounts, list_mounts());
  Json all = Json::array();
  for (const MountedVolume& mount : mounts) {
    all.push_back(shows_point(mount) ? point_status(mount) : local_status(mounted_now(mount)));
  }
  return all;
}

// The groups of a site's directory (`tidemark serve --dir`), each for itself: what is damaged hides no other one.
Json groups_below(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (Group::identify(entry.path().string()).status().code() == Code::kNotFound || !entry.is_directory(error)) continue;
    found.push_back(absolute_path(entry.path().string()));
  }
  std::sort(found.begin(), found.end());
  Json all = Json::array();
  for (const std::string& one : found) all.push_back(local_status(one));
  return all;
}

bool is_directory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

// What a person named: what is not there, or is not meant for him, is an error and no volume.
bool is_no_volume(const Status& status) {
  return status.code() == Code::kNotFound || status.code() == Code::kInvalid || status.code() == Code::kNotAuthorised;
}

Result<Json> collect(const StatusFlags& flags) {
  if (flags.source.empty()) return all_mounts();
  Result<Source> source = find_source(flags.source, "");
  if (!source.ok() && source.status().code() == Code::kNotFound && is_directory(flags.source)) {
    Json groups = groups_below(flags.source);
    if (!groups.empty()) return groups;
  }
  if (may_not_look(source.status())) return Json::array({error_json(flags.source, source.status())});
  if (!source.ok()) return source.status();
  if (!source->remote) return Json::array({local_status(source->directory)});
  if (!flags.rpo.empty()) {
    return Status(Code::kInvalid, "--rpo needs a volume or a site's directory on this machine: " + source->text +
                                      " does not report its pairs");
  }
  Result<Json> one = remote_status(*source, flags.keys);
  if (one.ok()) return Json::array({*one});
  if (is_no_volume(one.status())) return one.status();
  return Json::array({error_json(source->text, one.status())});
}

// What somebody has to act on, the worst first. A person who has just read it is not told twice.
void show_alerts(const std::vector<Alert>& alerts, const StatusFlags& flags) {
  const bool read = !flags.json && ::isatty(STDOUT_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1;
  for (const Alert& alert : alerts) {
    if (!read && !alert.within_rpo) print_warning(alert.text);
  }
}

Json alerts_json(const std::vector<Alert>& alerts) {
  Json texts = Json::array();
  for (const Alert& alert : alerts) {
    if (!alert.within_rpo) texts.push_back(alert.text);
  }
  return texts;
}

void show(const Json& all, const std::vector<Alert>& alerts, const StatusFlags& flags) {
  if (flags.json) {
    print_json({{"volumes", all}, {"alerts", alerts_json(alerts)}});
    return;
  }
  if (all.empty()) print_note("nothing is mounted; `tidemark status DIR` shows an unmounted volume");
  bool first = true;
  for (const Json& one : all) {
    if (!first) print_line("");
    first = false;
    if (one.contains("error")) {
      std::string title = printable(text_field(one, "name"));
      if (const std::string where = text_field(one, "mountpoint"); !where.empty()) title += " at " + printable(where);
      print_standing(one, title);
    } else if (text_field(one, "role") == "point") {
      print_standing(one, printable(text_field(one, "source")) + " is mounted read-only at " +
                              printable(text_field(one, "mountpoint")));
    } else {
      print_status(one);
    }
  }
}

Outcome run(const StatusFlags& flags) {
  const std::atomic<bool>* interrupted = flags.watch ? interrupted_flag() : nullptr;
  bool clear = flags.watch && !flags.json && ::isatty(STDOUT_FILENO) == 1;
  std::optional<std::chrono::milliseconds> rpo;
  if (!flags.rpo.empty()) {
    TM_ASSIGN(rpo, parse_duration(flags.rpo));
  }
  while (true) {
    TM_ASSIGN(Json all, collect(flags));
    for (Json& one : all) add_standing(one, rpo);
    const std::vector<Alert> alerts = alerts_of_all(all, rpo);
    if (clear) print_line("\033[H\033[2J");
    show(all, alerts, flags);
    TM_TRY(flush_output());
    show_alerts(alerts, flags);
    if (!flags.watch) return alerts_exit_code(alerts);
    std::this_thread::sleep_for(kWatchEvery);
    if (interrupted->load()) return TIDEMARK_EXIT_INTERRUPTED;
  }
}

}  // namespace

void add_status(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<StatusFlags>();
  Command* command = app.add_subcommand("status", "Show the state of volumes and their pairs");
  command->add_option("SOURCE", flags->source,
                      "DIR, a mountpoint, a site's directory, tcp://HOST:PORT/GROUP; default: everything mounted");
  command->add_flag("--watch", flags->watch, "Repeat every second until interrupted");
  command->add_option("--rpo", flags->rpo, "How much time a pair may expose, or may spend out of duplex: 30s, 5m")
      ->option_text("DURATION");
  add_key_options(*command, flags->keys);
  add_json_flag(*command, flags->json);
  command->footer(
      "One word for each volume. PROTECTED: it serves, and its copies are up to date. LOCAL: it serves, and\n"
      "no copy is configured. AT RISK: it serves, but a copy is missing, behind or damaged. DOWN: it does not\n"
      "serve now. The lines below it, and stderr, say why, since when and what to do, the worst first.\n"
      "Exit code 0: no action is needed. 1: something is DOWN (13, 14: damaged, not reached). 3: AT RISK. 15: the\n"
      "log limit alerts (80 %) or is reached; or, with --rpo, a pair exposes more than DURATION or has not been\n"
      "duplex for longer (a pair within DURATION does not count as AT RISK). 12: this user may not see a volume.");
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli
