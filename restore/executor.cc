#include "restore/executor.h"

#include <sys/stat.h>

#include <chrono>
#include <deque>
#include <unordered_map>

#include "base/buffer.h"
#include "restore/walk.h"
#include "restore/workers.h"

namespace tidemark {
namespace {

// One file whose content is on its way, and what of it nobody has taken yet. Several threads copy it: each joins, takes
// pieces until there are none, and leaves; the last to leave finishes it.
class OpenFile {
 public:
  OpenFile(TreeView& view, const PlanEntry& entry, std::unique_ptr<SinkFile> file)
      : view_(view), entry_(entry), file_(std::move(file)) {}

  // False when there is nothing left to take.
  bool join();
  // The next piece to copy, at most kReadBytes; false when there is none left.
  Result<bool> take(DataRange& piece);
  // True for the one that has to finish the file. `copied`: all that was taken was copied; else the file is given up.
  bool leave(bool copied);

  [[nodiscard]] const PlanEntry& entry() const { return entry_; }
  [[nodiscard]] SinkFile& file() { return *file_; }

 private:
  struct Page {
    std::vector<DataRange> ranges;
    bool last = false;
  };
  Result<Page> ask(uint64_t from);
  bool cut_piece(DataRange& piece) TM_REQUIRES(mutex_);
  [[nodiscard]] bool exhausted() const TM_REQUIRES(mutex_) { return ranges_.empty() && map_ended_; }

  TreeView& view_;
  const PlanEntry& entry_;
  std::unique_ptr<SinkFile> file_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<DataRange> ranges_ TM_GUARDED_BY(mutex_);
  uint64_t asked_to_ TM_GUARDED_BY(mutex_) = 0;  // up to here the map of data was asked for
  bool asking_ TM_GUARDED_BY(mutex_) = false;    // somebody is at it; ranges_ is empty meanwhile
  bool map_ended_ TM_GUARDED_BY(mutex_) = false;
  bool given_up_ TM_GUARDED_BY(mutex_) = false;
  unsigned copiers_ TM_GUARDED_BY(mutex_) = 0;
};

bool OpenFile::join() {
  MutexLock lock(mutex_);
  if (given_up_ || exhausted()) return false;
  ++copiers_;
  return true;
}

Result<OpenFile::Page> OpenFile::ask(uint64_t from) {
  const Attr& attr = entry_.attr;
  // A file without holes that fits one read needs no map: a round trip less for most files of a remote view.
  if (attr.size == 0) return Page{{}, true};
  if (attr.size <= kReadBytes && attr.blocks * kBlockSize >= attr.size) return Page{{{0, attr.size}}, true};
  TM_ASSIGN(std::vector<DataRange> ranges, checked_ranges(view_, attr, from));
  bool last = ranges.empty() || ranges.back().at + ranges.back().size >= attr.size;
  return Page{std::move(ranges), last};
}

Result<bool> OpenFile::take(DataRange& piece) {
  while (true) {
    uint64_t from = 0;
    {
      MutexLock lock(mutex_);
      while (asking_) changed_.wait(mutex_);
      if (cut_piece(piece)) return true;
      if (map_ended_ || given_up_) return false;
      asking_ = true;
      from = asked_to_;
    }
    Result<Page> page = ask(from);  // without the lock: the view may be far away
    MutexLock lock(mutex_);
    asking_ = false;
    changed_.notify_all();
    if (!page.ok()) {
      given_up_ = true;
      return page.status();
    }
    map_ended_ = page->last;
    if (!page->ranges.empty()) asked_to_ = page->ranges.back().at + page->ranges.back().size;
    ranges_.assign(page->ranges.begin(), page->ranges.end());
  }
}

bool OpenFile::cut_piece(DataRange& piece) {
  if (ranges_.empty()) return false;
  DataRange& front = ranges_.front();
  piece = {front.at, std::min<uint64_t>(front.size, kReadBytes)};
  front.at += piece.size;
  front.size -= piece.size;
  if (front.size == 0) ranges_.pop_front();
  return true;
}

bool OpenFile::leave(bool copied) {
  MutexLock lock(mutex_);
  if (!copied) given_up_ = true;
  return --copiers_ == 0 && exhausted() && !given_up_;
}

class Execution {
 public:
  Execution(TreeView& view, const Tree& tree, Sink& sink, Warnings& warnings, const ExecuteOptions& options)
      : view_(view), tree_(tree), sink_(sink), warnings_(warnings), options_(options), outcome_(options.interrupted) {}

  Status run();

 private:
  Status make_directories();
  Status make_files();
  Status make_links();
  Status finish_directories();
  void report();

  void work();
  Status make_entry(size_t index, Buffer& buffer);
  Status make_file(size_t index, Buffer& buffer);
  Status copy(OpenFile& file, Buffer& buffer);
  Status copy_pieces(OpenFile& file, Buffer& buffer);
  Status copy_piece(OpenFile& file, const DataRange& piece, Buffer& buffer);

  // A large file another thread is at, joined; or the next entry; or neither when everything is done or on its way.
  struct Job {
    std::shared_ptr<OpenFile> file;
    size_t index = SIZE_MAX;
  };
  bool next_job(Job& job);
  void share(std::shared_ptr<OpenFile> file);
  void entry_made();

  TreeView& view_;
  const Tree& tree_;
  Sink& sink_;
  Warnings& warnings_;
  const ExecuteOptions& options_;
  Outcome outcome_;
  std::atomic<uint64_t> entries_done_{0};
  std::atomic<uint64_t> bytes_done_{0};
  std::chrono::steady_clock::time_point reported_{};  // the calling thread's

  Mutex mutex_;
  CondVar changed_;
  size_t next_ TM_GUARDED_BY(mutex_) = 0;      // the entry nobody has taken yet
  unsigned making_ TM_GUARDED_BY(mutex_) = 0;  // threads at an entry, which may turn out to be a large file
  std::deque<std::shared_ptr<OpenFile>> shared_ TM_GUARDED_BY(mutex_);  // large files that may have pieces left
};

Status Execution::run() {
  TM_TRY(make_directories());
  TM_TRY(make_files());
  TM_TRY(make_links());
  TM_TRY(finish_directories());
  reported_ = {};
  report();
  return Status();
}

// At most ten times a second.
void Execution::report() {
  if (!options_.progress) return;
  auto now = std::chrono::steady_clock::now();
  if (now - reported_ < std::chrono::milliseconds(100)) return;
  reported_ = now;
  options_.progress({entries_done_.load(), tree_.plan.entries.size(), bytes_done_.load(), tree_.plan.data_bytes});
}

Status Execution::make_directories() {
  for (size_t i = 0; i < tree_.plan.entries.size(); ++i) {
    if (!S_ISDIR(tree_.entry(i).attr.mode)) continue;
    if (outcome_.stopped()) return outcome_.status();
    TM_TRY(sink_.make_directory(i).within(show_path(tree_.entry(i).path)));
    report();
  }
  return Status();
}

Status Execution::make_files() {
  run_workers(
      effective_jobs(options_.jobs), [this] { work(); },
      [this] {
        if (outcome_.stopped()) {  // an interruption is noticed here, although all threads may be waiting
          MutexLock lock(mutex_);
          changed_.notify_all();
        }
        report();
      });
  MutexLock lock(mutex_);
  shared_.clear();
  return outcome_.status();
}

Status Execution::make_links() {
  std::unordered_map<size_t, size_t> copies;  // of an original: the copy that further links go to
  Buffer buffer(tree_.originals.empty() ? 0 : kReadBytes);
  for (size_t i = 0; i < tree_.plan.entries.size(); ++i) {
    auto original = tree_.originals.find(i);
    if (original == tree_.originals.end()) continue;
    if (outcome_.stopped()) return outcome_.status();
    auto copied = copies.find(original->second);
    Status linked = sink_.make_link(i, copied == copies.end() ? original->second : copied->second);
    if (linked.code() == Code::kTooManyLinks) {
      warnings_.add("kept as a copy because the target cannot have another hard link", tree_.entry(i).path);
      copies[original->second] = i;
      linked = S_ISREG(tree_.entry(i).attr.mode) ? make_file(i, buffer) : sink_.make_other(i);
    }
    if (linked.code() == Code::kNotFound) {
      warnings_.add("left out like the file it is a hard link to", tree_.entry(i).path);
      linked = Status();
    }
    TM_TRY(linked.within(show_path(tree_.entry(i).path)));
    ++entries_done_;
    report();
  }
  return Status();
}

Status Execution::finish_directories() {
  for (size_t i = tree_.plan.entries.size(); i-- > 0;) {
    if (!S_ISDIR(tree_.entry(i).attr.mode)) continue;
    if (outcome_.stopped()) return outcome_.status();
    TM_TRY(sink_.finish_directory(i).within(show_path(tree_.entry(i).path)));
    ++entries_done_;
    report();
  }
  return Status();
}

void Execution::work() {
  Buffer buffer(kReadBytes);
  Job job;
  while (next_job(job)) {
    Status done;
    if (job.file) {
      done = copy(*job.file, buffer).within(show_path(job.file->entry().path));
      job.file.reset();
    } else {
      done = make_entry(job.index, buffer).within(show_path(tree_.entry(job.index).path));
      entry_made();
    }
    if (!done.ok()) outcome_.fail(std::move(done));
  }
}

bool Execution::next_job(Job& job) {
  MutexLock lock(mutex_);
  while (!outcome_.stopped()) {
    while (!shared_.empty()) {
      if (shared_.front()->join()) {
        job.file = shared_.front();
        return true;
      }
      shared_.pop_front();
    }
    if (next_ < tree_.plan.entries.size()) {
      job.index = next_++;
      ++making_;
      return true;
    }
    if (making_ == 0) return false;
    changed_.wait(mutex_);  // one of those at an entry may have a large file to share
  }
  return false;
}

void Execution::share(std::shared_ptr<OpenFile> file) {
  MutexLock lock(mutex_);
  shared_.push_back(std::move(file));
  changed_.notify_all();
}

void Execution::entry_made() {
  MutexLock lock(mutex_);
  if (--making_ == 0) changed_.notify_all();
}

Status Execution::make_entry(size_t index, Buffer& buffer) {
  const PlanEntry& entry = tree_.entry(index);
  if (S_ISDIR(entry.attr.mode) || !entry.link_to.empty()) return Status();
  TM_TRY(S_ISREG(entry.attr.mode) ? make_file(index, buffer) : sink_.make_other(index));
  ++entries_done_;
  return Status();
}

Status Execution::make_file(size_t index, Buffer& buffer) {
  const PlanEntry& entry = tree_.entry(index);
  TM_ASSIGN(std::unique_ptr<SinkFile> made, sink_.make_file(index));
  auto file = std::make_shared<OpenFile>(view_, entry, std::move(made));
  CHECK_INVARIANT(file->join());
  if (entry.attr.size > kSharedFileBytes) share(file);
  return copy(*file, buffer);
}

// By one who has joined.
Status Execution::copy(OpenFile& file, Buffer& buffer) {
  Status copied = copy_pieces(file, buffer);
  bool complete = copied.ok() && !outcome_.stopped();
  if (file.leave(complete)) return file.file().finish();
  if (copied.code() == Code::kCorrupt && options_.salvage) {
    warnings_.add_damage(file.entry().path, copied.text());
    return Status();
  }
  if (copied.code() != Code::kStale || !options_.vanishing) return copied;
  warnings_.add("left out because it disappeared before it was copied", file.entry().path);
  return Status();
}

Status Execution::copy_pieces(OpenFile& file, Buffer& buffer) {
  DataRange piece;
  while (!outcome_.stopped()) {
    TM_ASSIGN(bool more, file.take(piece));
    if (!more) return Status();
    TM_TRY(copy_piece(file, piece, buffer));
    bytes_done_ += piece.size;
  }
  return Status();
}

Status Execution::copy_piece(OpenFile& file, const DataRange& piece, Buffer& buffer) {
  const Attr& attr = file.entry().attr;
  // Room for the whole of a last block, so that a view may read it in place; it still answers with the file's bytes.
  bool last = piece.at + piece.size == attr.size;
  size_t room = last ? (piece.size + kBlockSize - 1) / kBlockSize * kBlockSize : piece.size;
  TM_ASSIGN(size_t got, view_.read(attr.ino, piece.at, buffer.span().first(room)));
  if (got != piece.size) {
    return Status(Code::kCorrupt, "at byte " + std::to_string(piece.at) + ": " + std::to_string(got) + " bytes where " +
                                      std::to_string(piece.size) + " were announced");
  }
  return file.file().write(piece.at, buffer.bytes().first(piece.size));
}

}  // namespace

ExecuteOptions execute_options(const RestoreOptions& options) {
  return {options.jobs, options.progress, options.interrupted, options.salvage, false};
}

Status write_tree(TreeView& view, const Tree& tree, Sink& sink, Warnings& warnings, const ExecuteOptions& options) {
  Execution execution(view, tree, sink, warnings, options);
  return execution.run();
}

}  // namespace tidemark
