// tidemark serve --dir DIR --listen ENDPOINT [--key FILE --allow FILE]
#include <map>
#include <memory>
#include <set>

#include "base/logging.h"
#include "base/mutex.h"
#include "cli/commands/command.h"
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "cli/service/background.h"
#include "cli/service/control.h"
#include "cli/service/group_control.h"
#include "cli/service/signals.h"
#include "cli/settings/config_file.h"
#include "cli/settings/duration.h"
#include "cli/settings/history_flags.h"
#include "cli/settings/settings.h"
#include "cli/source.h"
#include "replicator/site/site.h"
#include "replicator/source/pair_history.h"
#include "volume/check/scrub.h"
#include "volume/history/history_keeper.h"

namespace tidemark::cli {
namespace {

struct ServeFlags {
  std::string directory;
  std::string listen;
  std::string key;
  std::string allow;
  std::string group_bytes;
  std::string key_bytes;
  std::string reader_hold;
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
    if (scrubbed_.insert(group.directory()).second) scrubber_->add(group);
    if (servers_.contains(group.directory())) return;
    Shipper* shipper = site_.shipper(group.identity().name);
    auto server = ControlServer::start(group.directory(), control_handler({&group, nullptr, &site_, shipper, ""}));
    if (!server.ok()) {
      log_warning("commands on " + group.directory() + " will see an old state: " + server.status().text());
      return;
    }
    servers_[group.directory()] = std::move(server).value();
  }

 private:
  void look_after(Group& group) TM_REQUIRES(mutex_) {
    if (keepers_.contains(group.directory())) return;
    if (group.retention().keeps_everything() && group.log_limit().max_bytes == 0)
      return;  // it would be a thread for nothing
    auto shipper = [this, &group] { return site_.shipper(group.identity().name); };
    keepers_[group.directory()] = std::make_unique<HistoryKeeper>(group, history_options_with_pairs(group, shipper));
  }

  Site& site_;
  const std::unique_ptr<Scrubber> scrubber_ = Scrubber::start();
  Mutex mutex_;
  std::set<std::string> scrubbed_ TM_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<HistoryKeeper>> keepers_ TM_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<ControlServer>> servers_ TM_GUARDED_BY(mutex_);
};

// What a site cannot run without, by flag or file.
Result<std::string> needed(const Setting& setting, const std::string& flag) {
  TM_ASSIGN(std::string value, Settings::ours().value(setting, flag));
  if (!value.empty()) return value;
  return Status(Code::kInvalid, std::string(setting.flag) + " is required, or `" + std::string(setting.key) + "` in [" +
                                    std::string(setting.table) + "] of " + Settings::ours().path() +
                                    "; `tidemark serve --help` shows the usage");
}

// What the site's peers may cost it.
Status limits_for(const ServeFlags& flags, SiteOptions& options) {
  TM_ASSIGN(const std::string key_bytes, Settings::ours().value(kServeKeyBytes, flags.key_bytes));
  TM_ASSIGN(options.key_bytes_max, parse_limit(key_bytes));
  TM_ASSIGN(const std::string hold, Settings::ours().value(kServeReaderHold, flags.reader_hold));
  TM_ASSIGN(const auto held, parse_duration(hold));
  options.reader_hold = std::chrono::duration_cast<std::chrono::seconds>(held);
  TM_TRY(Settings::ours().value(kServeGroupBytes, flags.group_bytes).status());  // what is wrong is known before the start
  options.group_bytes_max = [flag = flags.group_bytes, directory = options.directory](const std::string& name) -> uint64_t {
    const auto value = Settings::ours().value(kServeGroupBytes, flag, {name, directory + "/" + name, ""});
    const auto bytes = value.ok() ? parse_limit(*value) : Result<uint64_t>(value.status());
    if (!bytes.ok()) log_error("group " + name + ": " + bytes.status().text());  // as above, all was well
    return bytes.ok() ? *bytes : 0;
  };
  return Status();
}

Result<SiteOptions> options_for(const ServeFlags& flags) {
  SiteOptions options;
  TM_ASSIGN(const std::string directory, needed(kServeDir, flags.directory));
  options.directory = absolute_path(directory);
  TM_ASSIGN(options.listen, needed(kServeListen, flags.listen));
  TM_ASSIGN(options.key, Settings::ours().value(kServeKey, flags.key));
  TM_ASSIGN(options.allow, Settings::ours().value(kServeAllow, flags.allow));
  TM_TRY(limits_for(flags, options));
  options.group.purpose = "site at " + options.listen;
  TM_ASSIGN(const History history, history_for(flags.history, {}));  // what is wrong is known before the start
  TM_TRY(use_history(options.group, history));
  options.adjust = [history = flags.history, directory = options.directory](const std::string& name, GroupOptions& group) {
    Result<History> own = history_for(history, {name, directory + "/" + name, ""});
    Status used = own.ok() ? use_history(group, *own) : own.status();
    if (!used.ok()) log_error("group " + name + ": " + used.text());  // as above, all was well
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
  StopOnSignal stop([&site] { site->stop(); }, [&site] { site->read_allow_list(); });
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

void add_serve(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<ServeFlags>();
  Command* command = app.add_subcommand("serve", "Run a site: keep copies of volumes and serve reads at any point");
  add_setting(*command, kServeDir, flags->directory);
  add_setting(*command, kServeListen, flags->listen);
  add_setting(*command, kServeKey, flags->key);
  add_setting(*command, kServeAllow, flags->allow);
  add_setting(*command, kServeGroupBytes, flags->group_bytes);
  add_setting(*command, kServeKeyBytes, flags->key_bytes);
  add_setting(*command, kServeReaderHold, flags->reader_hold);
  add_history_options(*command, flags->history);
  command->add_flag("--json", flags->json, "Print the endpoint as JSON");
  command->footer(
      "Stays in the foreground until SIGTERM or SIGINT; its first line on stdout is the endpoint.\n"
      "The allow-list is read again when it changes, and at SIGHUP.");
  command->callback([&invocation, flags] {
    invocation.run = [flags] { return run_service(true, [&](Readiness& readiness) { return serve(*flags, readiness); }); };
  });
}

}  // namespace tidemark::cli
