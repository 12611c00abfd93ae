// tidemark serve --dir DIR --listen ENDPOINT [--key FILE --allow FILE]
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <map>
#include <memory>

#include "base/logging.h"
#include "base/mutex.h"
#include "cli/background.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/control.h"
#include "cli/group_control.h"
#include "cli/history.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/pruning.h"
#include "cli/signals.h"
#include "cli/source.h"
#include "replicator/site.h"
#include "volume/history_keeper.h"

namespace tidemark::cli {
namespace {

struct ServeFlags {
  std::string directory;
  std::string listen;
  std::string key;
  std::string allow;
  bool json = false;
  HistoryFlags history;
};

// The control sockets of a site's groups, one each, and those who look after their history.
class SiteControls {
 public:
  explicit SiteControls(Site& site) : site_(site) {}
  void add(Group& group) TM_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    look_after(group);
    if (servers_.contains(group.directory())) return;
    Shipper* shipper = site_.shipper(group.identity().name);
    auto server = ControlServer::start(group.directory(), control_handler({&group, nullptr, &site_, shipper, ""}));
    if (!server.ok()) {
      log_warning("commands on " + group.directory() + " will see it as it was: " + server.status().text());
      return;
    }
    servers_[group.directory()] = std::move(server).value();
  }

 private:
  void look_after(Group& group) TM_REQUIRES(mutex_) {
    if (keepers_.contains(group.directory())) return;
    auto shipper = [this, &group] { return site_.shipper(group.identity().name); };
    keepers_[group.directory()] = HistoryKeeper::start(group, look_after_pairs(group, shipper));
  }

  Site& site_;
  Mutex mutex_;
  std::map<std::string, std::unique_ptr<HistoryKeeper>> keepers_ TM_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<ControlServer>> servers_ TM_GUARDED_BY(mutex_);
};

// What a site cannot run without, by flag or file.
Result<std::string> needed(const Setting& setting, const std::string& flag) {
  TM_ASSIGN(std::string value, Settings::ours().value(setting, flag));
  if (!value.empty()) return value;
  return Status(Code::kInvalid, std::string(setting.flag) + " is needed, or `" + std::string(setting.key) + "` in [" +
                                    std::string(setting.table) + "] of " + Settings::ours().path() +
                                    "; `tidemark serve --help` shows what it takes");
}

Result<SiteOptions> options_for(const ServeFlags& flags) {
  SiteOptions options;
  TM_ASSIGN(const std::string directory, needed(kServeDir, flags.directory));
  options.directory = absolute_path(directory);
  TM_ASSIGN(options.listen, needed(kServeListen, flags.listen));
  TM_ASSIGN(options.key, Settings::ours().value(kServeKey, flags.key));
  TM_ASSIGN(options.allow, Settings::ours().value(kServeAllow, flags.allow));
  options.group.purpose = "site at " + options.listen;
  TM_TRY(history_for(flags.history, {}).status());  // what is wrong is known before the start
  options.adjust = [history = flags.history, directory = options.directory](const std::string& name, GroupOptions& group) {
    Result<History> own = history_for(history, {name, directory + "/" + name, ""});
    Status used = own.ok() ? use_history(group, *own) : own.status();
    if (!used.ok()) log_error(directory + "/" + name + ": " + used.text());  // above, all was well
  };
  return options;
}

Status serve(const ServeFlags& flags, Readiness& readiness) {
  TM_ASSIGN(const SiteOptions options, options_for(flags));
  TM_ASSIGN(auto site, Site::open(options));
  SiteControls controls(*site);
  site->on_group([&controls](Group& group) { controls.add(group); });
  for (const std::string& name : site->groups()) {
    if (Group* group = site->find(name); group != nullptr) controls.add(*group);
  }
  StopOnSignal stop([&site] { site->stop(); });
  if (flags.json) {
    print_json({{"endpoint", site->endpoint()}, {"directory", options.directory}});
  } else {
    print_line("listening on " + site->endpoint());
  }
  TM_TRY(flush_output());
  readiness.ready();
  return site->serve();
}

}  // namespace

void add_serve(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "Run a site: take copies of volumes and serve reading at any point");
  add_setting(*command, kServeDir, flags->directory);
  add_setting(*command, kServeListen, flags->listen);
  add_setting(*command, kServeKey, flags->key);
  add_setting(*command, kServeAllow, flags->allow);
  add_history_options(*command, flags->history);
  command->add_flag("--json", flags->json, "Print the endpoint as JSON");
  command->footer("Stays in the foreground until SIGTERM or SIGINT; its first line on stdout is the endpoint.");
  command->callback([&invocation, flags] {
    invocation.run = [flags] { return run_service(true, [&](Readiness& readiness) { return serve(*flags, readiness); }); };
  });
}

}  // namespace tidemark::cli
