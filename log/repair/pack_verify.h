// Checking a log's floor and packs from outside.
#pragma once

#include <functional>
#include <string>

#include "log/format/pack.h"
#include "log/repair/verify.h"

namespace tidemark {

// The part of verify_log that is about the floor and its packs, which are held against their digests. Adds to the verdict, and returns
// the floor as far as it can be read. A record of a pack is named by the byte where it lies there.
Result<Floor> verify_packs(FileSystem& files, const std::string& directory, LogVerdict& verdict,
                           const std::function<void(const LogDamage&)>& report,
                           const std::function<void(uint64_t bytes)>& advance);

}  // namespace tidemark
