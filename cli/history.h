// How much history a serving process keeps: the flags that `mount` and `serve` share.
#pragma once

#include <string>

#include "cli/command.h"
#include "cli/config_file.h"
#include "volume/group.h"

namespace tidemark::cli {

struct HistoryFlags {  // "" where the command line says nothing
  std::string retention;
  std::string retention_bytes;
  std::string max_log;
  std::string on_full;
  [[nodiscard]] bool given() const {
    return !retention.empty() || !retention_bytes.empty() || !max_log.empty() || !on_full.empty();
  }
};
void add_history_options(CLI::App& command, HistoryFlags& flags);

struct History {
  RetentionPolicy retention;
  LogLimit limit;
};
// What the flags say, and the configuration file for this group. kInvalid.
Result<History> history_for(const HistoryFlags& flags, const ConfigFor& group);

}  // namespace tidemark::cli
