#include "restore/plan.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "restore/walk.h"

namespace tidemark {
namespace {

// One --include: where it leads, and the directories on the way.
struct Included {
  std::string path;
  Attr attr;
  std::vector<std::pair<std::string, Attr>> above;  // from the root on
};

Result<std::vector<std::string>> split_include(const std::string& text) {
  std::vector<std::string> parts;
  size_t at = 0;
  while (at <= text.size()) {
    size_t slash = std::min(text.find('/', at), text.size());
    std::string part = text.substr(at, slash - at);
    at = slash + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") return Status(Code::kInvalid, "'" + text + "': '..' is not allowed in a path to include");
    parts.push_back(std::move(part));
  }
  return parts;
}

Result<Included> find_include(TreeView& view, const std::string& text) {
  TM_ASSIGN(std::vector<std::string> parts, split_include(text));
  Included found;
  TM_ASSIGN(found.attr, view.get_attr(view.root()));
  for (const std::string& part : parts) {
    Result<Attr> next = view.lookup(found.attr.ino, part);
    if (!next.ok()) {
      Code code = next.status().code();
      if (code != Code::kNotFound && code != Code::kNotDirectory) return next.status().within(show_path(text));
      std::string why = code == Code::kNotFound ? " has no entry " + part : " is not a directory";
      return Status(Code::kNotFound,
                    "'" + text + "' does not exist at " + point_text(view.point()) + ": " + show_path(found.path) + why);
    }
    found.above.emplace_back(found.path, found.attr);
    found.path += (found.path.empty() ? "" : "/") + part;
    found.attr = *next;
  }
  return found;
}

bool is_below(std::string_view path, std::string_view directory) {
  if (directory.empty()) return true;
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

// The includes that stand for themselves: in order, and none inside another.
Result<std::vector<Included>> find_includes(TreeView& view, const std::vector<std::string>& include) {
  std::vector<Included> all;
  for (const std::string& text : include) {
    TM_ASSIGN(Included found, find_include(view, text));
    all.push_back(std::move(found));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return before_in_tree(a.path, b.path); });
  std::vector<Included> kept;
  for (Included& one : all) {
    if (kept.empty() || !is_below(one.path, kept.back().path)) kept.push_back(std::move(one));
  }
  return kept;
}

// Of the names of one inode the first becomes the file, the others links to it. Only one of them carries the details, and it
// need not be the first: threads come in any order.
void recognise_links(std::vector<WalkedEntry>& entries) {
  std::unordered_map<Ino, size_t> first;
  for (size_t i = 0; i < entries.size(); ++i) {
    WalkedEntry& here = entries[i];
    if (S_ISDIR(here.entry.attr.mode) || here.entry.attr.nlink < 2) continue;
    auto [known, is_first] = first.emplace(here.entry.attr.ino, i);
    if (is_first) continue;
    WalkedEntry& original = entries[known->second];
    here.entry.link_to = original.entry.path;
    if (!here.detailed) continue;
    original.entry.xattrs = std::move(here.entry.xattrs);
    original.entry.symlink_target = std::move(here.entry.symlink_target);
    original.data_bytes = here.data_bytes;
    original.detailed = true;
    here.entry.xattrs.clear();
    here.entry.symlink_target.clear();
  }
}

void count(RestorePlan& plan, const WalkedEntry& walked) {
  uint32_t mode = walked.entry.attr.mode;
  if (!walked.entry.link_to.empty()) {
    ++plan.hard_links;
  } else if (S_ISDIR(mode)) {
    ++plan.directories;
  } else if (S_ISLNK(mode)) {
    ++plan.symlinks;
  } else if (S_ISREG(mode)) {
    ++plan.files;
    plan.bytes += walked.entry.attr.size;
    plan.data_bytes += walked.data_bytes;
  } else {
    ++plan.others;
  }
}

}  // namespace

std::string point_text(Seq point) { return point == kLatest ? "latest" : "seq:" + std::to_string(point.value()); }

bool before_in_tree(std::string_view left, std::string_view right) {
  // '/' sorts before every byte of a name, so that a directory's content stands right behind it.
  auto rank = [](char c) { return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c)); };
  return std::lexicographical_compare(left.begin(), left.end(), right.begin(), right.end(),
                                      [&rank](char a, char b) { return rank(a) < rank(b); });
}

Result<RestorePlan> make_plan(TreeView& view, const PlanOptions& options) {
  std::vector<std::string> include = options.include;
  if (include.empty()) include.emplace_back();
  TM_ASSIGN(std::vector<Included> included, find_includes(view, include));

  std::map<std::string, Attr> above;
  for (const Included& one : included) above.insert(one.above.begin(), one.above.end());
  std::vector<WalkStart> starts;
  for (const auto& [path, attr] : above) starts.push_back({path, attr, false});
  for (const Included& one : included) starts.push_back({one.path, one.attr, true});

  TM_ASSIGN(std::vector<WalkedEntry> walked, walk_tree(view, starts, options));
  std::sort(walked.begin(), walked.end(),
            [](const auto& a, const auto& b) { return before_in_tree(a.entry.path, b.entry.path); });
  recognise_links(walked);

  RestorePlan plan;
  plan.point = view.point();
  plan.entries.reserve(walked.size());
  for (WalkedEntry& one : walked) {
    count(plan, one);
    plan.entries.push_back(std::move(one.entry));
  }
  return plan;
}

Result<RestorePlan> plan_restore(TreeView& view, const std::vector<std::string>& include) {
  PlanOptions options;
  options.include = include;
  return make_plan(view, options);
}

}  // namespace tidemark
