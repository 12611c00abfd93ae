// How a subcommand looks to main(): it declares its flags, and leaves what to run once they are parsed.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "cli/commands/command_line.h"

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
void add_json_flag(Command& command, bool& json);
void add_at_option(Command& command, std::string& at);
void add_key_options(Command& command, RemoteKeys& keys);

void add_init(Command& app, Invocation& invocation);
void add_mount(Command& app, Invocation& invocation);
void add_umount(Command& app, Invocation& invocation);
void add_mark(Command& app, Invocation& invocation);
void add_serve(Command& app, Invocation& invocation);
void add_keygen(Command& app, Invocation& invocation);
void add_pair(Command& app, Invocation& invocation);
void add_prune(Command& app, Invocation& invocation);
void add_restore(Command& app, Invocation& invocation);
void add_log(Command& app, Invocation& invocation);
void add_verify(Command& app, Invocation& invocation);
void add_status(Command& app, Invocation& invocation);
void add_config(Command& app, Invocation& invocation);
void add_demo(Command& app, Invocation& invocation);

}  // namespace tidemark::cli
