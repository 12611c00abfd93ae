// tidemark init DIR [--name NAME] [--from EXISTING_DIR]
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "cli/commands/command.h"
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "cli/output/restore_output.h"
#include "cli/service/signals.h"
#include "cli/source.h"
#include "cli/target.h"
#include "restore/restore.h"
#include "volume/group/group.h"

namespace tidemark::cli {
namespace {

struct InitFlags {
  std::string directory;
  std::string name;
  std::string from;
  bool json = false;
};

Result<RestoreReport> import(const InitFlags& flags, Group& group) {
  RestoreOptions options;
  options.interrupted = interrupted_flag();
  ProgressLine line("importing");
  options.progress = [&](const RestoreProgress& progress) { show_progress(line, progress); };
  TM_ASSIGN(RestoreReport report, import_directory(flags.from, group, options));
  TM_TRY(group.sync());
  return report;
}

Outcome run_init(const InitFlags& flags) {
  std::string directory = absolute_path(flags.directory);
  if (!flags.from.empty() && !std::filesystem::is_directory(flags.from)) {
    return Status(Code::kNotFound, "--from " + flags.from + " is not a directory");
  }
  if (!flags.from.empty() && (directory + "/").starts_with(absolute_path(flags.from) + "/")) {
    return Status(Code::kInvalid, directory + " lies inside --from " + flags.from + ": it would be copied into itself");
  }
  if (!flags.from.empty()) TM_TRY(check_import(flags.from));
  // DIR itself may hold what an interrupted init left: where it lies is what counts.
  TM_TRY(check_target(std::filesystem::path(directory).parent_path().string(), directory));
  InitOptions init;
  init.name = flags.name.empty() ? group_name_for(directory) : flags.name;
  init.uid = ::getuid();
  init.gid = ::getgid();
  if (!flags.from.empty()) init.unfinished = "filled from " + flags.from;
  TM_TRY(Group::init(directory, init));
  Json made = {{"name", init.name}, {"directory", directory}};
  if (!flags.from.empty()) {
    GroupOptions options;
    options.purpose = "importing " + flags.from;
    options.finishing = true;
    TM_ASSIGN(auto group, Group::open(directory, OpenMode::kPrimary, options));
    Result<RestoreReport> report = import(flags, *group);
    TM_TRY(group->close());
    if (report.ok()) TM_TRY(Group::declare_finished(directory));
    if (!report.ok()) {
      return report.status().within("the volume in " + directory + " is incomplete (remove it before you try again)");
    }
    print_warnings(*report);
    made["imported"] = report_json(*report);
    if (!flags.json) print_line("imported " + report_text(*report));
  }
  if (flags.json) {
    print_json(made);
  } else {
    print_line("initialised volume '" + init.name + "' in " + directory);
    print_note("  next: `tidemark mount " + flags.directory + " MOUNTPOINT`");
  }
  return 0;
}

}  // namespace

void add_init(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<InitFlags>();
  Command* command = app.add_subcommand("init", "Create a volume, empty or with the content of an existing directory");
  command->add_option("DIR", flags->directory, "Where to keep the volume's log: a new or an empty directory")->required();
  command->add_option("--name", flags->name, "The group's name, [A-Za-z0-9._-]; default: the last component of DIR")
      ->option_text("NAME");
  command->add_option("--from", flags->from, "Copy the content of this directory into it")->option_text("EXISTING_DIR");
  add_json_flag(*command, flags->json);
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run_init(*flags); }); }; });
}

}  // namespace tidemark::cli
