// The plan: a walk of a view that trusts nothing it is told. What is in a plan is checked: names are names, types are types,
// parents come before children, times and sizes are possible. The view may be a remote site's.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "restore/restore.h"
#include "restore/warnings.h"

namespace tidemark {

inline constexpr unsigned kPlanJobs = 8;                // threads by default: a remote view has a round trip for each call
inline constexpr size_t kPlanEntriesMax = 200'000'000;  // of a tree; above it kLimit
inline constexpr size_t kPlanPage = 256;                // names asked for at once

struct PlanOptions {
  std::vector<std::string> include;
  unsigned jobs = 0;  // 0: kPlanJobs
  const std::atomic<bool>* interrupted = nullptr;
  Warnings* vanished = nullptr;  // set: an entry that goes while we look (kStale) is left out with a warning, not a failure
};

Result<RestorePlan> make_plan(TreeView& view, const PlanOptions& options);

// Virtual attributes the mount answers by itself; they are no part of the tree.
inline constexpr std::string_view kOwnXattrPrefix = "user.tidemark.";

// "seq:41", or "latest".
std::string point_text(Seq point);

// Whether `left` stands before `right` in a plan: parents before children, every tree in one piece, names bytewise.
bool before_in_tree(std::string_view left, std::string_view right);

}  // namespace tidemark
