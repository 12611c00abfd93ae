// Damage in a group's directory outside the log's records, which verify_log() reads.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace tidemark {

// Finding::file of a floor of which one copy is damaged.
inline constexpr std::string_view kFloorFile = "log/floor";

struct Finding {
  std::string file;  // in the group's directory: "group.json", "index/000012.sst"; "index" where no single file is to blame
  std::string what;
  bool index = false;  // nothing is lost: the index is rebuilt from the log
};

// Reads group.json, pairs.json, site.json, the log's floor and every byte of the index's tables as they are on disk: before the
// group is opened, which rebuilds an index that does not open, and writes anew a floor of which one copy is damaged. Takes no lock;
// of an index in use, what is flushed. Fails only where the directory cannot be read.
Result<std::vector<Finding>> check_directory(const std::string& directory);

}  // namespace tidemark
