#include "log/read/segment_set.h"

#include "base/descriptors.h"

namespace tidemark {

void SegmentSet::add(const KnownSegment& segment, std::shared_ptr<File> file) {
  MutexLock lock(mutex_);
  add_locked(segment, std::move(file));
}

void SegmentSet::add_locked(const KnownSegment& segment, std::shared_ptr<File> file) {
  Entry& entry = entries_[segment.first_seq.value()];
  entry.known = segment;
  entry.pinned = file != nullptr;
  entry.file = std::move(file);
  bytes_ += segment.bytes;
  if (segment.bytes > kSegmentHeaderSize) note_time(segment.first_seq, segment.first_time_ns);
}

// What is later than its successor was written by a clock that was set back since: of a time in between, the successor is the newer one.
void SegmentSet::note_time(Seq first_seq, int64_t first_time_ns) {
  by_time_.erase(by_time_.upper_bound(first_time_ns), by_time_.end());
  by_time_[first_time_ns] = first_seq.value();
}

void SegmentSet::unpin(Seq first_seq) {
  MutexLock lock(mutex_);
  auto found = entries_.find(first_seq.value());
  if (found == entries_.end() || !found->second.pinned) return;
  found->second.pinned = false;
  keep_open(found->second, std::move(found->second.file));
}

void SegmentSet::replace_file(Seq first_seq, std::shared_ptr<File> file) {
  MutexLock lock(mutex_);
  auto found = entries_.find(first_seq.value());
  CHECK_INVARIANT(found != entries_.end() && found->second.pinned);
  found->second.file = std::move(file);
}

void SegmentSet::set_used(Seq first_seq, uint64_t bytes, int64_t first_time_ns) {
  MutexLock lock(mutex_);
  auto found = entries_.find(first_seq.value());
  CHECK_INVARIANT(found != entries_.end() && bytes >= found->second.known.bytes);
  KnownSegment& known = found->second.known;
  bytes_ += bytes - known.bytes;
  if (known.bytes == kSegmentHeaderSize && bytes > known.bytes) {
    known.first_time_ns = first_time_ns;
    note_time(first_seq, first_time_ns);
  }
  known.bytes = bytes;
}

void SegmentSet::add_point(const IndexPoint& point) {
  MutexLock lock(mutex_);
  points_[point.seq.value()] = point;
  if (points_.size() <= kIndexPointsMax) return;
  for (auto each = points_.begin(); each != points_.end();) {
    each = points_.erase(each);
    if (each != points_.end()) ++each;
  }
}

void SegmentSet::cut(const KnownSegment& last, std::shared_ptr<File> file, Seq to) {
  MutexLock lock(mutex_);
  while (!entries_.empty() && entries_.rbegin()->first >= last.first_seq.value()) {
    const auto newest = std::prev(entries_.end());
    if (newest->second.file != nullptr && !newest->second.pinned) recent_.erase(newest->second.recent);
    bytes_ -= newest->second.known.bytes;
    entries_.erase(newest);
  }
  points_.erase(points_.upper_bound(to.value()), points_.end());
  add_locked(last, std::move(file));
  by_time_.clear();  // what goes may have taken the place of what stays
  for (const auto& [first, entry] : entries_) {
    if (entry.known.bytes > kSegmentHeaderSize) note_time(Seq(first), entry.known.first_time_ns);
  }
}

void SegmentSet::remove_before(Seq kept) {
  MutexLock lock(mutex_);
  while (!entries_.empty() && entries_.begin()->first < kept.value()) {
    Entry& entry = entries_.begin()->second;
    CHECK_INVARIANT(!entry.pinned);
    if (entry.file != nullptr) recent_.erase(entry.recent);
    bytes_ -= entry.known.bytes;
    entries_.erase(entries_.begin());
  }
  std::erase_if(by_time_, [&](const auto& each) { return each.second < kept.value(); });
  points_.erase(points_.begin(), points_.lower_bound(kept.value()));
}

std::optional<KnownSegment> SegmentSet::find(Seq first_seq) const {
  MutexLock lock(mutex_);
  auto found = entries_.find(first_seq.value());
  if (found == entries_.end()) return std::nullopt;
  return found->second.known;
}

std::optional<KnownSegment> SegmentSet::covering(Seq seq) const {
  MutexLock lock(mutex_);
  auto above = entries_.upper_bound(seq.value());
  if (above == entries_.begin()) return std::nullopt;
  return std::prev(above)->second.known;
}

std::optional<KnownSegment> SegmentSet::after(Seq first_seq) const {
  MutexLock lock(mutex_);
  auto above = entries_.upper_bound(first_seq.value());
  if (above == entries_.end()) return std::nullopt;
  return above->second.known;
}

std::optional<KnownSegment> SegmentSet::at_time(int64_t time_ns) const {
  MutexLock lock(mutex_);
  auto younger = by_time_.upper_bound(time_ns);
  if (younger == by_time_.begin()) return std::nullopt;
  auto found = entries_.find(std::prev(younger)->second);
  if (found == entries_.end()) return std::nullopt;
  return found->second.known;
}

std::vector<SegmentInfo> SegmentSet::all() const {
  MutexLock lock(mutex_);
  std::vector<SegmentInfo> list;
  list.reserve(entries_.size());
  for (const auto& [first, entry] : entries_) {
    const bool empty = entry.known.bytes == kSegmentHeaderSize;
    list.push_back({entry.known.first_seq, entry.known.bytes, empty ? 0 : entry.known.first_time_ns});
  }
  return list;
}

Seq SegmentSet::first_seq() const {
  MutexLock lock(mutex_);
  return entries_.empty() ? Seq(1) : entries_.begin()->second.known.first_seq;
}

uint64_t SegmentSet::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

IndexPoint SegmentSet::point_at(const KnownSegment& segment, Seq seq) const {
  MutexLock lock(mutex_);
  auto above = points_.upper_bound(seq.value());
  if (above != points_.begin() && std::prev(above)->second.seq >= segment.first_seq) return std::prev(above)->second;
  return {segment.first_seq, kSegmentHeaderSize, segment.first_time_ns};
}

IndexPoint SegmentSet::point_at_time(const KnownSegment& segment, int64_t time_ns) const {
  MutexLock lock(mutex_);
  IndexPoint best{segment.first_seq, kSegmentHeaderSize, segment.first_time_ns};
  auto next_segment = entries_.upper_bound(segment.first_seq.value());
  const uint64_t end = next_segment == entries_.end() ? UINT64_MAX : next_segment->first;
  for (auto each = points_.lower_bound(segment.first_seq.value()); each != points_.end() && each->first < end; ++each) {
    if (each->second.time_ns > time_ns) break;
    best = each->second;
  }
  return best;
}

void SegmentSet::keep_open(Entry& entry, std::shared_ptr<File> file) {
  entry.file = std::move(file);
  recent_.push_front(entry.known.first_seq.value());
  entry.recent = recent_.begin();
  if (recent_.size() <= descriptors_for(8, 8, kOpenSegmentsMax)) return;
  entries_.find(recent_.back())->second.file.reset();  // closed when its last reader is done
  recent_.pop_back();
}

Result<SegmentSet::OpenSegment> SegmentSet::open(Seq first_seq) {
  {
    MutexLock lock(mutex_);
    auto found = entries_.find(first_seq.value());
    if (found == entries_.end()) return Status(Code::kNotFound, "segment " + segment_name(first_seq) + " is not held here");
    Entry& entry = found->second;
    if (entry.file != nullptr) {
      if (!entry.pinned) recent_.splice(recent_.begin(), recent_, entry.recent);
      return OpenSegment{entry.file, entry.known.bytes};
    }
  }
  TM_ASSIGN(std::shared_ptr<File> file, files_.open(segment_path(directory_, first_seq), FileSystem::Open::kRead));
  if (opened_) TM_TRY(opened_());
  MutexLock lock(mutex_);
  auto found = entries_.find(first_seq.value());
  if (found == entries_.end()) return Status(Code::kNotFound, "segment " + segment_name(first_seq) + " is not held here");
  if (found->second.file == nullptr) keep_open(found->second, file);
  return OpenSegment{std::move(file), found->second.known.bytes};
}

}  // namespace tidemark
