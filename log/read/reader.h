// The reading half of a log, common to one that is appended to and one opened read-only.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "log/format/pack.h"
#include "log/log.h"
#include "log/read/segment_set.h"
#include "log/repair/digests.h"
#include "log/repair/mend.h"

namespace tidemark {

class LogReader : public Log {
 public:
  LogReader(FileSystem& files, const std::string& directory, const GroupId& group)
      : segments_(files, directory),
        packs_(files, directory),
        mended_files_(files),
        mended_directory_(directory),
        group_(group) {}

  [[nodiscard]] Seq first() const override { return segments_.first_seq(); }
  [[nodiscard]] const GroupId& group() const override { return group_; }
  [[nodiscard]] std::vector<SegmentInfo> segments() const override { return segments_.all(); }
  [[nodiscard]] uint64_t bytes() const override { return segments_.bytes(); }
  [[nodiscard]] uint64_t pack_bytes() const override { return packs_.bytes(); }
  [[nodiscard]] Floor floor() const override { return packs_.floor(); }
  [[nodiscard]] Seq base() const override { return packs_.base().seq; }
  [[nodiscard]] std::vector<Gap> gaps() const override { return packs_.gaps(); }
  Status read(const Location& location, uint32_t skip, MutableBytes out) override;
  void prefetch(const Location& location, uint32_t skip, uint32_t size) override;
  Status damaged_at(const Location& location, Seq seq, std::string_view what) override;
  Result<std::string> read_packed(Seq from, size_t bytes_max) override;
  Result<RecordView> read_record(const Location& location, Buffer& storage) override;
  Result<Position> position_at(Seq seq) override;
  Result<int64_t> time_of(Seq seq) override;
  Result<Seq> seq_at_time(int64_t time_ns) override;
  void set_record_sources(std::vector<std::shared_ptr<RecordSource>> sources) override;
  Status mend(const Location& location) override;
  Result<std::vector<LogDamage>> check(const LogPart& part, Seq last, bool from_disk,
                                       const std::function<Status(uint64_t bytes)>& advance) override;
  Status mend_part(const LogPart& part) override;
  [[nodiscard]] std::optional<LogPart> undigested(const std::function<bool(const LogPart&)>& wanted) override;
  Seq newest_digest() override;

  // Where record `seq` (in first() … appended()) lies. kNotFound where it is not held.
  Result<Location> locate(Seq seq);
  [[nodiscard]] std::optional<Gap> gap_over(Seq seq) const;
  SegmentSet& segment_set() { return segments_; }
  // Segment `first_seq` was let go since it was opened: what was read of it may be zeros, where it has a hole now (log/write/adopt.h).
  [[nodiscard]] uint64_t moves() const { return moves_.load(); }
  virtual bool let_go(Seq first_seq) { return !segments_.find(first_seq).has_value(); }

 protected:
  // Segments from `from` on are cut, and will hold something else.
  Status forget_digests(Seq from);
  virtual void segment_mended(Seq /*first_seq*/) {}  // nothing in it is damaged any more
  // A record that is neither in a segment nor in a pack: where another process prunes, looks at what it has left. ok: look once
  // more, and what is not there then was pruned.
  virtual Status look_again(const Status& not_found) { return not_found; }

  SegmentSet segments_;
  PackSet packs_;
  std::atomic<uint64_t> moves_{0};  // so often records went elsewhere, or nowhere, before holes were made where they were

  // What to say of a record that is not found any more.
  static Status pruned_meanwhile(const Status& not_found);

 private:
  // Where the bytes of a record are: in its segment, or in the pack that took its place.
  struct Place {
    std::shared_ptr<File> file;
    uint64_t at = 0;
    uint64_t end = 0;  // no byte from here on
  };
  Result<Place> place(const Location& location);
  Result<Place> place_once(const Location& location);

  struct Hop {
    RecordHeader header;
    Location location;
  };
  // Walks the headers of `segment` from `from` to record `to`, or to the last one not younger than `until_ns`.
  Result<Hop> hop(const KnownSegment& segment, const IndexPoint& from, Seq to, int64_t until_ns);
  Result<Hop> find_record(Seq seq);
  Result<std::vector<LogDamage>> check_pack_part(const PackInfo& info, bool from_disk,
                                                 const std::function<Status(uint64_t bytes)>& advance);
  Status mend_now(const LogPart& part) TM_REQUIRES(mend_mutex_);
  Result<MendReport> mend_from(const LogPart& part, RecordSource& source) TM_REQUIRES(mend_mutex_);
  // What the last record of a segment has to be, where that is known.
  std::optional<Position> end_of(const KnownSegment& segment, const Position& tail) const;
  Result<MendReport> mend_in_segment(const KnownSegment& segment, const Position& tail, RecordSource& source);

  // Of a part that is sealed and was just found sound: makes its digest, or holds it against the one there is.
  // `before`: its digest before it was looked at, where it had none.
  Status hold_against_digest(const LogPart& part, uint64_t bytes, const std::function<Result<Digest>()>& read,
                             const std::optional<Digest>& before, std::vector<LogDamage>& damage);
  // Of a part that has none in the book.
  Result<std::optional<Digest>> first_digest(const LogPart& part, uint64_t bytes,
                                             const std::function<Result<Digest>()>& read);
  [[nodiscard]] bool is_sealed(const KnownSegment& segment) const;
  // Read from its file when it is first asked for.
  Result<DigestBook*> digests() TM_REQUIRES(digest_mutex_);
  Result<std::optional<PartDigest>> digest_for(const LogPart& part);

  FileSystem& mended_files_;
  const std::string mended_directory_;
  const GroupId group_;
  Mutex digest_mutex_;  // held while the file of digests is read or written
  std::optional<DigestBook> digests_ TM_GUARDED_BY(digest_mutex_);
  Mutex mend_mutex_;  // held while a segment or a pack is repaired: one at a time
  std::vector<std::shared_ptr<RecordSource>> sources_ TM_GUARDED_BY(mend_mutex_);
  std::map<uint64_t, std::chrono::steady_clock::time_point> in_vain_ TM_GUARDED_BY(mend_mutex_);  // by first seq of the part
};

}  // namespace tidemark
