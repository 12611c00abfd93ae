// What about a volume's status somebody should be told.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/json.h"

namespace tidemark::cli {

// The worst first.
enum class AlertKind {
  kLogFailed,    // nothing is taken any more
  kLogFull,      // at the log limit
  kRpoExceeded,  // a pair exposes more than it may, or has not been duplex for longer than it may
  kLogAlert,     // 80 % of the log limit
};

struct Alert {
  AlertKind kind{};
  std::string text;  // "shop: …"
};

// Of one volume as status_json() shows it. `rpo`: how much may be exposed; nullopt: nobody asked.
[[nodiscard]] std::vector<Alert> alerts_of(const Json& volume, std::optional<std::chrono::milliseconds> rpo);

// Of all volumes, the worst first; within one kind as they come.
[[nodiscard]] std::vector<Alert> alerts_of_all(const Json& volumes, std::optional<std::chrono::milliseconds> rpo);

// Of alerts with the worst first: TIDEMARK_EXIT_FAILURE for a failed log, TIDEMARK_EXIT_RPO_EXCEEDED for what the log limit or --rpo has
// to say.
[[nodiscard]] int alerts_exit_code(const std::vector<Alert>& alerts);

}  // namespace tidemark::cli
