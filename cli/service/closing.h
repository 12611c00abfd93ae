// A volume between umount(8), which returns at once, and the end of the process that had it mounted.
#pragma once

#include <string>

#include "base/status.h"

namespace tidemark::cli {

// Then the mountpoint: how the lock file names a process that mounts.
inline constexpr char kMountPurpose[] = "mounted at ";

// `umount DIR; mount DIR` works on a local filesystem and shall here, and so shall whatever reads the volume then: waits, 30 s at
// most, for a mount that was taken away and still closes its log. Any other holder of the volume is left for Group::open to name.
// A mount in another mount namespace is there for its holder, and so for this; one in another PID namespace looks as if it were gone: who
// can ask the holder's control socket does that first.
Status wait_until_closed(const std::string& directory);

}  // namespace tidemark::cli
