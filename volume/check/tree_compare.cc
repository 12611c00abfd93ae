#include "volume/check/tree_compare.h"

#include <sys/stat.h>

#include <algorithm>
#include <future>
#include <optional>
#include <unordered_set>

namespace tidemark {
namespace {

constexpr size_t kEntriesPerCall = 1000;
constexpr size_t kRangesPerCall = 1000;
constexpr size_t kBlocksPerCall = 4096;

// What somebody hands out in pages, one after the other.
template <class Item>
class Pages {
 public:
  // The next page, after `last` (null: the first); an empty one is the end.
  using Fetch = std::function<Result<std::vector<Item>>(const Item* last)>;
  explicit Pages(Fetch fetch) : fetch_(std::move(fetch)) {}

  // The item to look at; null: there are no more.
  Result<Item*> peek() {
    if (at_ == page_.size() && !ended_) {
      TM_ASSIGN(std::vector<Item> next, fetch_(page_.empty() ? nullptr : &page_.back()));
      ended_ = next.empty();
      page_ = std::move(next);
      at_ = 0;
    }
    return ended_ ? nullptr : &page_[at_];
  }
  void next() { ++at_; }

 private:
  const Fetch fetch_;
  std::vector<Item> page_;
  size_t at_ = 0;
  bool ended_ = false;
};

Pages<DirEntry> entries_of(TreeView& view, Ino directory) {
  return Pages<DirEntry>([&view, directory](const DirEntry* last) {
    return view.list(directory, last == nullptr ? std::string() : last->name, kEntriesPerCall);
  });
}

Pages<DataRange> ranges_of(TreeView& view, Ino file, uint64_t size) {
  return Pages<DataRange>([&view, file, size](const DataRange* last) -> Result<std::vector<DataRange>> {
    const uint64_t from = last == nullptr ? 0 : last->at + last->size;
    if (from >= size) return std::vector<DataRange>();
    return view.data_ranges(file, from, size, kRangesPerCall);
  });
}

// What differs of two that should be the same. Inode numbers and seqs are history, not content.
std::string attribute_difference(const Attr& a, const Attr& b) {
  std::string names;
  const auto look = [&names](bool same, const char* name) {
    if (!same) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  look(a.mode == b.mode, "mode");
  look(a.uid == b.uid, "uid");
  look(a.gid == b.gid, "gid");
  look(a.nlink == b.nlink, "nlink");
  look(a.device == b.device, "device");
  look(a.size == b.size, "size");
  look(a.atime == b.atime, "atime");
  look(a.mtime == b.mtime, "mtime");
  look(a.ctime == b.ctime, "ctime");
  look(a.btime == b.btime, "btime");
  return names;
}

struct Twins {
  std::string path;
  Ino ours;
  Ino theirs;
};

class Comparer {
 public:
  Comparer(TreeView& ours, TreeView& theirs, const std::atomic<bool>* interrupted,
           const std::function<void(const TreeComparison&)>& progress)
      : ours_(ours), theirs_(theirs), interrupted_(interrupted), progress_(progress) {}

  Result<TreeComparison> run() {
    pending_.push_back({"", ours_.root(), theirs_.root()});
    TM_TRY(compare_inode(pending_.back()));
    while (!pending_.empty()) {
      const Twins directory = std::move(pending_.back());
      pending_.pop_back();
      TM_TRY(compare_names(directory));
    }
    return std::move(made_);
  }

 private:
  void note(const Twins& twins, std::string what, uint64_t at = 0, uint64_t bytes = 0) {
    if (!made_.differences.empty()) {  // blocks in a row are one difference
      TreeDifference& last = made_.differences.back();
      if (bytes != 0 && last.path == twins.path && last.what == what && last.bytes != 0 && last.at + last.bytes == at) {
        last.bytes += bytes;
        return;
      }
    }
    if (made_.differences.size() >= kTreeDifferencesMax) {
      ++made_.left_out;
    } else {
      made_.differences.push_back({twins.path, twins.ours == Ino{} ? twins.theirs : twins.ours, at, bytes, std::move(what)});
    }
  }

  // Damage at either end is a difference; anything else ends the comparison. True: it was neither.
  Result<bool> readable(const Twins& twins, const Status& here, const Status& there, uint64_t at = 0, uint64_t bytes = 0) {
    for (const auto& [status, where] : {std::pair(&here, "here"), std::pair(&there, "there")}) {
      if (status->ok()) continue;
      if (status->code() != Code::kCorrupt && status->code() != Code::kStale) return *status;
      note(twins, std::string("cannot be read ") + where + ": " + status->text(), at, bytes);
    }
    return here.ok() && there.ok();
  }

  Status keep_going() {
    if (progress_) progress_(made_);
    if (interrupted_ != nullptr && interrupted_->load()) return Status(Code::kInterrupted, "interrupted");
    return Status();
  }

  Status compare_names(const Twins& directory) {
    Pages<DirEntry> ours = entries_of(ours_, directory.ours);
    Pages<DirEntry> theirs = entries_of(theirs_, directory.theirs);
    for (;;) {
      const Result<DirEntry*> a = ours.peek();
      const Result<DirEntry*> b = theirs.peek();
      TM_ASSIGN(const bool fine, readable(directory, a.status(), b.status()));
      if (!fine || (*a == nullptr && *b == nullptr)) return Status();
      const bool here = *a != nullptr && (*b == nullptr || (*a)->name <= (*b)->name);
      const bool there = *b != nullptr && (*a == nullptr || (*b)->name <= (*a)->name);
      const std::string& name = here ? (*a)->name : (*b)->name;
      const Twins twins{directory.path.empty() ? name : directory.path + "/" + name, here ? (*a)->ino : Ino{},
                        there ? (*b)->ino : Ino{}};
      ++made_.entries;
      TM_TRY(keep_going());
      if (here && there) {
        TM_TRY(compare_inode(twins));
        if (S_ISDIR((*a)->mode) && S_ISDIR((*b)->mode)) pending_.push_back(twins);
      } else {
        note(twins, here ? "only here" : "only there");
      }
      if (here) ours.next();
      if (there) theirs.next();
    }
  }

  Status compare_inode(const Twins& twins) {
    const Result<Attr> a = ours_.get_attr(twins.ours);
    const Result<Attr> b = theirs_.get_attr(twins.theirs);
    TM_ASSIGN(const bool fine, readable(twins, a.status(), b.status()));
    if (!fine) return Status();
    if (std::string what = attribute_difference(*a, *b); !what.empty()) note(twins, what);
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT)) return Status();
    if (a->nlink > 1 && !S_ISDIR(a->mode) && !seen_.insert(twins.ours).second) return Status();
    TM_TRY(compare_xattrs(twins));
    if (S_ISLNK(a->mode)) TM_TRY(compare_targets(twins));
    return S_ISREG(a->mode) ? compare_content(twins, std::max(a->size, b->size)) : Status();
  }

  Status compare_targets(const Twins& twins) {
    const auto a = ours_.read_link(twins.ours);
    const auto b = theirs_.read_link(twins.theirs);
    TM_ASSIGN(const bool fine, readable(twins, a.status(), b.status()));
    if (fine && *a != *b) note(twins, "target");
    return Status();
  }

  Status compare_xattrs(const Twins& twins) {
    const auto a = ours_.list_xattr(twins.ours);
    const auto b = theirs_.list_xattr(twins.theirs);
    TM_ASSIGN(const bool fine, readable(twins, a.status(), b.status()));
    if (!fine) return Status();
    if (*a != *b) note(twins, "names of extended attributes");
    for (const std::string& name : *a) {
      if (!std::binary_search(b->begin(), b->end(), name)) continue;
      const auto x = ours_.get_xattr(twins.ours, name);
      const auto y = theirs_.get_xattr(twins.theirs, name);
      TM_ASSIGN(const bool both, readable(twins, x.status(), y.status()));
      if (both && *x != *y) note(twins, "extended attribute " + name);
    }
    return Status();
  }

  // Whatever holds data at either end.
  Status compare_content(const Twins& twins, uint64_t size) {
    Pages<DataRange> ours = ranges_of(ours_, twins.ours, size);
    Pages<DataRange> theirs = ranges_of(theirs_, twins.theirs, size);
    uint64_t done = 0;
    for (;;) {
      uint64_t from = size;
      uint64_t to = size;
      for (Pages<DataRange>* ranges : {&ours, &theirs}) {
        Result<DataRange*> range = ranges->peek();
        while (range.ok() && *range != nullptr && (*range)->at + (*range)->size <= done) {
          ranges->next();
          range = ranges->peek();
        }
        TM_ASSIGN(const bool fine,
                  readable(twins, ranges == &ours ? range.status() : Status(), ranges == &ours ? Status() : range.status()));
        if (!fine) return Status();
        if (*range == nullptr || std::max(done, (*range)->at) >= from) continue;
        from = std::max(done, (*range)->at);
        to = (*range)->at + (*range)->size;
      }
      if (from >= size) return Status();
      TM_TRY(compare_blocks(twins, from / kBlockSize, (to + kBlockSize - 1) / kBlockSize));
      done = to;
    }
  }

  Status compare_blocks(const Twins& twins, uint64_t first, uint64_t end) {
    while (first < end) {
      const auto count = static_cast<size_t>(std::min<uint64_t>(kBlocksPerCall, end - first));
      TM_ASSIGN(const bool fine, compare_sums(twins, first, count, count == 1));
      for (uint64_t block = first; !fine && count > 1 && block < first + count; ++block) {
        TM_TRY(compare_sums(twins, block, 1, true).status());  // which of them is it?
      }
      first += count;
      made_.bytes += count * kBlockSize;
      TM_TRY(keep_going());
    }
    return Status();
  }

  // False: some cannot be read; noted if `alone`.
  Result<bool> compare_sums(const Twins& twins, uint64_t first, size_t count, bool alone) {
    const uint64_t at = first * kBlockSize;
    auto asked = std::async(std::launch::async, [&] { return theirs_.block_sums(twins.theirs, at, count); });
    const Result<std::vector<uint64_t>> a = ours_.block_sums(twins.ours, at, count);
    const Result<std::vector<uint64_t>> b = asked.get();
    const bool damaged = a.status().code() == Code::kCorrupt || b.status().code() == Code::kCorrupt;
    if (damaged && !alone) return false;
    TM_ASSIGN(const bool fine, readable(twins, a.status(), b.status(), at, kBlockSize));
    if (!fine) return false;
    for (size_t i = 0; i < std::max(a->size(), b->size()); ++i) {
      const bool same = i < a->size() && i < b->size() && (*a)[i] == (*b)[i];
      if (!same) note(twins, "content", at + i * kBlockSize, kBlockSize);
    }
    return true;
  }

  TreeView& ours_;
  TreeView& theirs_;
  const std::atomic<bool>* interrupted_;
  const std::function<void(const TreeComparison&)>& progress_;
  std::vector<Twins> pending_;
  std::unordered_set<Ino> seen_;
  TreeComparison made_;
};

}  // namespace

Result<TreeComparison> compare_trees(TreeView& ours, TreeView& theirs, const std::atomic<bool>* interrupted,
                                     const std::function<void(const TreeComparison&)>& progress) {
  return Comparer(ours, theirs, interrupted, progress).run();
}

}  // namespace tidemark
