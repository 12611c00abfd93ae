#include "log/write/segment_pool.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/hash.h"
#include "base/logging.h"
#include "log/format/segment.h"

namespace tidemark {
namespace {

std::string hex(uint64_t value) {
  std::array<char, 17> text;
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
  return text.data();
}

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

SegmentPool::SegmentPool(FileSystem& files, std::string directory, const LogOptions& options)
    : files_(files),
      directory_(std::move(directory)),
      prefix_(options.pool_owner + "-" + hex(hash64(as_bytes(directory_))) + "-"),
      segment_bytes_(options.segment_bytes),
      reserve_bytes_(options.reserve_bytes) {
  MutexLock lock(mutex_);
  places_.push_back({directory_, options.pool.empty() ? 0 : options.own_bytes_max});
  for (const PoolDirectory& each : options.pool) places_.push_back({each.path, each.bytes_max});
}

Result<std::shared_ptr<SegmentPool>> SegmentPool::open(FileSystem& files, const std::string& directory,
                                                       const LogOptions& options) {
  std::shared_ptr<SegmentPool> pool(new SegmentPool(files, directory, options));
  MutexLock lock(pool->mutex_);
  TM_TRY(pool->look());
  for (size_t i = 1; i < pool->places_.size(); ++i) TM_TRY(pool->tidy(pool->places_[i]));
  return pool;
}

// Which segments lie where.
Status SegmentPool::look() {
  TM_ASSIGN(const auto segments, list_segments(files_, directory_));
  for (const Seq segment : segments) {
    TM_ASSIGN(const std::string target, files_.read_link(segment_path(directory_, segment)));
    newest_ = target.empty() ? 0 : place_of(target);
    if (newest_ < places_.size()) ++places_[newest_].segments;
  }
  return Status();
}

// Files of ours to which no link leads: a crash came between.
Status SegmentPool::tidy(const Place& place) {
  auto names = files_.list(place.path);
  if (!names.ok()) return names.status().within("the pool directory " + place.path + " cannot be used");
  bool removed = false;
  for (const std::string& name : *names) {
    if (!name.starts_with(prefix_)) continue;
    const std::string path = place.path + "/" + name;
    TM_ASSIGN(const std::string target, files_.read_link(directory_ + "/" + name.substr(prefix_.size())));
    if (target == path) continue;
    TM_TRY(files_.remove(path));
    removed = true;
  }
  return removed ? files_.sync_directory(place.path) : Status();
}

size_t SegmentPool::place_of(const std::string& path) {
  const std::string parent = parent_of(path);
  const auto found = std::find_if(places_.begin(), places_.end(), [&](const Place& each) { return each.path == parent; });
  return static_cast<size_t>(found - places_.begin());
}

bool SegmentPool::has_room(const Place& place) {
  if (place.bytes_max != 0 && (place.segments + 1) * segment_bytes_ > place.bytes_max) return false;
  const auto space = files_.space(place.path);
  return space.ok() && space->available_bytes >= reserve_bytes_ + segment_bytes_;
}

// Where none has room it is the log's own directory, whose refusals people know.
size_t SegmentPool::choose() {
  for (size_t i = 0; i < places_.size() && places_.size() > 1; ++i) {
    if (has_room(places_[i])) return i;
  }
  return 0;
}

bool SegmentPool::room_elsewhere() {
  MutexLock lock(mutex_);
  const size_t chosen = choose();
  return chosen != newest_ && has_room(places_[chosen]);
}

std::vector<PoolUse> SegmentPool::use() {
  MutexLock lock(mutex_);
  std::vector<PoolUse> made;
  for (size_t i = 1; i < places_.size(); ++i) {
    const Place& place = places_[i];
    const auto space = files_.space(place.path);
    uint64_t available = space.ok() ? space->available_bytes - std::min(space->available_bytes, reserve_bytes_) : 0;
    if (place.bytes_max != 0) {
      available = std::min(available, place.bytes_max - std::min(place.bytes_max, place.segments * segment_bytes_));
    }
    made.push_back({place.path, place.bytes_max, place.segments, available, newest_ == i});
  }
  return made;
}

void SegmentPool::tell(size_t chosen) {
  if (chosen == newest_) return;
  if (chosen == 0) {
    log_info("the log of " + parent_of(directory_) + " continues in its own directory");
  } else {
    log_warning("the log of " + parent_of(directory_) + " has no room for another segment: the pool directory " +
                places_[chosen].path + " is now in use");
  }
}

// What an earlier attempt to make this segment left there, which no link leads to. Its name must be durably without a link, as at a removal.
Status SegmentPool::clear_left_over(const std::string& target, const std::string& link) {
  TM_ASSIGN(const bool left, files_.exists(target));
  if (!left) return Status();
  TM_ASSIGN(const bool linked, files_.exists(link));
  if (linked) return Status();  // kExists, then
  TM_TRY(files_.sync_directory(directory_));
  return files_.remove(target);
}

// The file in the pool, with a link to it. It is opened once: there is nothing after the link that could still fail.
Result<std::unique_ptr<File>> SegmentPool::make_in_pool(const Place& place, const std::string& name) {
  const std::string target = place.path + "/" + prefix_ + name;
  const std::string link = directory_ + "/" + name;
  TM_TRY(clear_left_over(target, link));
  TM_ASSIGN(auto file, files_.open(target, Open::kCreateNew));
  Status made = files_.sync_directory(place.path);
  if (made.ok()) made = files_.make_link(link, target);
  if (made.ok()) return file;
  (void)files_.remove(target);  // where even that fails, the next attempt removes it, or the next open
  return made;
}

Result<std::unique_ptr<File>> SegmentPool::open(const std::string& path, Open how) {
  if (how != Open::kCreateNew || parent_of(path) != directory_ || !segment_first_seq(name_of(path))) {
    return files_.open(path, how);
  }
  MutexLock lock(mutex_);
  const size_t chosen = choose();
  auto file = chosen == 0 ? files_.open(path, how) : make_in_pool(places_[chosen], name_of(path));
  if (!file.ok()) return file;
  tell(chosen);
  newest_ = chosen;
  ++places_[chosen].segments;
  return file;
}

Status SegmentPool::remove(const std::string& path) {
  if (parent_of(path) != directory_ || !segment_first_seq(name_of(path))) return files_.remove(path);
  MutexLock lock(mutex_);
  TM_ASSIGN(const std::string target, files_.read_link(path));
  TM_TRY(files_.remove(path));
  const size_t place = target.empty() ? 0 : place_of(target);
  if (place < places_.size() && places_[place].segments > 0) --places_[place].segments;
  if (target.empty()) return Status();
  if (name_of(target) != prefix_ + name_of(path)) {
    log_warning(target + " is not removed: it belongs to a log in another directory than " + directory_);
    return Status();
  }
  TM_TRY(files_.sync_directory(directory_));
  const Status removed = files_.remove(target);
  return removed.code() == Code::kNotFound ? Status() : removed;
}

Result<FileSystemSpace> SegmentPool::space(const std::string& path) {
  std::string asked = path;
  if (path == directory_) {
    MutexLock lock(mutex_);
    if (newest_ < places_.size()) asked = places_[newest_].path;
  }
  return files_.space(asked);
}

}  // namespace tidemark
