// Going back: write the tree that is visible at a point. The plan is data; executors carry it out.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "volume/group/group.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

struct PlanEntry {
  std::string path;  // relative to the target, "" for the root; bytes as they are
  Attr attr;
  std::string symlink_target;
  std::vector<std::pair<std::string, std::string>> xattrs;
  std::string link_to;  // path of the first name, where this is a further hard link; else ""
};

struct RestorePlan {
  Seq point;
  std::vector<PlanEntry> entries;  // parents before children
  uint64_t files = 0, directories = 0, symlinks = 0, others = 0, hard_links = 0;
  uint64_t bytes = 0;       // sizes of all files
  uint64_t data_bytes = 0;  // of it what is not a hole: what will be written
};

struct RestoreProgress {
  uint64_t entries_done = 0, entries_total = 0;
  uint64_t bytes_done = 0, bytes_total = 0;
};

struct RestoreOptions {
  std::string target;
  std::vector<std::string> include;  // paths in the volume; each with everything below it, and the directories above it
  bool salvage = false;              // leave damaged files out and name them, instead of failing
  bool force = false;                // write into a target that is not empty (what is in the way of an entry is replaced)
  unsigned jobs = 0;                 // threads; 0: as many as cores, at most 16
  std::function<void(const RestoreProgress&)> progress;  // from one thread, at most ten times a second
  const std::atomic<bool>* interrupted = nullptr;        // set to true: stop soon with kInterrupted
  GroupOptions volume;                                   // how a new volume is opened while it is filled
};

struct RestoreReport {
  RestorePlan plan;
  double seconds = 0;
  std::vector<std::string> damaged;   // with `salvage`: files that were left out, and what of them is damaged
  std::vector<std::string> warnings;  // what could not be kept on this target (an owner as a plain user, an xattr …)
};

// What would be written. kNotFound names an --include that is not there at this point.
Result<RestorePlan> plan_restore(TreeView& view, const std::vector<std::string>& include);
// Writes to a directory: content, types, modes, owners, times (ns), xattrs, ACLs, hard links, holes. Names from the log never
// leave the target, even if somebody changes it meanwhile. Every block was verified when it was read. kNotEmpty without force.
Result<RestoreReport> restore_to_directory(TreeView& view, const RestoreOptions& options);
// Makes the target a new group named `name` with one volume holding the tree, and a mark "restored". Durable on return; until then,
// and after a crash, nobody can open it as a volume.
Result<RestoreReport> restore_to_volume(TreeView& view, const RestoreOptions& options, const std::string& name);

// Copies an existing directory into a live volume (for init --from): the same attributes, the other way round. Does not cross
// into other file systems; sockets are left out with a warning.
Result<RestoreReport> import_directory(const std::string& from, Group& into, const RestoreOptions& options);

}  // namespace tidemark
