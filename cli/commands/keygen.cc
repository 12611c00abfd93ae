// tidemark keygen FILE
#include <memory>

#include "base/file.h"
#include "cli/commands/command.h"
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "replicator/site/site.h"
#include "replicator/wire/keys.h"

namespace tidemark::cli {
namespace {

struct KeygenFlags {
  std::string file;
  bool json = false;
};

Outcome run(const KeygenFlags& flags) {
  TM_TRY(generate_key(flags.file));
  std::string public_file = flags.file + ".pub";
  TM_ASSIGN(std::string key, read_file(posix_file_system(), public_file));
  while (!key.empty() && (key.back() == '\n' || key.back() == ' ')) key.pop_back();
  if (flags.json) {
    print_json({{"key", flags.file}, {"public_file", public_file}, {"public_key", key}});
  } else {
    print_line(key);
    print_note("key pair in " + flags.file + " (keep it secret), public half in " + public_file);
  }
  return 0;
}

}  // namespace

void add_keygen(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<KeygenFlags>();
  Command* command = app.add_subcommand("keygen", "Create a key pair for connections between sites");
  command->add_option("FILE", flags->file, "File for the key pair; FILE.pub gets the public half")->required();
  add_json_flag(*command, flags->json);
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli
