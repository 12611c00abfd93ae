// tidemark pair create|list|suspend|resume|delete
#include <memory>

#include "cli/commands/command.h"
#include "cli/output/confirm.h"
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "cli/output/status_report.h"
#include "cli/reader.h"
#include "cli/service/control.h"
#include "cli/service/group_control.h"
#include "cli/settings/config_file.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kControlTimeout{30};

struct PairFlags {
  std::string source;
  std::string site;
  std::string endpoint;
  std::string mode;
  std::string fence;
  std::string bandwidth;
  bool json = false;
  bool yes = false;
  RemoteKeys keys;
};

// The group whose pairs are meant: a primary's volume, or a site's copy that is forwarded.
Result<std::string> group_directory(const std::string& text) {
  TM_ASSIGN(Source source, find_source(text, ""));
  if (source.remote) {
    return Status(Code::kUnsupported,
                  "create pairs on the machine that holds the volume or copy, not through " + source.text);
  }
  TM_TRY(Group::identify(source.directory).status());
  return source.directory;
}

// Asks the process that has it open (a mount, a site); where there is none, changes pairs.json.
Status change(const std::string& directory, const Json& request, const std::function<Status(std::vector<Pair>&)>& edit,
              bool* running = nullptr) {
  Result<Json> asked = control_call(directory, request, kControlTimeout);
  bool nobody = !asked.ok() && asked.status().code() == Code::kNotFound && asked.status().sys_errno() != 0;
  if (running != nullptr) *running = !nobody;
  return nobody ? edit_pairs(directory, edit) : asked.status();
}

// The flags, and what the configuration file says for this group and this site.
Result<PairConfig> pair_for(const PairFlags& flags, const std::string& directory) {
  TM_ASSIGN(const GroupIdentity identity, Group::identify(directory));
  const ConfigFor whom{identity.name, directory, ""};
  Settings& settings = Settings::ours();
  TM_ASSIGN(const RemoteKeys keys, keys_for(flags.keys, flags.endpoint));
  PairConfig pair{flags.site, flags.endpoint, keys.server_key, keys.own_key};
  TM_ASSIGN(const std::string mode, settings.value(kPairMode, flags.mode, whom));
  pair.mode = pair_mode_from_name(mode).value_or(PairMode::kAsync);
  TM_ASSIGN(const std::string fence, settings.value(kPairFence, flags.fence, whom));
  pair.fence = pair_fence_from_name(fence).value_or(PairFence::kNever);
  // The file's fence is for the pairs it can be for.
  if (flags.fence.empty() && pair.mode == PairMode::kAsync) pair.fence = PairFence::kNever;
  TM_ASSIGN(const std::string bandwidth, settings.value(kPairBandwidth, flags.bandwidth, whom));
  TM_ASSIGN(pair.bytes_per_second, parse_limit(bandwidth));
  return pair;
}

Outcome run_create(const PairFlags& flags) {
  TM_ASSIGN(std::string directory, group_directory(flags.source));
  TM_ASSIGN(const PairConfig pair, pair_for(flags, directory));
  bool running = true;
  TM_TRY(change(
      directory, {{"op", "pair-add"}, {"pair", pair_to_json(pair)}},
      [&](std::vector<Pair>& pairs) { return add_pair(pairs, pair); }, &running));
  if (flags.json) print_json(pair_to_json(pair));
  if (!flags.json) {
    print_line("paired with site '" + pair.site + "' at " + pair.endpoint + ", " + std::string(pair_mode_name(pair.mode)));
    print_note(running ? "  copying has begun; `tidemark status` shows its progress"
                       : "  copying begins when the volume is mounted");
  }
  return 0;
}

// With what the process that has it open knows about each; otherwise as saved.
Outcome run_list(const PairFlags& flags) {
  TM_ASSIGN(std::string directory, group_directory(flags.source));
  Json pairs = Json::array();
  Result<Json> asked = control_call(directory, {{"op", "status"}}, kControlTimeout);
  if (asked.ok()) {
    pairs = asked->value("status", Json::object()).value("pairs", Json::array());
  } else {
    TM_ASSIGN(std::vector<Pair> saved, load_pairs(directory));
    for (const Pair& pair : saved) pairs.push_back(pair_status_json(pair));
  }
  if (flags.json) {
    print_json({{"pairs", pairs}});
    return 0;
  }
  if (pairs.empty()) {
    print_note("no pairs; `tidemark pair create " + flags.source + " SITE ENDPOINT` creates one");
    return 0;
  }
  Table table({"SITE", "ENDPOINT", "MODE", "STATE", "DURABLE", "EXPOSED"});
  for (const Json& pair : pairs) {
    bool running = flag_field(pair, "running");
    table.add({text_field(pair, "site"), text_field(pair, "endpoint"), text_field(pair, "mode"),
               state_text(pair) + (running ? "" : " (not running)"), human_count(number_field(pair, "durable")),
               running ? human_count(number_field(pair, "exposed_records")) + " records" : "-"});
  }
  table.print();
  return 0;
}

// suspend, resume, delete: one site, one change.
struct Verb {
  const char* op;
  std::function<Status(std::vector<Pair>&, const std::string& site)> edit;
  const char* done;  // after the site's name
};

Outcome run_verb(const PairFlags& flags, const Verb& verb) {
  TM_ASSIGN(std::string directory, group_directory(flags.source));
  TM_TRY(change(directory, {{"op", verb.op}, {"site", flags.site}},
                [&](std::vector<Pair>& pairs) { return verb.edit(pairs, flags.site); }));
  if (flags.json) print_json({{"site", flags.site}});
  if (!flags.json) print_line("the pair with '" + flags.site + "' " + verb.done);
  return 0;
}

const Verb kSuspend{
    "pair-suspend",
    [](std::vector<Pair>& pairs, const std::string& site) { return suspend_pair(pairs, site, system_clock().wall_ns()); },
    "is suspended, or will be once it has drained; new records are kept for it"};
const Verb kResume{
    "pair-resume",
    [](std::vector<Pair>& pairs, const std::string& site) { return resume_pair(pairs, site, system_clock().wall_ns()); },
    "is resumed; only missing records are sent"};
const Verb kDelete{"pair-remove", remove_pair, "is deleted; the copy at the site stays"};

// A pair that has ended cannot be taken up where it was: what the site lacks is not kept for it any more.
Outcome run_delete(const PairFlags& flags) {
  TM_ASSIGN(const std::string directory, group_directory(flags.source));
  TM_ASSIGN(std::vector<Pair> pairs, load_pairs(directory));
  TM_TRY(remove_pair(pairs, flags.site));  // in memory: is there one?
  TM_ASSIGN(const bool agreed,
            confirm("This deletes the pair of " + flags.source + " with '" + flags.site +
                        "': nothing more is copied there, and records it lacks are no longer kept for it.",
                    flags.yes));
  return agreed ? run_verb(flags, kDelete) : Outcome(not_confirmed());
}

Command* add_verb(Command* pair, const char* verb, const char* about, PairFlags& flags, bool with_site) {
  Command* command = pair->add_subcommand(verb, about);
  command->add_option("DIR", flags.source, "The volume, a path in its mount, or a site's copy of it")->required();
  if (with_site) command->add_option("SITE", flags.site, "The site's name, as this volume calls it")->required();
  add_json_flag(*command, flags.json);
  return command;
}

void on_chosen(Command* command, Invocation& invocation, std::function<Outcome()> run) {
  command->callback([&invocation, run = std::move(run)] { invocation.run = [run] { return finish(run); }; });
}

}  // namespace

void add_pair(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<PairFlags>();
  Command* pair = app.add_subcommand("pair", "Manage the copies of a volume at sites");
  pair->require_subcommand();
  Command* create = add_verb(pair, "create", "Start copying a volume to a site", *flags, true);
  create
      ->add_option("ENDPOINT", flags->endpoint,
                   "tcp://HOST:PORT or ipc://PATH of `tidemark serve`; separate several lines with commas")
      ->required();
  add_setting(*create, kPairMode, flags->mode);
  add_setting(*create, kPairFence, flags->fence);
  add_setting(*create, kPairBandwidth, flags->bandwidth);
  add_key_options(*create, flags->keys);
  on_chosen(create, invocation, [flags] { return run_create(*flags); });
  on_chosen(add_verb(pair, "list", "List the pairs and their progress", *flags, false), invocation,
            [flags] { return run_list(*flags); });
  on_chosen(add_verb(pair, "suspend", "Pause copying; new records are kept for the site", *flags, true), invocation,
            [flags] { return run_verb(*flags, kSuspend); });
  on_chosen(add_verb(pair, "resume", "Resume copying with the missing records", *flags, true), invocation,
            [flags] { return run_verb(*flags, kResume); });
  Command* remove = add_verb(pair, "delete", "Delete a pair; the copy at the site stays", *flags, true);
  remove->add_flag("-y,--yes", flags->yes, "Do not ask for confirmation; required without a terminal");
  on_chosen(remove, invocation, [flags] { return run_delete(*flags); });
}

}  // namespace tidemark::cli
