#include "volume/check/tree_check.h"

#include <sys/stat.h>

#include <algorithm>
#include <unordered_set>

namespace tidemark {
namespace {

constexpr size_t kEntriesPerCall = 1000;
constexpr size_t kRangesPerCall = 1000;
constexpr size_t kReadBytes = 1 << 20;

struct Place {
  std::string path;
  Ino ino;
};

using Visit = std::function<Status(const Place&, const DirEntry&)>;

// Every name below `directory`, in no particular order of directories. Damage in one directory goes to `damaged`.
Status walk(TreeView& view, const Visit& visit, const std::function<Status(const Place&, const Status&)>& damaged) {
  std::vector<Place> pending = {{"", view.root()}};
  while (!pending.empty()) {
    Place directory = std::move(pending.back());
    pending.pop_back();
    std::string after;
    while (true) {
      Result<std::vector<DirEntry>> entries = view.list(directory.ino, after, kEntriesPerCall);
      if (!entries.ok()) {
        TM_TRY(damaged(directory, entries.status()));
        break;
      }
      for (const DirEntry& entry : *entries) {
        Place place{directory.path.empty() ? entry.name : directory.path + "/" + entry.name, entry.ino};
        TM_TRY(visit(place, entry));
        if (S_ISDIR(entry.mode)) pending.push_back(std::move(place));
      }
      if (entries->size() < kEntriesPerCall) break;
      after = entries->back().name;
    }
  }
  return Status();
}

class TreeChecker {
 public:
  TreeChecker(TreeView& view, const std::atomic<bool>* interrupted, const std::function<void(const TreeVerdict&)>& progress)
      : view_(view), interrupted_(interrupted), progress_(progress), buffer_(kReadBytes) {}

  Result<TreeVerdict> run() {
    TM_TRY(walk(
        view_, [this](const Place& place, const DirEntry& entry) { return check_entry(place, entry.mode); },
        [this](const Place& place, const Status& status) { return note(place, 0, status); }));
    return std::move(verdict_);
  }

 private:
  // Damage is noted and left behind; anything else ends the check.
  Status note(const Place& place, uint64_t at, const Status& status) {
    if (status.code() != Code::kCorrupt && status.code() != Code::kStale) return status;
    if (verdict_.damage.size() < kTreeDamageMax) verdict_.damage.push_back({place.path, place.ino, at, status.text()});
    return Status();
  }

  Status check_entry(const Place& place, uint32_t mode) {
    if (interrupted_ != nullptr && interrupted_->load()) return Status(Code::kInterrupted, "interrupted");
    ++verdict_.entries;
    Result<Attr> attr = view_.get_attr(place.ino);
    if (!attr.ok()) return note(place, 0, attr.status());
    if (S_ISLNK(mode)) {
      Result<std::string> target = view_.read_link(place.ino);
      if (!target.ok()) TM_TRY(note(place, 0, target.status()));
    }
    TM_TRY(check_xattrs(place));
    bool first_name = attr->nlink < 2 || seen_.insert(place.ino).second;
    return S_ISREG(mode) && first_name ? check_content(place, attr->size) : Status();
  }

  Status check_xattrs(const Place& place) {
    Result<std::vector<std::string>> names = view_.list_xattr(place.ino);
    if (!names.ok()) return note(place, 0, names.status());
    for (const std::string& name : *names) {
      Result<std::string> value = view_.get_xattr(place.ino, name);
      if (!value.ok()) TM_TRY(note(place, 0, value.status()));
    }
    return Status();
  }

  Status check_content(const Place& place, uint64_t size) {
    for (uint64_t from = 0; from < size;) {
      Result<std::vector<DataRange>> ranges = view_.data_ranges(place.ino, from, size, kRangesPerCall);
      if (!ranges.ok()) return note(place, from, ranges.status());
      for (const DataRange& range : *ranges) TM_TRY(check_range(place, range));
      if (ranges->size() < kRangesPerCall) break;
      from = ranges->back().at + ranges->back().size;
    }
    return Status();
  }

  Status check_range(const Place& place, const DataRange& range) {
    for (uint64_t at = range.at; at < range.at + range.size;) {
      size_t want = static_cast<size_t>(std::min<uint64_t>(kReadBytes, range.at + range.size - at));
      Result<size_t> got = view_.read(place.ino, at, MutableBytes(buffer_.data(), want));
      if (!got.ok()) TM_TRY(note(place, at, got.status()));
      if (got.ok()) verdict_.bytes += *got;
      at += want;
      if (progress_) progress_(verdict_);
      if (interrupted_ != nullptr && interrupted_->load()) return Status(Code::kInterrupted, "interrupted");
    }
    return Status();
  }

  TreeView& view_;
  const std::atomic<bool>* interrupted_;
  const std::function<void(const TreeVerdict&)>& progress_;
  std::vector<std::byte> buffer_;
  std::unordered_set<Ino> seen_;
  TreeVerdict verdict_;
};

}  // namespace

Result<TreeVerdict> check_tree(TreeView& view, const std::atomic<bool>* interrupted,
                               const std::function<void(const TreeVerdict&)>& progress) {
  return TreeChecker(view, interrupted, progress).run();
}

Result<std::vector<std::pair<Ino, std::string>>> find_paths(TreeView& view, std::vector<Ino> inodes) {
  std::unordered_set<Ino> wanted(inodes.begin(), inodes.end());
  std::vector<std::pair<Ino, std::string>> found;
  TM_TRY(walk(
      view,
      [&](const Place& place, const DirEntry&) {
        if (wanted.erase(place.ino) != 0) found.emplace_back(place.ino, place.path);
        return Status();
      },
      [](const Place&, const Status&) { return Status(); }));
  return found;
}

}  // namespace tidemark
