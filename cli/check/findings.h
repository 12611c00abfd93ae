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

[[nodiscard]] Json findings_json(const Findings& findings);
void print_findings(const Findings& findings);

}  // namespace tidemark::cli
