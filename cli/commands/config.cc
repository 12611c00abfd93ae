// tidemark config check [FILE], tidemark config show: the configuration file, and what counts because of it.
#include <memory>

#include "cli/commands/command.h"
#include "cli/output/exit_map.h"
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "cli/settings/config_file.h"

namespace tidemark::cli {
namespace {

struct ConfigFlags {
  std::string file;
  bool json = false;
};

Outcome run_check(const ConfigFlags& flags) {
  const std::string path = !flags.file.empty() ? flags.file : Settings::ours().path();
  std::vector<ConfigFault> faults;
  Result<ConfigFile> read = ConfigFile::read(path, &faults);
  const bool missing = !read.ok() && read.status().code() == Code::kNotFound;
  if (!read.ok() && faults.empty() && !(missing && flags.file.empty() && !Settings::ours().named())) {
    return Status(Code::kInvalid, read.status().text());
  }
  if (flags.json) {
    Json listed = Json::array();
    for (const ConfigFault& one : faults) {
      listed.push_back({{"line", one.line}, {"column", one.column}, {"text", one.text}});
    }
    print_json({{"file", path}, {"exists", !missing}, {"ok", faults.empty()}, {"faults", listed}});
  }
  if (!faults.empty()) return read.status();
  if (!flags.json) print_line("OK: " + path + (missing ? " does not exist: the defaults apply" : ""));
  return 0;
}

Json setting_json(const std::string& name, const Setting& setting, const std::string& value, const std::string& from) {
  return {{"name", name}, {"value", value}, {"from", from}, {"flag", setting.flag}};
}

Outcome run_show(const ConfigFlags& flags) {
  TM_ASSIGN(const ConfigFile* file, Settings::ours().file());
  Json rows = Json::array();
  const auto place = [&](const ConfigEntry& entry) { return file->path() + ":" + std::to_string(entry.line); };
  for (const Setting* setting : all_settings()) {
    const ConfigEntry* said = file == nullptr ? nullptr : file->find(*setting, {});
    rows.push_back(said == nullptr ? setting_json(setting->name(), *setting, std::string(setting->fallback), "default")
                                   : setting_json(setting->name(), *setting, said->text(), place(*said)));
  }
  for (const ConfigEntry& entry : file == nullptr ? std::vector<ConfigEntry>() : file->entries()) {
    if (!entry.whose.empty()) rows.push_back(setting_json(entry.name(), *entry.setting, entry.text(), place(entry)));
  }
  if (flags.json) {
    print_json({{"file", file == nullptr ? "" : file->path()}, {"settings", rows}});
    return 0;
  }
  Table table({"SETTING", "VALUE", "FROM", "FLAG"});
  for (const Json& row : rows) {
    const std::string value = text_field(row, "value");
    table.add({printable(text_field(row, "name")), value.empty() ? "-" : printable(value),
               printable(text_field(row, "from")), text_field(row, "flag")});
  }
  table.print();
  return 0;
}

}  // namespace

void add_config(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<ConfigFlags>();
  Command* config = app.add_subcommand("config", "Check the configuration file, show the settings in effect");
  config->require_subcommand();
  Command* check = config->add_subcommand("check", "Check a configuration file strictly; exit code 2 if it has an error");
  check->add_option("FILE", flags->file, std::string("Default: --config, or ") + kConfigFile);
  add_json_flag(*check, flags->json);
  check->callback([&invocation, flags] {
    invocation.checks_config = true;
    invocation.run = [flags] { return finish([&] { return run_check(*flags); }); };
  });
  Command* show = config->add_subcommand("show", "List every setting, its value and where the value comes from");
  add_json_flag(*show, flags->json);
  show->footer("A flag on the command line overrides a value shown here.");
  show->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run_show(*flags); }); }; });
}

}  // namespace tidemark::cli
