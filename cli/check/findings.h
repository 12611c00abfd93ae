// What `tidemark verify` finds: gathering it, repairing it, and how it is shown.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/output/json.h"
#include "cli/reader.h"
#include "log/log.h"
#include "log/repair/mend.h"
#include "log/repair/verify.h"
#include "volume/check/directory_check.h"
#include "volume/check/repair.h"
#include "volume/check/tree_check.h"

namespace tidemark::cli {

struct ShownAt {
  ShownDamage where;
  std::vector<std::string> marks;  // that lie in where.from … where.until
};

struct Findings {
  std::vector<Finding> files;  // damage outside the log's records
  LogVerdict log;
  TreeVerdict tree;
  bool tree_checked = false;
  std::string not_opened;            // why the index or the remote group could not be read, where damage is the reason
  std::map<Ino, std::string> paths;  // of inodes in log.damage, as far as they have one
  std::vector<ShownAt> shown;        // files that show damaged records, at any point
  Repairs repairs;                   // with --repair
  [[nodiscard]] bool damaged() const {
    return !files.empty() || !log.damage.empty() || !tree.damage.empty() || !not_opened.empty();
  }
};

// Reads and checks everything. What damage keeps from being opened is read as far as that goes.
Result<Findings> examine(const Source& source, const RemoteKeys& keys, bool log_only);

// Puts damaged records back from another copy (`from`: tcp://HOST:PORT/GROUP; "": the sites of the volume's pairs), works
// out a damaged group.json from the log, and gives up a damaged index, which the next open builds anew. What it did goes into
// `done`. kBusy where only a volume that is not mounted can be repaired.
Status repair(const Source& source, const std::string& from, const RemoteKeys& keys, Repairs& done);

[[nodiscard]] Json findings_json(const Findings& findings);
void print_findings(const Findings& findings);

}  // namespace tidemark::cli
