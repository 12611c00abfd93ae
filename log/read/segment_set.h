// The segments of an open log: which there are, their open files (a bounded number), and a sparse index of where records lie.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/file.h"
#include "base/mutex.h"
#include "log/format/segment.h"
#include "log/log_types.h"

namespace tidemark {

// A place in a segment from which a walk may start: record `seq` begins at byte `offset`.
struct IndexPoint {
  Seq seq;
  uint32_t offset = kSegmentHeaderSize;
  int64_t time_ns = 0;
};
inline constexpr uint32_t kIndexSpacing = 1u << 20;  // bytes of log between two points
inline constexpr size_t kIndexPointsMax = 65'536;    // then every second one is dropped
inline constexpr size_t kOpenSegmentsMax = 128;

// What is known of one segment. `bytes` is what is used of it: records beyond are not published yet.
struct KnownSegment {
  Seq first_seq;
  Position before;
  uint64_t bytes = kSegmentHeaderSize;
  int64_t first_time_ns = 0;
};

// Thread-safe. Its mutex is a leaf: nothing is taken and no file is touched under it.
class SegmentSet {
 public:
  SegmentSet(FileSystem& files, std::string directory) : files_(files), directory_(std::move(directory)) {}

  // Adds a segment after all others. With `file` (read-write, being appended to) it stays open until unpin().
  void add(const KnownSegment& segment, std::shared_ptr<File> file);
  void unpin(Seq first_seq);
  void replace_file(Seq first_seq, std::shared_ptr<File> file);
  void set_used(Seq first_seq, uint64_t bytes, int64_t first_time_ns);
  void add_point(const IndexPoint& point);
  // `last` ends with record `to` from now on and is in `file`; every segment behind it is forgotten. What is being read stays readable.
  void cut(const KnownSegment& last, std::shared_ptr<File> file, Seq to);
  // Asked after a segment was opened; what it answers but ok is the answer. Before any other call.
  void on_open(std::function<Status()> opened) { opened_ = std::move(opened); }
  // Forgets every segment before `kept`. What is being read stays readable.
  void remove_before(Seq kept);

  [[nodiscard]] std::optional<KnownSegment> find(Seq first_seq) const;
  [[nodiscard]] std::optional<KnownSegment> covering(Seq seq) const;         // the last with first_seq <= seq
  [[nodiscard]] std::optional<KnownSegment> after(Seq first_seq) const;      // the next one
  [[nodiscard]] std::optional<KnownSegment> at_time(int64_t time_ns) const;  // the last whose first record is not younger
  [[nodiscard]] std::vector<SegmentInfo> all() const;
  [[nodiscard]] Seq first_seq() const;  // of the oldest segment
  [[nodiscard]] uint64_t bytes() const;

  // The nearest known place at or before a seq, or a time, within one segment.
  [[nodiscard]] IndexPoint point_at(const KnownSegment& segment, Seq seq) const;
  [[nodiscard]] IndexPoint point_at_time(const KnownSegment& segment, int64_t time_ns) const;

  // The segment's file, opened if need be; it stays readable as long as the pointer lives, even when the segment is removed.
  // kNotFound: no such segment (any more). `bytes` as in KnownSegment.
  struct OpenSegment {
    std::shared_ptr<File> file;
    uint64_t bytes = 0;
  };
  Result<OpenSegment> open(Seq first_seq);

 private:
  struct Entry {
    KnownSegment known;
    std::shared_ptr<File> file;
    bool pinned = false;
    std::list<uint64_t>::iterator recent;  // valid while file is set and pinned is not
  };
  using Entries = std::map<uint64_t, Entry>;

  void add_locked(const KnownSegment& segment, std::shared_ptr<File> file) TM_REQUIRES(mutex_);
  void note_time(Seq first_seq, int64_t first_time_ns) TM_REQUIRES(mutex_);
  void keep_open(Entry& entry, std::shared_ptr<File> file) TM_REQUIRES(mutex_);

  FileSystem& files_;
  const std::string directory_;
  std::function<Status()> opened_;
  mutable Mutex mutex_;
  Entries entries_ TM_GUARDED_BY(mutex_);
  std::map<int64_t, uint64_t> by_time_ TM_GUARDED_BY(mutex_);  // first_time_ns → that segment; rising in both
  std::list<uint64_t> recent_ TM_GUARDED_BY(mutex_);           // open and not pinned, most recently used first
  std::map<uint64_t, IndexPoint> points_ TM_GUARDED_BY(mutex_);
  uint64_t bytes_ TM_GUARDED_BY(mutex_) = 0;
};

}  // namespace tidemark
