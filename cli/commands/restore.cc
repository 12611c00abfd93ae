// tidemark restore SOURCE --target PATH [--as dir|volume] [--include PATH]… [-n] [--force] [--jobs N]
#include <filesystem>
#include <memory>

#include "cli/commands/command.h"
#include "cli/output/exit_map.h"
#include "cli/output/output.h"
#include "cli/output/restore_output.h"
#include "cli/reader.h"
#include "cli/service/signals.h"
#include "cli/target.h"
#include "restore/restore.h"

namespace tidemark::cli {
namespace {

struct RestoreFlags {
  std::string source;
  std::string at;
  std::string target;
  std::string as = "dir";
  std::string name;
  std::vector<std::string> include;
  bool dry_run = false;
  bool force = false;
  bool salvage = false;
  bool json = false;
  unsigned jobs = 0;
  RemoteKeys keys;
};

Outcome show_plan(TreeView& view, const RestoreFlags& flags) {
  TM_ASSIGN(RestorePlan plan, plan_restore(view, flags.include));
  if (flags.json) {
    Json made = plan_summary_json(plan);
    Json list = Json::array();
    for (const PlanEntry& entry : plan.entries) list.push_back(plan_entry_json(entry));
    made["plan"] = list;
    print_json(made);
  } else {
    print_plan(plan);
    print_note("would restore " + plan_text(plan) + " as of seq " + std::to_string(plan.point.value()) +
               "; nothing is written");
  }
  return 0;
}

Result<RestoreReport> carry_out(TreeView& view, const RestoreFlags& flags, const std::string& group_name) {
  RestoreOptions options;
  options.target = absolute_path(flags.target);
  options.include = flags.include;
  options.force = flags.force;
  options.salvage = flags.salvage;
  options.jobs = flags.jobs;
  options.interrupted = interrupted_flag();
  ProgressLine line("restoring");
  options.progress = [&](const RestoreProgress& progress) { show_progress(line, progress); };
  if (flags.as == "dir") return restore_to_directory(view, options);
  return restore_to_volume(view, options, group_name);
}

// A new volume may be made where an interrupted restore has left the beginning of one: there it counts where the target lies.
Status check_where(const RestoreFlags& flags, const Source& source) {
  if (flags.target.empty()) return Status();
  const std::string what = "--target " + flags.target;
  if (flags.as == "dir") return check_target(flags.target, what, &source);
  return check_target(std::filesystem::path(absolute_path(flags.target)).parent_path().string(), what);
}

Outcome run(const RestoreFlags& flags) {
  if (flags.target.empty() && !flags.dry_run)
    return Status(Code::kInvalid, "--target PATH is required: the place to restore to");
  if (!flags.name.empty() && flags.as != "volume") return Status(Code::kInvalid, "--name requires --as volume");
  TM_ASSIGN(Source source, find_source(flags.source, flags.at));
  TM_TRY(check_where(flags, source));
  TM_ASSIGN(Reader reader, Reader::open(source, flags.keys, flags.salvage));
  const Status damage = reader.damage();
  if (!damage.ok()) print_warning("the volume is damaged; only its sound part is read: " + damage.text());
  TM_ASSIGN(Seq point, reader.point());
  TM_ASSIGN(std::shared_ptr<TreeView> view, reader.view(point));
  if (flags.dry_run) return show_plan(*view, flags);
  std::string name = flags.name.empty() ? group_name_for(absolute_path(flags.target)) : flags.name;
  TM_ASSIGN(RestoreReport report, carry_out(*view, flags, name));
  print_warnings(report);
  if (flags.json) {
    Json made = {{"source", source.full_text()}, {"target", absolute_path(flags.target)}, {"as", flags.as}};
    made.update(report_json(report));
    print_json(made);
  } else {
    print_line("restored " + source.full_text() + " (seq " + std::to_string(report.plan.point.value()) + ") to " +
               flags.target + ": " + report_text(report));
  }
  return damage.ok() && report.damaged.empty() ? TIDEMARK_EXIT_OK : TIDEMARK_EXIT_PARTIAL;
}

}  // namespace

void add_restore(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<RestoreFlags>();
  Command* command = app.add_subcommand("restore", "Restore the tree at any point, from this machine or from a site");
  command->add_option("SOURCE", flags->source, "DIR[@POINT], a path in a mount, or tcp://HOST:PORT/GROUP[@POINT]")
      ->required();
  add_at_option(*command, flags->at);
  command->add_option("--target", flags->target, "Where to restore: a new or an empty directory")->option_text("PATH");
  command->add_option("--as", flags->as, "dir (default): plain files; volume: a new volume")
      ->option_text("dir|volume")
      ->one_of({"dir", "volume"});
  command->add_option("--name", flags->name, "With --as volume: its name; default: the last component of the target")
      ->option_text("NAME");
  command->add_option("--include", flags->include, "Only this path and everything below it; may be repeated")
      ->option_text("PATH")
      ->one_value_each();
  command->add_flag("-n,--dry-run", flags->dry_run, "Print what would be written; write nothing");
  command->add_flag("--force", flags->force, "Write into a target that is not empty");
  command->add_flag("--salvage", flags->salvage,
                    "Restore what is sound of a damaged volume; leave out damaged files and name them (exit code 3)");
  command->add_option("--jobs", flags->jobs, "Number of threads; default: one per processor, at most 16")
      ->option_text("N")
      ->in_range(1, 256);
  add_key_options(*command, flags->keys);
  add_json_flag(*command, flags->json);
  command->footer(
      "Examples:\n  tidemark restore /srv/vol@before-upgrade --target /srv/back\n"
      "  tidemark restore tcp://backup:7400/vol --at -10m --target /srv/back --include etc/app");
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli
