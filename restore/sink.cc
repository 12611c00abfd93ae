#include "restore/sink.h"

#include <sys/stat.h>

namespace tidemark {
namespace {

Result<std::vector<size_t>> parents_of(const std::vector<PlanEntry>& entries) {
  std::vector<size_t> parents(entries.size(), 0);
  std::vector<size_t> open;  // the directories around the entry we are at, from the root on
  for (size_t i = 0; i < entries.size(); ++i) {
    const PlanEntry& entry = entries[i];
    bool directory = S_ISDIR(entry.attr.mode);
    if (i == 0) {
      if (!entry.path.empty() || !directory) return Status(Code::kCorrupt, "the root of the tree is not a directory");
      open.push_back(0);
      continue;
    }
    while (!open.empty() && entries[open.back()].path != parent_path(entry.path)) open.pop_back();
    if (open.empty()) return Status(Code::kCorrupt, show_path(entry.path) + " is not in a directory of this tree");
    parents[i] = open.back();
    if (directory) open.push_back(i);
  }
  return parents;
}

}  // namespace

Result<Tree> tree_of(const RestorePlan& plan) {
  TM_ASSIGN(std::vector<size_t> parents, parents_of(plan.entries));
  Tree tree{plan, std::move(parents), {}};
  std::unordered_map<std::string_view, size_t> linked;  // paths that entries are links to
  for (const PlanEntry& entry : plan.entries) {
    if (!entry.link_to.empty()) linked.emplace(entry.link_to, plan.entries.size());
  }
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const PlanEntry& entry = plan.entries[i];
    if (auto found = linked.find(entry.path); found != linked.end() && entry.link_to.empty()) found->second = i;
    if (entry.link_to.empty()) continue;
    size_t original = linked.at(entry.link_to);  // stands before its links
    if (original == plan.entries.size()) return Status(Code::kCorrupt, show_path(entry.path) + " is a link to nothing");
    tree.originals.emplace(i, original);
  }
  return tree;
}

}  // namespace tidemark
