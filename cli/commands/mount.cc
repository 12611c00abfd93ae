// tidemark mount SOURCE MOUNTPOINT [-f] [-o OPT,…] [--at POINT]
#include <filesystem>
#include <memory>
#include <sstream>

#include "cli/commands/command.h"
#include "cli/output/exit_map.h"
#include "cli/output/output.h"
#include "cli/service/background.h"
#include "cli/service/mount_process.h"

namespace tidemark::cli {
namespace {

struct MountFlags {
  std::string source;
  std::string mountpoint;
  std::string at;
  bool foreground = false;
  std::vector<std::string> options;  // each may hold several, with commas between
  RemoteKeys keys;
  HistoryFlags history;
};

std::vector<std::string> split_options(const std::vector<std::string>& given) {
  std::vector<std::string> all;
  for (const std::string& group : given) {
    std::istringstream parts(group);
    for (std::string part; std::getline(parts, part, ',');) {
      if (!part.empty()) all.push_back(part);
    }
  }
  return all;
}

// Whom the settings are for. A volume that cannot be read is told so by whoever opens it.
ConfigFor config_for(const Source& source) {
  Result<GroupIdentity> identity =
      source.remote ? Result<GroupIdentity>(GroupIdentity()) : Group::identify(source.directory);
  return {source.remote ? source.address.group : identity.ok() ? identity->name : "", source.directory, ""};
}

// The file's first, so that what the command line says about the same thing counts. A point is ro,nosuid,nodev in any case.
Result<std::vector<std::string>> options_for(const std::vector<std::string>& given, const ConfigFor& whom, bool point) {
  TM_ASSIGN(std::vector<std::string> options, Settings::ours().listed(kMountOptions, whom));
  if (point) std::erase_if(options, [](const std::string& one) { return one == "rw" || one == "suid" || one == "dev"; });
  const std::vector<std::string> more = split_options(given);
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

Result<MountJob> make_job(const MountFlags& flags) {
  MountJob job;
  TM_ASSIGN(job.source, find_source(flags.source, flags.at));
  job.mountpoint = absolute_path(flags.mountpoint);
  std::string below = job.source.directory + "/";
  if (!job.source.remote && (job.mountpoint + "/").starts_with(below)) {
    return Status(Code::kInvalid,
                  "the mountpoint " + job.mountpoint + " lies inside the volume's own directory; choose another");
  }
  const bool point = job.source.remote || !job.source.point.empty();
  const ConfigFor whom = config_for(job.source);
  TM_ASSIGN(job.options, options_for(flags.options, whom, point));
  job.salvage = std::erase(job.options, "salvage") != 0;
  TM_ASSIGN(job.history, history_for(flags.history, whom));
  if (flags.history.given() && point) {
    return Status(Code::kInvalid,
                  "a point is mounted read-only: --retention, --max-log, --scrub and --pool need the live volume");
  }
  TM_ASSIGN(job.keys, keys_for(flags.keys, job.source.address.endpoint));
  return job;
}

int run(const MountFlags& flags) {
  Result<MountJob> job = make_job(flags);
  if (!job.ok()) {
    print_error(job.status());
    return exit_code(job.status().code());
  }
  return run_service(flags.foreground, [&](Readiness& readiness) { return run_mount(*job, readiness); });
}

}  // namespace

void add_mount(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<MountFlags>();
  Command* command = app.add_subcommand("mount", "Mount a volume, or any point of it read-only");
  command->add_option("SOURCE", flags->source, "DIR, DIR@POINT, a path in a mount, or tcp://HOST:PORT/GROUP[@POINT]")
      ->required();
  command->add_option("MOUNTPOINT", flags->mountpoint, "An existing directory")->required();
  command->add_flag("-f,--foreground", flags->foreground, "Stay in the foreground, log to stderr (for supervisors)");
  add_setting(*command, kMountOptions, flags->options);
  add_at_option(*command, flags->at);
  add_key_options(*command, flags->keys);
  add_history_options(*command, flags->history);
  command->callback([&invocation, flags] { invocation.run = [flags] { return run(*flags); }; });
}

}  // namespace tidemark::cli
