// What restore and import show.
#pragma once

#include <string>

#include "cli/output/json.h"
#include "cli/output/output.h"
#include "restore/restore.h"

namespace tidemark::cli {

void show_progress(ProgressLine& line, const RestoreProgress& progress);
[[nodiscard]] std::string plan_text(const RestorePlan& plan);        // "12 files, 3 directories, 1.2 MiB of data"
[[nodiscard]] std::string report_text(const RestoreReport& report);  // that, with time and rate
[[nodiscard]] Json report_json(const RestoreReport& report);
void print_warnings(const RestoreReport& report);  // on stderr, the first few dozen
void print_plan(const RestorePlan& plan);          // one line an entry, on stdout

// A group's name made from a directory's: what is not [A-Za-z0-9._-] becomes '-', at most 63 bytes, never empty.
[[nodiscard]] std::string group_name_for(const std::string& directory);

}  // namespace tidemark::cli
