// How much history a serving process keeps: the flags that `mount` and `serve` share.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "volume/group.h"

namespace tidemark::cli {

struct HistoryFlags {
  std::string retention;        // an age; "" keeps everything
  std::string retention_bytes;  // a size; likewise
  std::string max_log;          // a size; "" is no limit
  std::string on_full = "suspend-pair";
  std::vector<std::string> pool;  // DIR or DIR:SIZE
  [[nodiscard]] bool given() const {
    return !retention.empty() || !retention_bytes.empty() || !max_log.empty() || !pool.empty();
  }
};
void add_history_options(CLI::App& command, HistoryFlags& flags);

struct History {
  RetentionPolicy retention;
  LogLimit limit;
  std::vector<PoolDirectory> pool;
};
Result<History> parse_history(const HistoryFlags& flags);  // kInvalid, kNotFound (a pool directory)
Status use_history(GroupOptions& options, const History& history);

}  // namespace tidemark::cli
