#include "tests/support/fault_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <set>

namespace tidemark::test {
namespace {

constexpr uint64_t kSector = 512;

Status missing(const std::string& path) { return Status(Code::kNotFound, path + ": no such file", ENOENT); }

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

using Random = std::mt19937_64;
bool chance(Random& random, unsigned percent) { return random() % 100 < percent; }

struct Change {
  bool truncate = false;
  uint64_t at = 0;  // new size of a truncate
  std::string bytes;
};

void apply_change(std::string& content, const Change& change) {
  if (change.truncate) {
    content.resize(change.at, '\0');
    return;
  }
  if (content.size() < change.at + change.bytes.size()) content.resize(change.at + change.bytes.size(), '\0');
  content.replace(change.at, change.bytes.size(), change.bytes);
}

bool is_blank(const std::string& content, uint64_t block) {
  const uint64_t at = block * kSector;
  return at + kSector <= content.size() && content.find_first_not_of('\0', at) >= at + kSector;
}

// Applies what survives of one unsynced change: each piece of it on its own, whole sectors mostly, now and then 8 bytes.
void apply_part(std::string& disk, const Change& change, Random& random, unsigned percent) {
  if (change.truncate) {
    if (chance(random, percent)) apply_change(disk, change);
    return;
  }
  const uint64_t grain = chance(random, 10) ? 8 : kSector;
  const uint64_t end = change.at + change.bytes.size();
  for (uint64_t from = change.at; from < end;) {
    const uint64_t to = std::min(end, (from / grain + 1) * grain);
    if (chance(random, percent)) apply_change(disk, {false, from, change.bytes.substr(from - change.at, to - from)});
    from = to;
  }
}

}  // namespace

struct FaultFileSystem::Node {
  std::string seen;
  std::string disk;
  std::string target;           // not "": a link
  std::vector<Change> pending;  // what leads from disk to seen, unless a failed sync lost some
  std::set<uint64_t> holes;     // numbers of blocks

  void fill_holes(uint64_t from, uint64_t to) {
    if (from < to) holes.erase(holes.lower_bound(from / kSector), holes.upper_bound((to - 1) / kSector));
  }
  [[nodiscard]] uint64_t taken() const { return seen.size() - std::min<uint64_t>(seen.size(), holes.size() * kSector); }

  void sync() {
    for (const Change& change : pending) apply_change(disk, change);
    pending.clear();
  }
  // What the disk holds when the power fails now.
  [[nodiscard]] std::string torn(Random& random, unsigned percent) const {
    std::string content = disk;
    for (const Change& change : pending) apply_part(content, change, random, percent);
    if (!pending.empty() && content.size() < seen.size() && chance(random, percent)) {
      content.resize(content.size() + random() % (seen.size() - content.size() + 1), '\0');
    }
    return content;
  }
};

struct FaultFileSystem::DirectoryChange {
  std::string directory;
  std::string removed;  // "" for a creation
  std::string added;    // "" for a removal
  std::shared_ptr<Node> node;

  void apply(Names& names) const {
    if (!removed.empty()) names.erase(removed);
    if (!added.empty()) names[added] = node;
  }
};

class FaultFileSystem::OpenFile final : public File {
 public:
  OpenFile(FaultFileSystem& files, std::shared_ptr<Node> node, std::string path, bool writable)
      : files_(files), node_(std::move(node)), path_(std::move(path)), writable_(writable) {}

  Result<size_t> read(uint64_t at, MutableBytes out) override {
    MutexLock lock(files_.mutex_);
    if (at >= node_->seen.size()) return size_t{0};
    const size_t size = std::min<size_t>(out.size(), node_->seen.size() - at);
    std::memcpy(out.data(), node_->seen.data() + at, size);
    return size;
  }
  Status write(uint64_t at, std::span<const iovec> parts) override {
    CHECK_INVARIANT(writable_ && parts.size() <= 1024);
    const Status injected = files_.begin(Operation::kWrite, path_);
    MutexLock lock(files_.mutex_);
    return files_.write_locked(*node_, at, parts, injected);
  }
  Status sync() override {
    const Status injected = files_.begin(Operation::kSync, path_);
    MutexLock lock(files_.mutex_);
    if (!injected.ok()) {
      Random random(files_.operations_);
      node_->disk = node_->torn(random, 50);
      node_->pending.clear();
      return injected;
    }
    if (!files_.ignore_syncs_) node_->sync();
    return Status();
  }
  Status start_writeback(uint64_t, uint64_t) override { return Status(); }
  Status truncate(uint64_t size) override {
    CHECK_INVARIANT(writable_);
    TM_TRY(files_.begin(Operation::kTruncate, path_));
    MutexLock lock(files_.mutex_);
    node_->pending.push_back({true, size, ""});
    apply_change(node_->seen, node_->pending.back());
    node_->holes.erase(node_->holes.lower_bound(size / kSector), node_->holes.end());
    return Status();
  }
  Status punch(uint64_t at, uint64_t size) override {
    CHECK_INVARIANT(writable_);
    TM_TRY(files_.begin(Operation::kPunch, path_));
    MutexLock lock(files_.mutex_);
    if (!files_.holes_) return Status(Code::kUnsupported, "no holes", EOPNOTSUPP);
    const uint64_t from = (at + kSector - 1) / kSector * kSector;
    const uint64_t to = std::min<uint64_t>(at + size, node_->seen.size()) / kSector * kSector;
    if (from >= to) return Status();
    node_->pending.push_back({false, from, std::string(to - from, '\0')});
    apply_change(node_->seen, node_->pending.back());
    for (uint64_t block = from / kSector; block < to / kSector; ++block) node_->holes.insert(block);
    return Status();
  }
  Result<uint64_t> size() override {
    MutexLock lock(files_.mutex_);
    return static_cast<uint64_t>(node_->seen.size());
  }

 private:
  FaultFileSystem& files_;
  const std::shared_ptr<Node> node_;
  const std::string path_;
  const bool writable_;
};

FaultFileSystem::FaultFileSystem() {
  MutexLock lock(mutex_);
  directories_["/"] = true;
}
FaultFileSystem::~FaultFileSystem() = default;

// Counts an operation and asks the observer, without a lock.
Status FaultFileSystem::begin(Operation operation, const std::string& path) {
  std::function<Status(const Step&)> observer;
  Step step;
  {
    MutexLock lock(mutex_);
    step = {operations_++, operation, path};
    observer = observer_;
  }
  return observer ? observer(step) : Status();
}

uint64_t FaultFileSystem::used() const {
  uint64_t sum = 0;
  for (const auto& [path, node] : names_) sum += node->taken();
  return sum;
}

Status FaultFileSystem::write_locked(Node& node, uint64_t at, std::span<const iovec> parts, const Status& injected) {
  Change change;
  change.at = at;
  for (const iovec& part : parts) change.bytes.append(static_cast<const char*>(part.iov_base), part.iov_len);
  Status failure = injected;
  if (!injected.ok()) change.bytes.resize(operations_ * 7919 % (change.bytes.size() + 1));
  const uint64_t end = at + change.bytes.size();
  const uint64_t taken = used();
  if (end > node.seen.size() && capacity_ != UINT64_MAX && taken - node.seen.size() + end > capacity_) {
    const uint64_t room = capacity_ > taken ? capacity_ - taken : 0;
    const uint64_t most = std::max<uint64_t>(node.seen.size() + room, at);
    change.bytes.resize(std::min<uint64_t>(change.bytes.size(), most - at));
    failure = Status(Code::kNoSpace, "no space left", ENOSPC);
  }
  if (!change.bytes.empty()) {
    apply_change(node.seen, change);
    node.fill_holes(change.at, change.at + change.bytes.size());
    node.pending.push_back(std::move(change));
  }
  return failure;
}

Result<std::unique_ptr<File>> FaultFileSystem::open(const std::string& path, Open how) {
  if (how == Open::kCreateNew) TM_TRY(begin(Operation::kCreate, path));
  MutexLock lock(mutex_);
  auto found = names_.find(path);
  if (how == Open::kCreateNew) {
    if (found != names_.end()) return Status(Code::kExists, path + " exists", EEXIST);
    if (!directories_.contains(parent_of(path))) return missing(path);
    found = names_.emplace(path, std::make_shared<Node>()).first;
    pending_names_.push_back({parent_of(path), "", path, found->second});
  }
  if (found == names_.end()) return missing(path);
  if (!found->second->target.empty()) {
    found = names_.find(found->second->target);
    if (found == names_.end()) return Status(Code::kIo, path + " leads nowhere", ENOENT);
  }
  return std::unique_ptr<File>(std::make_unique<OpenFile>(*this, found->second, path, how != Open::kRead));
}

Status FaultFileSystem::make_directory(const std::string& path) {
  MutexLock lock(mutex_);
  return directories_.emplace(path, !forget_directories_).second ? Status()
                                                                 : Status(Code::kExists, path + " exists", EEXIST);
}

Status FaultFileSystem::remove(const std::string& path) {
  TM_TRY(begin(Operation::kRemove, path));
  MutexLock lock(mutex_);
  if (names_.erase(path) == 0) return missing(path);
  pending_names_.push_back({parent_of(path), path, "", nullptr});
  return Status();
}

Status FaultFileSystem::rename(const std::string& from, const std::string& to) {
  TM_TRY(begin(Operation::kRename, from));
  MutexLock lock(mutex_);
  auto found = names_.find(from);
  if (found == names_.end()) return missing(from);
  pending_names_.push_back({parent_of(to), from, to, found->second});
  pending_names_.back().apply(names_);
  return Status();
}

Status FaultFileSystem::make_link(const std::string& path, const std::string& target) {
  TM_TRY(begin(Operation::kCreate, path));
  MutexLock lock(mutex_);
  if (names_.contains(path)) return Status(Code::kExists, path + " exists", EEXIST);
  if (!directories_.contains(parent_of(path))) return missing(path);
  auto node = std::make_shared<Node>();
  node->target = target;
  pending_names_.push_back({parent_of(path), "", path, node});
  names_[path] = std::move(node);
  return Status();
}

Result<std::string> FaultFileSystem::read_link(const std::string& path) {
  MutexLock lock(mutex_);
  auto found = names_.find(path);
  return found == names_.end() ? std::string() : found->second->target;
}

Result<std::vector<std::string>> FaultFileSystem::list(const std::string& directory) {
  MutexLock lock(mutex_);
  if (!directories_.contains(directory)) return missing(directory);
  std::vector<std::string> names;
  for (const auto& [path, node] : names_) {
    if (parent_of(path) == directory) names.push_back(path.substr(path.rfind('/') + 1));
  }
  for (const auto& [path, durable] : directories_) {
    if (path != "/" && parent_of(path) == directory) names.push_back(path.substr(path.rfind('/') + 1));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<bool> FaultFileSystem::exists(const std::string& path) {
  MutexLock lock(mutex_);
  return names_.contains(path) || directories_.contains(path);
}

Status FaultFileSystem::sync_directory(const std::string& directory) {
  TM_TRY(begin(Operation::kSyncDirectory, directory));
  MutexLock lock(mutex_);
  if (ignore_syncs_) return Status();
  for (auto& [path, durable] : directories_) durable = durable || parent_of(path) == directory;
  std::erase_if(pending_names_, [&](const DirectoryChange& change) TM_NO_ANALYSIS {
    if (change.directory != directory) return false;
    change.apply(durable_names_);
    return true;
  });
  return Status();
}

Result<FileSystemSpace> FaultFileSystem::space(const std::string&) {
  MutexLock lock(mutex_);
  const uint64_t total = capacity_ == UINT64_MAX ? uint64_t{1} << 50 : capacity_;
  const uint64_t free = total - std::min(total, used());
  return FileSystemSpace{total, free, free};
}

std::unique_ptr<FaultFileSystem> FaultFileSystem::after_crash(uint64_t seed) const {
  Random random(seed);
  // From nothing kept to everything kept: each kind of crash has its own bugs.
  constexpr std::array<unsigned, 6> kKept{0, 10, 50, 90, 99, 100};
  const unsigned percent = kKept[random() % kKept.size()];
  auto survivor = std::make_unique<FaultFileSystem>();
  MutexLock lock(mutex_);
  Names names = durable_names_;
  for (const DirectoryChange& change : pending_names_) {
    if (chance(random, percent)) change.apply(names);
  }
  MutexLock other(survivor->mutex_);
  // In the order of their names: a parent comes before what is in it.
  for (const auto& [path, durable] : directories_) {
    const bool reachable = path == "/" || survivor->directories_.contains(parent_of(path));
    if (reachable && (durable || chance(random, percent))) survivor->directories_[path] = true;
  }
  for (const auto& [path, node] : names) {
    if (!survivor->directories_.contains(parent_of(path))) continue;
    auto copy = std::make_shared<Node>();
    copy->target = node->target;
    copy->disk = copy->seen = node->torn(random, percent);
    for (const uint64_t block : node->holes) {
      if (is_blank(copy->seen, block)) copy->holes.insert(block);
    }
    survivor->names_[path] = survivor->durable_names_[path] = std::move(copy);
  }
  return survivor;
}

std::unique_ptr<FaultFileSystem> FaultFileSystem::after_exit() const {
  auto survivor = std::make_unique<FaultFileSystem>();
  MutexLock lock(mutex_);
  MutexLock other(survivor->mutex_);
  std::map<const Node*, std::shared_ptr<Node>> copies;
  const auto copy_of = [&](const std::shared_ptr<Node>& node) {
    if (node == nullptr) return node;
    auto& copy = copies[node.get()];
    if (copy == nullptr) copy = std::make_shared<Node>(*node);
    return copy;
  };
  survivor->directories_ = directories_;
  survivor->capacity_ = capacity_;
  survivor->ignore_syncs_ = ignore_syncs_;
  survivor->holes_ = holes_;
  for (const auto& [path, node] : names_) survivor->names_[path] = copy_of(node);
  for (const auto& [path, node] : durable_names_) survivor->durable_names_[path] = copy_of(node);
  for (const DirectoryChange& change : pending_names_) {
    survivor->pending_names_.push_back(change);
    survivor->pending_names_.back().node = copy_of(change.node);
  }
  return survivor;
}

void FaultFileSystem::on_operation(std::function<Status(const Step&)> observer) {
  MutexLock lock(mutex_);
  observer_ = std::move(observer);
}

uint64_t FaultFileSystem::operations() const {
  MutexLock lock(mutex_);
  return operations_;
}

void FaultFileSystem::ignore_syncs(bool ignore) {
  MutexLock lock(mutex_);
  ignore_syncs_ = ignore;
}

void FaultFileSystem::forget_directories() {
  MutexLock lock(mutex_);
  forget_directories_ = true;
}

void FaultFileSystem::set_capacity(uint64_t bytes) {
  MutexLock lock(mutex_);
  capacity_ = bytes;
}

void FaultFileSystem::refuse_holes() {
  MutexLock lock(mutex_);
  holes_ = false;
}

uint64_t FaultFileSystem::taken() const {
  MutexLock lock(mutex_);
  return used();
}

void FaultFileSystem::flip_bit(const std::string& path, uint64_t byte, unsigned bit) {
  MutexLock lock(mutex_);
  Node& node = *names_.at(path);
  node.sync();
  node.seen.at(byte) = static_cast<char>(node.seen.at(byte) ^ (1 << bit));
  node.disk = node.seen;
}

void FaultFileSystem::overwrite(const std::string& path, uint64_t at, std::string_view content) {
  MutexLock lock(mutex_);
  Node& node = *names_.at(path);
  node.sync();
  apply_change(node.seen, {false, at, std::string(content)});
  node.disk = node.seen;
}

std::string FaultFileSystem::content(const std::string& path) const {
  MutexLock lock(mutex_);
  auto found = names_.find(path);
  return found == names_.end() ? std::string() : found->second->seen;
}

void FaultFileSystem::set_content(const std::string& path, std::string_view content) {
  MutexLock lock(mutex_);
  auto& node = names_[path];
  if (node == nullptr) node = std::make_shared<Node>();
  node->pending.clear();
  node->holes.clear();
  node->seen = node->disk = std::string(content);
  durable_names_[path] = node;
}

}  // namespace tidemark::test
