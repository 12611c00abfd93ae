#include "cli/settings/history_flags.h"

#include "cli/settings/duration.h"
#include "cli/settings/pool.h"
#include "cli/settings/size.h"

namespace tidemark::cli {

void add_history_options(Command& command, HistoryFlags& flags) {
  add_setting(command, kRetention, flags.retention);
  add_setting(command, kRetentionBytes, flags.retention_bytes);
  add_setting(command, kMaxLog, flags.max_log);
  add_setting(command, kOnFull, flags.on_full);
  add_setting(command, kPool, flags.pool);
  add_setting(command, kScrub, flags.scrub);
}

Result<History> history_for(const HistoryFlags& flags, const ConfigFor& group) {
  Settings& settings = Settings::ours();
  History history;
  TM_ASSIGN(const std::string age, settings.value(kRetention, flags.retention, group));
  if (age != kNone) {
    TM_ASSIGN(const auto length, parse_duration(age));
    history.retention.age = std::chrono::duration_cast<std::chrono::seconds>(length);
  }
  TM_ASSIGN(const std::string bytes, settings.value(kRetentionBytes, flags.retention_bytes, group));
  TM_ASSIGN(history.retention.log_bytes, parse_limit(bytes));
  TM_ASSIGN(const std::string max_log, settings.value(kMaxLog, flags.max_log, group));
  TM_ASSIGN(history.limit.max_bytes, parse_limit(max_log));
  TM_ASSIGN(const std::string on_full, settings.value(kOnFull, flags.on_full, group));
  history.limit.on_full = on_full == "block-writes" ? OnFull::kBlockWrites : OnFull::kSuspendPair;
  TM_ASSIGN(const std::string scrub, settings.value(kScrub, flags.scrub, group));
  TM_ASSIGN(const auto every, parse_rhythm(scrub));
  history.scrub_every = std::chrono::duration_cast<std::chrono::seconds>(every);
  std::vector<std::string> pool = flags.pool;
  if (pool.empty()) {
    TM_ASSIGN(pool, settings.listed(kPool, group));
  }
  TM_ASSIGN(history.pool, parse_pool(pool));
  return history;
}

Status use_history(GroupOptions& options, const History& history) {
  options.retention = history.retention;
  options.log_limit = history.limit;
  options.scrub_every = history.scrub_every;
  return use_pool(options, history.pool);
}

}  // namespace tidemark::cli
