#include "cli/commands/command.h"

#include <exception>

#include "cli/output/exit_map.h"
#include "cli/output/output.h"
#include "cli/reader.h"
#include "cli/settings/settings.h"

namespace tidemark::cli {

int finish(const std::function<Outcome()>& command) {
  Outcome outcome = [&]() -> Outcome {
    try {
      return command();
    } catch (const std::exception& e) {  // of the standard library (no memory, a file system call): ours throws nothing
      return Status(Code::kIo, e.what());
    }
  }();
  Status written = flush_output();
  if (outcome.ok() && written.ok()) return *outcome;
  const Status& failure = outcome.ok() ? written : outcome.status();
  print_error(failure);
  return exit_code(failure.code());
}

void add_json_flag(Command& command, bool& json) { command.add_flag("--json", json, "Print JSON, for programs"); }

void add_at_option(Command& command, std::string& at) {
  command.add_option("--at", at, "The point, as written after '@': a mark, seq:N, an RFC 3339 time, -10m, latest")
      ->option_text("POINT");
}

void add_key_options(Command& command, RemoteKeys& keys) {
  add_setting(command, kOwnKey, keys.own_key);
  add_setting(command, kServerKey, keys.server_key);
}

}  // namespace tidemark::cli
