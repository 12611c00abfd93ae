// Opening a group: recovering its log, and bringing the index up to it.
#pragma once

#include <memory>
#include <string>

#include "volume/group/group.h"
#include "volume/tree/tree_reader.h"

namespace tidemark {

struct Opened {
  std::shared_ptr<GroupCore> core;
  RecoveryReport recovery;
};

// For its owner, who holds `lock`. Recovers the log, then brings the index up to it; rebuilds an index that is missing, damaged or of
// another history.
Result<Opened> recover_group(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options,
                             std::unique_ptr<DirectoryLock> lock);
// For a reader: recovers what nobody holds (and lets go at once), then shows what is on disk.
Result<Opened> open_reader(const std::string& directory, const GroupIdentity& identity, const GroupOptions& options);
// What is left of a group that does not open. The index is brought as far as the log is unbroken behind it: what follows the
// damage cannot be told from it alone. Nothing but the index is written.
Result<Opened> salvage_group(const std::string& directory, const GroupOptions& options, const Status& damage);

}  // namespace tidemark
