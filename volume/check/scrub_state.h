// What is known of the scrubbing of a group: kept in DIR/scrub.json, so that a restart goes on where it was and `status` can tell.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "log/log.h"

namespace tidemark {

// A place that is damaged, and could not be put right so far.
struct ScrubDamage {
  std::string file;  // in DIR/log
  uint64_t at = 0;
  Seq seq;  // 0: not known
  bool operator==(const ScrubDamage&) const = default;
};
inline constexpr size_t kScrubDamageMax = 1'000;  // that are remembered by place

struct ScrubState {
  int64_t every_s = 0;   // how often, as the last holder was told; 0: never
  int64_t known_ns = 0;  // wall time, as all here: when it was looked at first
  int64_t began_ns = 0;  // the pass that goes on, or the last one; 0: none yet
  int64_t ended_ns = 0;  // the last whole pass; 0: none yet
  bool running = false;  // a pass goes on
  Seq to;                // it reads records up to here …
  bool packs = false;    // … segments first, then packs,
  Seq next;              // from the one that begins here on
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;  // as it began
  uint64_t found = 0;        // damaged places, ever
  uint64_t healed = 0;       // of them, put right from another copy
  std::vector<ScrubDamage> damaged;
  bool operator==(const ScrubState&) const = default;
};

// Zeros where there is none yet; kCorrupt.
Result<ScrubState> load_scrub_state(const std::string& directory, FileSystem& files = posix_file_system());
Status save_scrub_state(const std::string& directory, const ScrubState& state, FileSystem& files);

}  // namespace tidemark
