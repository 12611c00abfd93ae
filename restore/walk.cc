#include "restore/walk.h"

#include <sys/stat.h>

#include <unordered_set>

#include "restore/workers.h"

namespace tidemark {
namespace {

constexpr uint32_t kNanosecondsMax = 999'999'999;  // larger values mean "now" and "leave it" to utimensat()
constexpr uint32_t kNoOwner = UINT32_MAX;          // means "leave it" to chown()

bool possible_time(const FileTime& time) { return time.nanoseconds <= kNanosecondsMax; }

bool possible_type(uint32_t mode) {
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) ||
         S_ISSOCK(mode);
}

Status check_attr(const Attr& attr) {
  if (!possible_type(attr.mode)) return Status(Code::kCorrupt, "unknown file type: mode " + std::to_string(attr.mode));
  if (attr.size > kFileSizeMax) return Status(Code::kCorrupt, "a size of " + std::to_string(attr.size) + " bytes");
  if (!possible_time(attr.atime) || !possible_time(attr.mtime)) return Status(Code::kCorrupt, "an invalid time");
  if (attr.uid == kNoOwner || attr.gid == kNoOwner) return Status(Code::kCorrupt, "an invalid owner");
  return Status();
}

Status check_xattr(std::string_view name, std::string_view value) {
  if (name.empty() || name.size() > kNameMax || name.find('\0') != std::string_view::npos) {
    return Status(Code::kCorrupt, "an invalid name of an extended attribute");
  }
  if (value.size() > kXattrValueMax) return Status(Code::kCorrupt, "an extended attribute that is too large");
  return Status();
}

Status check_symlink(std::string_view target) {
  if (target.empty() || target.size() > kSymlinkMax || target.find('\0') != std::string_view::npos) {
    return Status(Code::kCorrupt, "an invalid symbolic link");
  }
  return Status();
}

class Walk {
 public:
  Walk(TreeView& view, const PlanOptions& options)
      : view_(view), vanished_(options.vanished), outcome_(options.interrupted) {}

  Result<std::vector<WalkedEntry>> run(const std::vector<WalkStart>& starts, unsigned jobs);

 private:
  // Either a directory to list (no names), or some of its names to look at.
  struct Task {
    Ino directory;
    std::string path;
    std::vector<DirEntry> names;
  };

  void work();
  bool take(Task& task);
  void done();
  void push(Task task);
  Status carry_out(Task& task);
  Status list(const Task& task);
  Status look_at(Ino ino, std::string path);
  Status keep(std::string path, const Attr& attr, bool below);
  Status add_details(WalkedEntry& found);
  Status add_xattrs(WalkedEntry& found);
  Status add_data_bytes(WalkedEntry& found);
  // True the first time it is asked about an inode.
  bool claim(Ino ino);

  TreeView& view_;
  Warnings* vanished_;
  Outcome outcome_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<Task> tasks_ TM_GUARDED_BY(mutex_);
  size_t open_ TM_GUARDED_BY(mutex_) = 0;  // tasks not finished yet, queued ones included
  std::unordered_set<Ino> claimed_ TM_GUARDED_BY(mutex_);
  std::vector<WalkedEntry> found_ TM_GUARDED_BY(mutex_);
};

Result<std::vector<WalkedEntry>> Walk::run(const std::vector<WalkStart>& starts, unsigned jobs) {
  for (const WalkStart& start : starts) TM_TRY(keep(start.path, start.attr, start.below).within(show_path(start.path)));
  run_workers(
      jobs, [this] { work(); },
      [this] {
        if (!outcome_.stopped()) return;
        MutexLock lock(mutex_);
        changed_.notify_all();
      });
  TM_TRY(outcome_.status());
  MutexLock lock(mutex_);
  return std::move(found_);
}

void Walk::work() {
  Task task;
  while (take(task)) {
    if (Status failed = carry_out(task); !failed.ok()) outcome_.fail(std::move(failed));
    done();
  }
}

bool Walk::take(Task& task) {
  MutexLock lock(mutex_);
  while (tasks_.empty() && open_ != 0 && !outcome_.stopped()) changed_.wait(mutex_);
  if (tasks_.empty() || outcome_.stopped()) return false;
  task = std::move(tasks_.back());  // the newest: fewer tasks wait than with the oldest first
  tasks_.pop_back();
  return true;
}

void Walk::done() {
  MutexLock lock(mutex_);
  if (--open_ == 0 || outcome_.stopped()) changed_.notify_all();
}

void Walk::push(Task task) {
  MutexLock lock(mutex_);
  ++open_;
  tasks_.push_back(std::move(task));
  changed_.notify_one();
}

Status Walk::carry_out(Task& task) {
  if (task.names.empty()) return list(task);
  for (const DirEntry& entry : task.names) {
    if (outcome_.stopped()) return Status();
    TM_TRY(check_entry_name(entry.name).within(show_path(task.path)));
    std::string path = task.path.empty() ? entry.name : task.path + "/" + entry.name;
    if (path.size() > kTreePathMax) return Status(Code::kLimit, show_path(path) + ": the path is too long");
    Status looked = look_at(entry.ino, path);
    if (looked.ok()) continue;
    if (vanished_ == nullptr || looked.code() != Code::kStale) return looked.within(show_path(path));
    vanished_->add("left out because it disappeared while it was read", path);
  }
  return Status();
}

Status Walk::list(const Task& task) {
  std::string after;
  while (!outcome_.stopped()) {
    Result<std::vector<DirEntry>> page = view_.list(task.directory, after, kPlanPage);
    if (!page.ok() && vanished_ != nullptr && page.status().code() == Code::kStale) {
      vanished_->add("left out because it disappeared while it was read", task.path);
      return Status();
    }
    if (!page.ok()) return page.status().within(show_path(task.path));
    // Names in their order: a view that goes round in circles would otherwise keep us for ever.
    for (const DirEntry& entry : *page) {
      if (entry.name <= after) return Status(Code::kCorrupt, show_path(task.path) + ": names out of order");
      after = entry.name;
    }
    size_t got = page->size();
    Task names{task.directory, task.path, std::move(page).value()};
    if (got < kPlanPage) return got == 0 ? Status() : carry_out(names);
    push(std::move(names));
  }
  return Status();
}

Status Walk::look_at(Ino ino, std::string path) {
  TM_ASSIGN(Attr attr, view_.get_attr(ino));
  return keep(std::move(path), attr, true);
}

Status Walk::keep(std::string path, const Attr& attr, bool below) {
  TM_TRY(check_attr(attr));
  WalkedEntry found;
  found.entry.path = path;
  found.entry.attr = attr;
  bool directory = S_ISDIR(attr.mode);
  // A directory has one name: a second one would be a circle.
  bool first = (directory || attr.nlink > 1) ? claim(attr.ino) : true;
  if (directory && !first) return Status(Code::kCorrupt, "a directory with a second name");
  if (first) TM_TRY(add_details(found));
  {
    MutexLock lock(mutex_);
    if (found_.size() >= kPlanEntriesMax) return Status(Code::kLimit, "too many entries in one tree");
    found_.push_back(std::move(found));
  }
  if (directory && below) push(Task{attr.ino, std::move(path), {}});
  return Status();
}

Status Walk::add_details(WalkedEntry& found) {
  uint32_t mode = found.entry.attr.mode;
  if (S_ISLNK(mode)) {
    TM_ASSIGN(found.entry.symlink_target, view_.read_link(found.entry.attr.ino));
    TM_TRY(check_symlink(found.entry.symlink_target));
  }
  if (S_ISREG(mode)) TM_TRY(add_data_bytes(found));
  found.detailed = true;
  return found.entry.attr.xattr_count == 0 ? Status() : add_xattrs(found);
}

Status Walk::add_xattrs(WalkedEntry& found) {
  Ino ino = found.entry.attr.ino;
  TM_ASSIGN(std::vector<std::string> names, view_.list_xattr(ino));
  for (std::string& name : names) {
    if (std::string_view(name).starts_with(kOwnXattrPrefix)) continue;
    Result<std::string> value = view_.get_xattr(ino, name);
    if (!value.ok() && value.status().code() == Code::kNoData) continue;  // a live tree: removed meanwhile
    if (!value.ok()) return value.status().within("extended attribute " + name);
    TM_TRY(check_xattr(name, *value));
    found.entry.xattrs.emplace_back(std::move(name), std::move(value).value());
  }
  return Status();
}

Status Walk::add_data_bytes(WalkedEntry& found) {
  const Attr& attr = found.entry.attr;
  // Nothing but data, or nothing but holes, needs no map: for most files one round trip less.
  uint64_t blocks = (attr.size + kBlockSize - 1) / kBlockSize;
  if (attr.blocks == 0 || attr.blocks >= blocks) {
    found.data_bytes = attr.blocks == 0 ? 0 : attr.size;
    return Status();
  }
  uint64_t at = 0;
  while (at < attr.size && !outcome_.stopped()) {
    TM_ASSIGN(std::vector<DataRange> ranges, checked_ranges(view_, attr, at));
    for (const DataRange& range : ranges) found.data_bytes += range.size;
    if (ranges.empty()) return Status();
    at = ranges.back().at + ranges.back().size;
  }
  return Status();
}

bool Walk::claim(Ino ino) {
  MutexLock lock(mutex_);
  return claimed_.insert(ino).second;
}

}  // namespace

Result<std::vector<WalkedEntry>> walk_tree(TreeView& view, const std::vector<WalkStart>& starts,
                                           const PlanOptions& options) {
  Walk walk(view, options);
  return walk.run(starts, options.jobs == 0 ? kPlanJobs : effective_jobs(options.jobs));
}

Result<std::vector<DataRange>> checked_ranges(TreeView& view, const Attr& attr, uint64_t from) {
  TM_ASSIGN(std::vector<DataRange> ranges, view.data_ranges(attr.ino, from, attr.size, kRangePage));
  uint64_t at = from;
  for (const DataRange& range : ranges) {
    bool possible = range.at >= at && range.at <= attr.size && range.size != 0 && range.size <= attr.size - range.at;
    if (!possible) return Status(Code::kCorrupt, "an invalid map of the file's data");
    at = range.at + range.size;
  }
  return ranges;
}

}  // namespace tidemark
