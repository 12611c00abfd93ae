// The pool of a log: directories that new segments may go to.
#pragma once

#include <string>
#include <vector>

#include "cli/output/json.h"
#include "volume/group/group.h"

namespace tidemark::cli {

// Each "DIR" or "DIR:SIZE". kInvalid; kNotFound: no such directory.
Result<std::vector<PoolDirectory>> parse_pool(const std::vector<std::string>& given);

// Whether it could stand in a file: its form alone, and absolute. kInvalid.
Status check_pool_text(const std::string& given);

// The log's limit, where it has one, is then what the pool holds more; the pool is taken into use once the log's own directory holds
// the limit there was, or its disk is short of space.
Status use_pool(GroupOptions& options, const std::vector<PoolDirectory>& pool);

[[nodiscard]] Json pool_json(const std::vector<PoolUse>& pool);
void print_pool(const Json& status);

}  // namespace tidemark::cli
