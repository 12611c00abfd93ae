// Checking a log's directory from outside.
#pragma once

#include <functional>
#include <string>

#include "base/file.h"
#include "log/log_types.h"

namespace tidemark {

// Reads and checks every byte of a log directory, going on after damage where it can. Neither needs nor takes the log's lock:
// the newest records of a log in use may be missed, so give `last` (kLatest: to the end).
struct LogVerdict {
  uint64_t records = 0;
  uint64_t bytes = 0;
  Position end;                   // of the last good record in unbroken order
  std::vector<LogDamage> damage;  // at most 10,000
};
Result<LogVerdict> verify_log(FileSystem& files, const std::string& directory, Seq last,
                              const std::function<void(uint64_t bytes_done, uint64_t bytes_total)>& progress);

}  // namespace tidemark
