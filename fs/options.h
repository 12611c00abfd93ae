// Mount options: which we know, what they become for the kernel, what they change in the daemon.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "fs/mount.h"

namespace tidemark::fs {

enum class MarkRight { kAll, kGroup, kRoot };  // who makes marks beside root and whoever mounted

struct ParsedOptions {
  bool read_only = false;
  bool sync = false;  // every change is durable before it returns
  bool allow_other = false;
  MarkRight marks = MarkRight::kAll;
  uint32_t mark_group = 0;          // of kGroup
  bool history_closed = false;      // only root, and whoever mounted, reach /.tidemark/at
  std::vector<std::string> kernel;  // for fuse_session_new, without fsname and subtype
};

// What the options mean for this mount. `point`: a past tree (always ro,nosuid,nodev). `root`: mounted by root.
// kInvalid names an unknown or contradicting option; kPermission one that only root may use.
Result<ParsedOptions> parse_options(const std::vector<std::string>& options, bool point, bool root);

// `text` as the value of an option in fuse_session_new's arguments (',' and '\' escaped).
std::string escape_option(const std::string& text);

}  // namespace tidemark::fs
