// tidemark demo: the whole story on loopback, in under a minute.
#include <cstdlib>
#include <memory>

#include "cli/commands/command.h"
#include "cli/demo/demo.h"
#include "cli/output/exit_map.h"
#include "cli/source.h"

namespace tidemark::cli {
namespace {

// Not /tmp: it is often in memory, without extended attributes, and small.
std::string default_parent() {
  const char* given = std::getenv("TMPDIR");
  return given != nullptr && *given != '\0' ? given : "/var/tmp";
}

}  // namespace

void add_demo(Command& app, Invocation& invocation) {
  auto options = std::make_shared<DemoOptions>();
  Command* command = app.add_subcommand("demo", "Run a complete demonstration on this machine, in under a minute");
  command->add_option("--dir", options->parent, "Where to work (default: $TMPDIR or /var/tmp); needs about 300 MiB")
      ->option_text("DIR");
  command->add_flag("--keep", options->keep, "Keep everything it created there");
  command->footer("Needs /dev/fuse, sqlite3 and rsync. Exit code 0 only if everything came back exactly as it was.");
  command->callback([&invocation, options] {
    invocation.run = [options] {
      return finish([&]() -> Outcome {
        options->parent = absolute_path(options->parent.empty() ? default_parent() : options->parent);
        TM_TRY(run_demo(*options));
        return TIDEMARK_EXIT_OK;
      });
    };
  });
}

}  // namespace tidemark::cli
