// The reading half of a log, common to one that is appended to and one opened read-only.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "log/log.h"
#include "log/segment_set.h"

namespace tidemark {

class LogReader : public Log {
 public:
  LogReader(FileSystem& files, const std::string& directory, const GroupId& group)
      : segments_(files, directory), mended_files_(files), mended_directory_(directory), group_(group) {}

  [[nodiscard]] Seq first() const override { return segments_.first_seq(); }
  [[nodiscard]] const GroupId& group() const override { return group_; }
  [[nodiscard]] std::vector<SegmentInfo> segments() const override { return segments_.all(); }
  [[nodiscard]] uint64_t bytes() const override { return segments_.bytes(); }
  Status read(const Location& location, uint32_t skip, MutableBytes out) override;
  void prefetch(const Location& location, uint32_t skip, uint32_t size) override;
  Result<RecordView> read_record(const Location& location, Buffer& storage) override;
  Result<Position> position_at(Seq seq) override;
  Result<Seq> seq_at_time(int64_t time_ns) override;
  void set_record_source(std::shared_ptr<RecordSource> source) override;
  Status mend(const Location& location) override;

  // Where record `seq` (in first() … appended()) lies. kNotFound where it is not held.
  Result<Location> locate(Seq seq);
  SegmentSet& segment_set() { return segments_; }

 protected:
  SegmentSet segments_;

 private:
  struct Hop {
    RecordHeader header;
    Location location;
  };
  // Walks the headers of `segment` from `from` to record `to`, or to the last one not younger than `until_ns`.
  Result<Hop> hop(const KnownSegment& segment, const IndexPoint& from, Seq to, int64_t until_ns);
  Result<Hop> find_record(Seq seq);
  Status mend_now(const KnownSegment& segment, const Position& tail, RecordSource& source) TM_REQUIRES(mend_mutex_);

  FileSystem& mended_files_;
  const std::string mended_directory_;
  const GroupId group_;
  Mutex mend_mutex_;  // held while a segment is repaired: one at a time
  std::shared_ptr<RecordSource> source_ TM_GUARDED_BY(mend_mutex_);
  std::map<uint64_t, std::chrono::steady_clock::time_point> in_vain_ TM_GUARDED_BY(mend_mutex_);  // by segment
};

}  // namespace tidemark
