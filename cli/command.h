// How a subcommand looks to main(): it declares its flags, and leaves what to run once they are parsed.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"

namespace CLI {
class App;
}

namespace tidemark::cli {

struct RemoteKeys;

// The value is an exit code for what is neither success nor a failure with a text (3: partial, 13: damage listed …).
using Outcome = Result<int>;

struct Invocation {
  std::function<int()> run;    // set by the subcommand that was chosen; returns the exit code
  bool checks_config = false;  // it says itself what is wrong with --config
};

// Runs, prints the failure if there is one, and gives the exit code.
int finish(const std::function<Outcome()>& command);

// Flags that several commands share, declared the same way everywhere.
void add_json_flag(CLI::App& command, bool& json);
void add_at_option(CLI::App& command, std::string& at);
void add_key_options(CLI::App& command, RemoteKeys& keys);

void add_init(CLI::App& app, Invocation& invocation);
void add_mount(CLI::App& app, Invocation& invocation);
void add_umount(CLI::App& app, Invocation& invocation);
void add_mark(CLI::App& app, Invocation& invocation);
void add_serve(CLI::App& app, Invocation& invocation);
void add_keygen(CLI::App& app, Invocation& invocation);
void add_pair(CLI::App& app, Invocation& invocation);
void add_prune(CLI::App& app, Invocation& invocation);
void add_restore(CLI::App& app, Invocation& invocation);
void add_log(CLI::App& app, Invocation& invocation);
void add_verify(CLI::App& app, Invocation& invocation);
void add_status(CLI::App& app, Invocation& invocation);
void add_config(CLI::App& app, Invocation& invocation);
void add_demo(CLI::App& app, Invocation& invocation);

}  // namespace tidemark::cli
