#include "cli/settings/settings.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "cli/commands/command_line.h"
#include "cli/settings/duration.h"
#include "cli/settings/pool.h"
#include "cli/settings/size.h"
#include "fs/options.h"
#include "replicator/wire/endpoint.h"

namespace tidemark::cli {
namespace {

constexpr uint64_t kMaxLogMin = uint64_t{128} << 20;  // two segments: the one that is written to stays whatever is pruned

Status one_of(const std::string& value, std::initializer_list<std::string_view> words) {
  if (std::find(words.begin(), words.end(), value) != words.end()) return {};
  std::string all;
  for (std::string_view word : words) all += (all.empty() ? "" : " or ") + std::string(word);
  return {Code::kInvalid, "invalid value '" + value + "' (use " + all + ")"};
}

Status check_path(const std::string& value) {
  return value.empty() ? Status(Code::kInvalid, "the path is empty") : Status();
}

Status check_age(const std::string& value) {
  if (value == kNone) return {};
  TM_ASSIGN(const auto age, parse_duration(value));
  return age < std::chrono::seconds(1) ? Status(Code::kInvalid, "an age must be at least 1s, or 'none'") : Status();
}

Status check_rhythm(const std::string& value) {
  TM_ASSIGN(const auto every, parse_rhythm(value));
  const bool fits = every.count() == 0 || every >= std::chrono::seconds(1);
  return fits ? Status() : Status(Code::kInvalid, "the value must be at least 1s, or 'off'");
}

Status check_hold(const std::string& value) {
  TM_ASSIGN(const auto hold, parse_duration(value));
  return hold < std::chrono::seconds(1) ? Status(Code::kInvalid, "the value must be at least 1s") : Status();
}

Status check_size(const std::string& value) { return parse_limit(value).status(); }

Status check_max_log(const std::string& value) {
  if (value == kNone) return {};
  TM_ASSIGN(const uint64_t bytes, parse_size(value));
  return bytes < kMaxLogMin ? Status(Code::kInvalid, "the value must be at least 128MiB, or 'none'") : Status();
}

Status check_mount_option(const std::string& value) { return fs::parse_options({value}, false, true).status(); }

Status check_listen(const std::string& value) { return parse_endpoint(value, true).status(); }

}  // namespace

const Setting kServeDir{"serve", "dir",      "--dir",         "DIR", "Directory of the copies; created if it does not exist",
                        "",      check_path, ValueForm::kPath};
const Setting kServeListen{
    "serve", "listen", "--listen", "ENDPOINT", "tcp://HOST:PORT (PORT * for any free one) or ipc://PATH", "", check_listen};
const Setting kServeKey{
    "serve", "key",      "--key",         "FILE", "This site's key pair; required except on loopback and ipc",
    "",      check_path, ValueForm::kPath};
const Setting kServeAllow{
    "serve", "allow",    "--allow",       "FILE", "Allow-list; a line is a public key, its rights, groups=NAME,… and a name",
    "",      check_path, ValueForm::kPath};
const Setting kServeGroupBytes{
    "serve", "max_group_bytes", "--max-group-bytes", "SIZE",          "Limit for the disk space of one group's copy",
    kNone,   check_size,        ValueForm::kSize,    Override::kGroup};
const Setting kServeKeyBytes{
    "serve", "max_key_bytes", "--max-key-bytes", "SIZE", "Limit for the disk space of all copies that belong to one key",
    kNone,   check_size,      ValueForm::kSize};
const Setting kServeReaderHold{"serve",
                               "reader_hold",
                               "--reader-hold",
                               "AGE",
                               "How long readers with one key may hold back pruning; then they must pause as long",
                               "1h",
                               check_hold};

const Setting kRetention{"history",
                         "retention",
                         "--retention",
                         "AGE",
                         "Automatically prune history older than this: 12h, 7d; none: keep everything",
                         kNone,
                         check_age,
                         ValueForm::kText,
                         Override::kGroup};
const Setting kRetentionBytes{"history",
                              "retention_bytes",
                              "--retention-bytes",
                              "SIZE",
                              "Automatically prune to keep the log at about this size",
                              kNone,
                              check_size,
                              ValueForm::kSize,
                              Override::kGroup};
const Setting kMaxLog{
    "history", "max_log",     "--max-log",      "SIZE",          "Limit for the size of the log; an alert is raised at 80 %",
    kNone,     check_max_log, ValueForm::kSize, Override::kGroup};
const Setting kOnFull{"history",
                      "on_full",
                      "--on-full",
                      "WHAT",
                      "What to do at the limit: suspend-pair or block-writes",
                      "suspend-pair",
                      [](const std::string& value) {
                        return one_of(value, {"suspend-pair", "block-writes"});
                      },
                      ValueForm::kText,
                      Override::kGroup};

const Setting kPool{"history",
                    "pool",
                    "--pool",
                    "DIR[:SIZE]",
                    "Directory for new segments when the log's own directory is full; may be repeated",
                    "",
                    check_pool_text,
                    ValueForm::kList,
                    Override::kGroup};

const Setting kScrub{"history",
                     "scrub",
                     "--scrub",
                     "AGE",
                     "How often to check the whole log and repair it from another copy; off: never",
                     "30d",
                     check_rhythm,
                     ValueForm::kText,
                     Override::kGroup};

const Setting kMountOptions{"mount",
                            "options",
                            "-o",
                            "OPT,…",
                            "Mount options: sync, ro, noexec, nosuid, nodev, allow_other, salvage …",
                            "",
                            check_mount_option,
                            ValueForm::kList,
                            Override::kGroup};

const Setting kPairMode{"pair",
                        "mode",
                        "--mode",
                        "async|sync",
                        "sync: data acknowledged as durable is durable at the site too",
                        "async",
                        [](const std::string& value) {
                          return one_of(value, {"async", "sync"});
                        },
                        ValueForm::kText,
                        Override::kGroup};
const Setting kPairFence{"pair",
                         "fence",
                         "--fence",
                         "never|data",
                         "When a sync pair's site is lost: never = continue without it, data = refuse writes",
                         "never",
                         [](const std::string& value) {
                           return one_of(value, {"never", "data"});
                         },
                         ValueForm::kText,
                         Override::kGroup};
const Setting kPairBandwidth{
    "pair", "bandwidth", "--bandwidth",    "SIZE",          "Limit for the data sent per second (10MiB); none: no limit",
    kNone,  check_size,  ValueForm::kSize, Override::kGroup};

const Setting kOwnKey{"keys",
                      "own",
                      "--key",
                      "FILE",
                      "Our key pair (`tidemark keygen`); required for a site on another machine",
                      "",
                      check_path,
                      ValueForm::kPath,
                      Override::kSite};
const Setting kServerKey{"keys", "server",   "--server-key",   "FILE",         "The site's public key; required likewise",
                         "",     check_path, ValueForm::kPath, Override::kSite};

Result<uint64_t> parse_limit(const std::string& value) { return value == kNone ? Result<uint64_t>(0) : parse_size(value); }

Result<std::chrono::milliseconds> parse_rhythm(const std::string& value) {
  if (value == "off" || value == kNone) return std::chrono::milliseconds(0);
  return parse_duration(value);
}

std::span<const Setting* const> all_settings() {
  static constexpr std::array kAll{&kServeDir,        &kServeListen,   &kServeKey,        &kServeAllow,
                                   &kServeGroupBytes, &kServeKeyBytes, &kServeReaderHold, &kRetention,
                                   &kRetentionBytes,  &kMaxLog,        &kOnFull,          &kPool,
                                   &kScrub,           &kMountOptions,  &kPairMode,        &kPairFence,
                                   &kPairBandwidth,   &kOwnKey,        &kServerKey};
  return kAll;
}

namespace {
template <class Given>
Option* declare(Command& command, const Setting& setting, Given& given) {
  std::string about(setting.about);
  if (!setting.fallback.empty()) about += "; default: " + std::string(setting.fallback);
  return command.add_option(std::string(setting.flag), given, about)->option_text(std::string(setting.placeholder));
}
}  // namespace

Option* add_setting(Command& command, const Setting& setting, std::string& given) {
  return declare(command, setting, given);
}

Option* add_setting(Command& command, const Setting& setting, std::vector<std::string>& given) {
  return declare(command, setting, given)->one_value_each();
}

}  // namespace tidemark::cli
