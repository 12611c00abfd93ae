// tidemark status [SOURCE|MOUNTPOINT] [--watch]
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "cli/alerts.h"
#include "cli/command.h"
#include "cli/control.h"
#include "cli/duration.h"
#include "cli/exit_map.h"
#include "cli/output.h"
#include "cli/reader.h"
#include "cli/signals.h"
#include "cli/status_report.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kControlTimeout{10};
constexpr std::chrono::milliseconds kWatchEvery{1000};

struct StatusFlags {
  std::string source;
  std::string rpo;
  bool watch = false;
  bool json = false;
  RemoteKeys keys;
};

std::string mountpoint_of(const std::string& directory) {
  auto mounts = list_mounts();
  if (!mounts.ok()) return "";
  for (const MountedVolume& mount : *mounts) {
    if (mount.source == directory) return mount.mountpoint;
  }
  return "";
}

// From the process that holds it; where none answers, from the directory.
Result<Json> local_status(const std::string& directory) {
  TM_ASSIGN(std::optional<Holder> holder, lock_holder(directory));
  if (holder) {
    Result<Json> asked = control_call(directory, {{"op", "status"}}, kControlTimeout);
    if (asked.ok()) {
      Json status = asked->value("status", Json::object());
      add_holder(status, mountpoint_of(directory), holder);
      return status;
    }
    if (asked.status().code() != Code::kNotFound) print_warning(asked.status().text());
  }
  TM_ASSIGN(auto group, open_for_reading(directory));
  TM_ASSIGN(std::vector<Pair> pairs, load_pairs(directory));
  Json status = status_json(*group, pairs);
  add_holder(status, mountpoint_of(directory), holder);
  return status;
}

Result<Json> remote_status(const Source& source, const RemoteKeys& keys) {
  TM_ASSIGN(Reader reader, Reader::open(source, keys));
  TM_ASSIGN(RemoteGroupInfo info, reader.remote()->info());
  return Json{{"name", info.name},
              {"group", group_id_text(info.id)},
              {"endpoint", source.address.endpoint},
              {"role", "remote"},
              {"position", position_json(info.newest)},
              {"durable", info.durable.value()},
              {"base", info.base.value()},
              {"newest_time", format_time(info.newest_time_ns)},
              {"log_bytes", info.log_bytes},
              {"pairs", Json::array()}};
}

// A read-only mount of a point has no holder of its own to ask.
Json point_status(const MountedVolume& mount) {
  return {{"name", mount.source}, {"role", "point"}, {"source", mount.source}, {"mountpoint", mount.mountpoint}};
}

Result<Json> all_mounts() {
  TM_ASSIGN(auto mounts, list_mounts());
  Json all = Json::array();
  for (const MountedVolume& mount : mounts) {
    // A source that is not absolute was not mounted by this program: it must not be looked for in the current directory.
    Result<Source> source = find_source(mount.source, "");
    bool live = mount.source.starts_with("/") && source.ok() && !source->remote && source->point.empty();
    Result<Json> one = live ? local_status(source->directory) : Result<Json>(point_status(mount));
    if (one.ok()) {
      all.push_back(*one);
    } else {
      all.push_back({{"name", mount.source}, {"mountpoint", mount.mountpoint}, {"error", one.status().text()}});
    }
  }
  return all;
}

// The groups of a site's directory (`tidemark serve --dir`).
Result<Json> groups_below(const std::string& directory) {
  Json all = Json::array();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (!Group::identify(entry.path().string()).ok()) continue;
    TM_ASSIGN(Json one, local_status(absolute_path(entry.path().string())));
    all.push_back(one);
  }
  return all;
}

Result<Json> collect(const StatusFlags& flags) {
  if (flags.source.empty()) return all_mounts();
  Result<Source> source = find_source(flags.source, "");
  if (!source.ok() && source.status().code() == Code::kNotFound && std::filesystem::is_directory(flags.source)) {
    TM_ASSIGN(Json groups, groups_below(flags.source));
    if (!groups.empty()) return groups;
  }
  if (!source.ok()) return source.status();
  if (source->remote && !flags.rpo.empty()) {
    return Status(Code::kInvalid, "--rpo is for a volume or a site's directory on this machine: " + source->text +
                                      " does not say how its pairs stand");
  }
  TM_ASSIGN(Json one, source->remote ? remote_status(*source, flags.keys) : local_status(source->directory));
  return Json::array({one});
}

// Which of the volumes somebody should look after, the worst first.
void show_alerts(const std::vector<Alert>& alerts) {
  for (const Alert& alert : alerts) print_warning(alert.text);
}

Json alerts_json(const std::vector<Alert>& alerts) {
  Json texts = Json::array();
  for (const Alert& alert : alerts) texts.push_back(alert.text);
  return texts;
}

void show(const Json& all, const std::vector<Alert>& alerts, const StatusFlags& flags) {
  if (flags.json) {
    print_json({{"volumes", all}, {"alerts", alerts_json(alerts)}});
    return;
  }
  if (all.empty()) print_note("nothing is mounted; `tidemark status DIR` shows a volume that is not");
  bool first = true;
  for (const Json& one : all) {
    if (!first) print_line("");
    first = false;
    if (one.contains("error")) {
      print_line(text_field(one, "name") + " at " + text_field(one, "mountpoint") + ": " + text_field(one, "error"));
    } else if (text_field(one, "role") == "point") {
      print_line(printable(text_field(one, "source")) + " is mounted read-only at " +
                 printable(text_field(one, "mountpoint")));
    } else {
      print_status(one);
    }
  }
}

// One of the mounted volumes does not answer.
bool unreadable(const Json& all) {
  return std::any_of(all.begin(), all.end(), [](const Json& one) { return one.contains("error"); });
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
    const std::vector<Alert> alerts = alerts_of_all(all, rpo);
    if (clear) print_line("\033[H\033[2J");
    show(all, alerts, flags);
    TM_TRY(flush_output());
    show_alerts(alerts);
    if (!flags.watch) return unreadable(all) && alerts.empty() ? TIDEMARK_EXIT_PARTIAL : alerts_exit_code(alerts);
    std::this_thread::sleep_for(kWatchEvery);
    if (interrupted->load()) return TIDEMARK_EXIT_INTERRUPTED;
  }
}

}  // namespace

void add_status(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<StatusFlags>();
  CLI::App* command = app.add_subcommand("status", "How volumes and their pairs stand");
  command->add_option("SOURCE", flags->source,
                      "DIR, a mountpoint, a site's directory, tcp://HOST:PORT/GROUP; default: everything that is mounted");
  command->add_flag("--watch", flags->watch, "Again every second, until interrupted");
  command->add_option("--rpo", flags->rpo, "How much a pair may expose, or be without being duplex: 30s, 5m")
      ->option_text("DURATION");
  add_key_options(*command, flags->keys);
  add_json_flag(*command, flags->json);
  command->footer(
      "Exit code 1: a log has failed. 15: the log limit alerts (80 %) or is reached; or, with --rpo,\n"
      "a pair exposes more than DURATION or has not been duplex for longer. 3: a mounted volume did\n"
      "not answer. What it is stands on stderr, the worst first.");
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli
