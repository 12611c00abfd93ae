// The life of a process that mounts: open, serve, ship, close.
#pragma once

#include <string>
#include <vector>

#include "cli/reader.h"
#include "cli/service/background.h"
#include "cli/settings/history_flags.h"
#include "cli/source.h"

namespace tidemark::cli {

struct MountJob {
  Source source;
  std::string mountpoint;            // absolute
  std::vector<std::string> options;  // as MountOptions::options
  RemoteKeys keys;                   // absolute paths
  bool salvage = false;              // show a damaged volume as far as it goes, read-only
  History history;                   // of a volume mounted writable
};

// Returns once unmounted and closed. A primary group without a point is mounted writable, with its pairs and its control
// socket; everything else read-only at a point that does not move.
Status run_mount(const MountJob& job, Readiness& readiness);

}  // namespace tidemark::cli
