// tidemark: one binary, one subcommand a file.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "base/descriptors.h"
#include "base/logging.h"
#include "cli/commands/command.h"
#include "cli/output/exit_map.h"
#include "cli/output/output.h"
#include "cli/settings/config_file.h"

namespace {

constexpr const char* kAbout =
    "Tidemark: a filesystem that can go back.\n"
    "Every change to a mounted directory becomes a numbered record in a log; a mark names a good state; the log is\n"
    "shipped to other sites; any mark, time or sequence number can be mounted or restored.";

constexpr const char* kExamples =
    "Examples:\n"
    "  tidemark init /srv/vol --from /srv/data       create a volume from /srv/data\n"
    "  tidemark mount /srv/vol /mnt/data             use it\n"
    "  tidemark mark create /mnt/data before-upgrade name a good state\n"
    "  tidemark mount /srv/vol@-10m /mnt/then        look at ten minutes ago\n"
    "  tidemark restore /srv/vol@before-upgrade --target /srv/restored\n"
    "  tidemark demo                                 a complete demonstration, in under a minute\n\n"
    "SOURCE is DIR, DIR@POINT, a path in a mount, or tcp://HOST:PORT/GROUP[@POINT].\n"
    "POINT is a mark's name, seq:N, a time (2026-11-20T10:00:00Z), an age (-10m) or latest.\n"
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 partial, 10 no such volume or point, 11 busy, 12 not authorised,\n"
    "            13 corruption found, 14 site not reached in time, 15 RPO exceeded or log limit near (status),\n"
    "            130 interrupted";

void add_commands(tidemark::cli::Command& app, tidemark::cli::Invocation& invocation) {
  using namespace tidemark::cli;
  add_init(app, invocation);
  add_mount(app, invocation);
  add_umount(app, invocation);
  add_mark(app, invocation);
  add_serve(app, invocation);
  add_keygen(app, invocation);
  add_pair(app, invocation);
  add_prune(app, invocation);
  add_restore(app, invocation);
  add_log(app, invocation);
  add_verify(app, invocation);
  add_status(app, invocation);
  add_config(app, invocation);
  add_demo(app, invocation);
}

int parse_and_run(int argc, char** argv) {
  CLI::App app(kAbout, "tidemark");
  app.footer(kExamples);
  app.set_version_flag("--version", std::string("tidemark ") + TIDEMARK_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  std::string config;
  app.add_option("--config", config, std::string("Configuration file; default: ") + tidemark::cli::kConfigFile)
      ->option_text("FILE");
  app.fallthrough();  // so that --config may stand anywhere
  tidemark::cli::Invocation invocation;
  tidemark::cli::Command program(app);
  add_commands(program, invocation);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    tidemark::cli::print_error(tidemark::Status(tidemark::Code::kInvalid, e.what()));
    std::string path = "tidemark";
    for (const CLI::App* sub = &app; !sub->get_subcommands().empty();) {
      sub = sub->get_subcommands().front();
      path += " " + sub->get_name();
    }
    tidemark::cli::print_note("  next: `" + path + " --help` shows the usage");
    return TIDEMARK_EXIT_USAGE;
  }
  if (config.empty()) return invocation.run();
  // One that is named is read even where the command needs nothing of it.
  tidemark::cli::Settings::ours().use(config);
  if (auto file = tidemark::cli::Settings::ours().file(); !file.ok() && !invocation.checks_config) {
    tidemark::cli::print_error(file.status());
    return tidemark::cli::exit_code(file.status().code());
  }
  return invocation.run();
}

}  // namespace

int main(int argc, char** argv) {
  tidemark::log_to_stderr(tidemark::LogLevel::kWarning);
  tidemark::raise_descriptor_limit();
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& e) {
    tidemark::cli::print_error(tidemark::Status(tidemark::Code::kIo, e.what()));
    return TIDEMARK_EXIT_FAILURE;
  }
}
