#include "cli/history.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/duration.h"
#include "cli/pool.h"
#include "cli/size.h"

namespace tidemark::cli {
namespace {

constexpr uint64_t kMaxLogMin = uint64_t{128} << 20;  // two segments

}  // namespace

void add_history_options(CLI::App& command, HistoryFlags& flags) {
  command.add_option("--retention", flags.retention, "Prune by itself what is older than this: 12h, 7d")->option_text("AGE");
  command.add_option("--retention-bytes", flags.retention_bytes, "Prune by itself so that the log stays about this small")
      ->option_text("SIZE");
  command.add_option("--max-log", flags.max_log, "The log's limit; an alert is given at 80 %")->option_text("SIZE");
  command
      .add_option("--pool", flags.pool, "Where new segments go when the log's own directory has no room; may be repeated")
      ->option_text("DIR[:SIZE]")
      ->allow_extra_args(false);
  command.add_option("--on-full", flags.on_full, "At the limit: suspend-pair or block-writes")->option_text("WHAT");
}

Result<History> parse_history(const HistoryFlags& flags) {
  History history;
  if (!flags.retention.empty()) {
    TM_ASSIGN(const auto age, parse_duration(flags.retention));
    history.retention.age = std::chrono::duration_cast<std::chrono::seconds>(age);
    if (history.retention.age.count() == 0) return Status(Code::kInvalid, "--retention is at least 1s");
  }
  if (!flags.retention_bytes.empty()) {
    TM_ASSIGN(history.retention.log_bytes, parse_size(flags.retention_bytes));
  }
  if (!flags.max_log.empty()) {
    TM_ASSIGN(history.limit.max_bytes, parse_size(flags.max_log));
    // The segment that is written to stays whatever is pruned: a smaller limit would never be met again.
    if (history.limit.max_bytes < kMaxLogMin) return Status(Code::kInvalid, "--max-log is at least 128MiB");
  }
  if (flags.on_full == "block-writes") {
    history.limit.on_full = OnFull::kBlockWrites;
  } else if (flags.on_full != "suspend-pair") {
    return Status(Code::kInvalid, "--on-full is suspend-pair or block-writes, not '" + flags.on_full + "'");
  }
  TM_ASSIGN(history.pool, parse_pool(flags.pool));
  return history;
}

Status use_history(GroupOptions& options, const History& history) {
  options.retention = history.retention;
  options.log_limit = history.limit;
  return use_pool(options, history.pool);
}

}  // namespace tidemark::cli
