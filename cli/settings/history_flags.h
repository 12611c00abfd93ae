// How much history a serving process keeps: the flags that `mount` and `serve` share.
#pragma once

#include <string>
#include <vector>

#include "cli/commands/command.h"
#include "cli/settings/config_file.h"
#include "volume/group/group.h"

namespace tidemark::cli {

struct HistoryFlags {  // "" where the command line says nothing
  std::string retention;
  std::string retention_bytes;
  std::string max_log;
  std::string on_full;
  std::string scrub;
  std::vector<std::string> pool;  // DIR or DIR:SIZE
  [[nodiscard]] bool given() const {
    return !retention.empty() || !retention_bytes.empty() || !max_log.empty() || !on_full.empty() || !scrub.empty() ||
           !pool.empty();
  }
};
void add_history_options(Command& command, HistoryFlags& flags);

struct History {
  RetentionPolicy retention;
  LogLimit limit;
  std::chrono::seconds scrub_every{0};
  std::vector<PoolDirectory> pool;
};
// What the flags say, and the configuration file for this group. kInvalid, kNotFound (a pool directory).
Result<History> history_for(const HistoryFlags& flags, const ConfigFor& group);
Status use_history(GroupOptions& options, const History& history);

}  // namespace tidemark::cli
