// What about a volume's status somebody has to act on, and the one word for it. The rule is here and nowhere else; docs/STATUS.md tells it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/output/json.h"

namespace tidemark::cli {

// Of a volume, in one word, from good to bad.
enum class Standing {
  kLocal,      // it serves, and no copy is configured: nothing to act on
  kProtected,  // it serves, and every copy is up to date
  kUnknown,    // this user may not see it
  kAtRisk,     // it serves, but a copy is missing, behind or damaged, or the room for one runs out
  kDown,       // it does not serve its purpose now: it does not answer, refuses writes, or cannot be opened
};
[[nodiscard]] std::string standing_name(Standing standing);  // "LOCAL", "PROTECTED", "UNKNOWN", "AT RISK", "DOWN"

// The worst first.
enum class AlertKind {
  kLogFailed,    // nothing is taken any more
  kDown,         // any other way of not serving
  kLogFull,      // at the log limit
  kRpoExceeded,  // a pair exposes more than it may, or has not been duplex for longer than it may
  kLogAlert,     // 80 % of the log limit
  kAtRisk,       // a copy is missing, behind or damaged
  kUnknown,      // it may not be looked at
};

struct Alert {
  AlertKind kind{};
  std::string text;   // "shop: …", all in one
  std::string what;   // "…"
  std::string since;  // a time, or ""
  std::string to_do;  // or ""
  Standing standing{};
  int exit = 1;
  bool within_rpo = false;  // of a copy that may be so for a while, as --rpo says: the word stays, the exit code is not its
};

// Of one volume as status_json() shows it. `rpo`: how much may be exposed; nullopt: nobody asked.
[[nodiscard]] std::vector<Alert> alerts_of(const Json& volume, std::optional<std::chrono::milliseconds> rpo);

// Of all volumes, the worst first; within one kind as they come.
[[nodiscard]] std::vector<Alert> alerts_of_all(const Json& volumes, std::optional<std::chrono::milliseconds> rpo);

// Of alerts with the worst first: the exit code of the first that is not within the RPO.
[[nodiscard]] int alerts_exit_code(const std::vector<Alert>& alerts);

// Adds the word and its reasons ("standing", "reasons") to a volume as status_json() shows it.
void add_standing(Json& volume, std::optional<std::chrono::milliseconds> rpo);

}  // namespace tidemark::cli
