// `tidemark verify`: reading every byte.
#pragma once

#include "cli/check/findings.h"

namespace tidemark::cli {

// Reads and checks everything. What damage keeps from being opened is read as far as that goes.
Result<Findings> examine(const Source& source, const RemoteKeys& keys, bool log_only);

}  // namespace tidemark::cli
