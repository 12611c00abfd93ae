// tidemark pair create|list|delete
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/control.h"
#include "cli/group_control.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/reader.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kControlTimeout{30};

struct PairFlags {
  std::string source;
  std::string site;
  std::string endpoint;
  bool json = false;
  RemoteKeys keys;
};

// The primary whose pairs are meant.
Result<std::string> primary_directory(const std::string& text) {
  TM_ASSIGN(Source source, find_source(text, ""));
  if (source.remote) return Status(Code::kUnsupported, "pairs are made at the primary, not at " + source.text);
  TM_ASSIGN(GroupIdentity identity, Group::identify(source.directory));
  if (identity.role == Role::kPrimary) return source.directory;
  return Status(Code::kReadOnly,
                source.directory + " is a site's copy of '" + identity.name + "'; pairs belong to its primary");
}

// Asks the process that has it mounted; where there is none, `otherwise`.
Status change(const std::string& directory, const Json& request, const std::function<Status()>& otherwise) {
  Result<Json> asked = control_call(directory, request, kControlTimeout);
  bool nobody = !asked.ok() && asked.status().code() == Code::kNotFound && asked.status().sys_errno() != 0;
  return nobody ? otherwise() : asked.status();
}

Outcome run_create(const PairFlags& flags) {
  TM_ASSIGN(std::string directory, primary_directory(flags.source));
  PairConfig pair{flags.site, flags.endpoint, "", ""};
  if (!flags.keys.server_key.empty()) pair.server_key = absolute_path(flags.keys.server_key);
  if (!flags.keys.own_key.empty()) pair.own_key = absolute_path(flags.keys.own_key);
  bool mounted = true;
  TM_TRY(change(directory, {{"op", "pair-add"}, {"pair", pair_to_json(pair)}}, [&] {
    mounted = false;
    return add_pair_to_file(directory, pair);
  }));
  if (flags.json) print_json(pair_to_json(pair));
  if (!flags.json) {
    print_line("paired with site '" + pair.site + "' at " + pair.endpoint);
    print_note(mounted ? "  shipping has begun; `tidemark status` shows how far it is"
                       : "  shipping begins when the volume is mounted");
  }
  return 0;
}

// With what a mounted volume knows about each; otherwise as configured.
Outcome run_list(const PairFlags& flags) {
  TM_ASSIGN(std::string directory, primary_directory(flags.source));
  Json pairs = Json::array();
  Result<Json> asked = control_call(directory, {{"op", "status"}}, kControlTimeout);
  if (asked.ok()) {
    pairs = asked->value("status", Json::object()).value("pairs", Json::array());
  } else {
    TM_ASSIGN(std::vector<PairConfig> configured, load_pairs(directory));
    for (const PairConfig& pair : configured) {
      pairs.push_back({{"site", pair.site}, {"endpoint", pair.endpoint}, {"state", "not-running"}, {"connected", false}});
    }
  }
  if (flags.json) {
    print_json({{"pairs", pairs}});
    return 0;
  }
  if (pairs.empty()) {
    print_note("no pairs; `tidemark pair create " + flags.source + " SITE ENDPOINT` makes one");
    return 0;
  }
  Table table({"SITE", "ENDPOINT", "STATE", "DURABLE", "EXPOSED"});
  for (const Json& pair : pairs) {
    bool known = pair.contains("durable");
    table.add({text_field(pair, "site"), text_field(pair, "endpoint"), text_field(pair, "state"),
               known ? human_count(number_field(pair, "durable")) : "-",
               known ? human_count(number_field(pair, "exposed_records")) + " records" : "-"});
  }
  table.print();
  return 0;
}

Outcome run_delete(const PairFlags& flags) {
  TM_ASSIGN(std::string directory, primary_directory(flags.source));
  TM_TRY(change(directory, {{"op", "pair-remove"}, {"site", flags.site}},
                [&] { return remove_pair_from_file(directory, flags.site); }));
  if (flags.json) print_json({{"site", flags.site}});
  if (!flags.json) print_line("no longer paired with '" + flags.site + "'; the copy there stays");
  return 0;
}

CLI::App* add_verb(CLI::App* pair, const char* verb, const char* about, PairFlags& flags, bool with_site) {
  CLI::App* command = pair->add_subcommand(verb, about);
  command->add_option("DIR", flags.source, "The primary's volume, or a path in its mount")->required();
  if (with_site) command->add_option("SITE", flags.site, "The site's name, as this volume calls it")->required();
  add_json_flag(*command, flags.json);
  return command;
}

void on_chosen(CLI::App* command, Invocation& invocation, std::function<Outcome()> run) {
  command->callback([&invocation, run = std::move(run)] { invocation.run = [run] { return finish(run); }; });
}

}  // namespace

void add_pair(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<PairFlags>();
  CLI::App* pair = app.add_subcommand("pair", "Which sites a volume is copied to");
  pair->require_subcommand(1);
  CLI::App* create = add_verb(pair, "create", "Copy a volume to a site from now on (asynchronously)", *flags, true);
  create->add_option("ENDPOINT", flags->endpoint, "tcp://HOST:PORT or ipc://PATH of `tidemark serve`")->required();
  add_key_options(*create, flags->keys);
  on_chosen(create, invocation, [flags] { return run_create(*flags); });
  on_chosen(add_verb(pair, "list", "List pairs and how far each is", *flags, false), invocation,
            [flags] { return run_list(*flags); });
  on_chosen(add_verb(pair, "delete", "End a pair; the copy at the site stays", *flags, true), invocation,
            [flags] { return run_delete(*flags); });
}

}  // namespace tidemark::cli
