// The log of one group on this site: segments, packs, and the records in them. This is the half that reads; log/write/writer.h appends.
//
// A segment is a file NNNNNNNNNNNNNNNNNNNN.seg (20 digits, its first seq) of at most about 64 MiB: a 64-byte segment header,
// then records back to back. A segment whose header is missing was never born: its header is written only when every
// segment before it is durable, so a torn tail can only be at the end of the last segment.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "log/format/pack.h"
#include "log/log_types.h"
#include "log/read/record_source.h"
#include "log/read/segment_set.h"
#include "log/repair/digests.h"
#include "log/repair/mend.h"

namespace tidemark {

// Thread-safe, all of it.
class Log {
 public:
  // Opens what another process may be appending to, for reading records up to and including `last` (which must be durable).
  static Result<std::unique_ptr<Log>> open_read_only(FileSystem& files, const std::string& directory, Seq last);

  // Opens for reading what LogWriter::open() and open_read_only() refuse because something in it is damaged. Every segment that is there
  // can be read; what is damaged stays kCorrupt where it is met. The log ends with record `known` (of the index; zeros: none)
  // or, where sound records follow it in unbroken order, with the last of those. Nothing is changed.
  static Result<std::unique_ptr<Log>> open_damaged(FileSystem& files, const std::string& directory, const Position& known);

  virtual ~Log() = default;
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  [[nodiscard]] virtual Seq appended() const = 0;
  [[nodiscard]] virtual Seq durable() const = 0;
  [[nodiscard]] virtual Position tail_position() const = 0;  // of the newest record; zeros when there is none
  [[nodiscard]] virtual Status health() const = 0;           // ok, or why the log is poisoned
  // Records up to here are whole, as far as opening has seen; appended() where it has found no damage. Of what a site sends again, the
  // first record to be sent is the one behind it.
  [[nodiscard]] virtual Seq sound() const { return appended(); }
  // Of a copy: its source has told that these records are durable there, so nobody may take them back. Known again after opening, but
  // for the last second. A source's own records are settled once they are durable.
  [[nodiscard]] virtual Seq settled() const { return durable(); }
  // The newest record that a sync has begun for: it is durable, or will be in a moment, unless that fails.
  [[nodiscard]] virtual Seq syncing() const { return durable(); }
  // Waits until durable() > above, the log is poisoned or closed, or the time is over. True if there is something new.
  virtual bool wait_durable(Seq above, std::chrono::milliseconds timeout) = 0;

  [[nodiscard]] Seq first() const { return segments_.first_seq(); }  // oldest record held; appended()+1 when there is none
  [[nodiscard]] const GroupId& group() const { return group_; }
  [[nodiscard]] std::vector<SegmentInfo> segments() const { return segments_.all(); }
  // Bytes of all segments: the history. What older records live on takes pack_bytes() more.
  [[nodiscard]] uint64_t bytes() const { return segments_.bytes(); }
  [[nodiscard]] uint64_t pack_bytes() const { return packs_.bytes(); }
  [[nodiscard]] Floor floor() const { return packs_.floor(); }           // zeros where nothing was pruned yet
  [[nodiscard]] Seq base() const { return packs_.base().seq; }           // floor().base.seq
  [[nodiscard]] std::vector<Gap> gaps() const { return packs_.gaps(); }  // floor().gaps

  // Bytes of a record's stored form, from `location` + `skip` on; checks nothing. kNotFound if the record is gone with its
  // segment; in a log that another process prunes, kNoSuchPoint says so. Reads past the end of the segment are kCorrupt.
  Status read(const Location& location, uint32_t skip, MutableBytes out);

  // A hint that read() will be asked for these bytes soon: fetching them begins, so that two reads of one record wait once.
  void prefetch(const Location& location, uint32_t skip, uint32_t size);

  // Records of pruned segments that are still needed, from `from` on, in order: at least one, at most about `bytes_max`; empty where
  // there is none. Each is sound. kCorrupt where the first one is not.
  Result<std::string> read_packed(Seq from, size_t bytes_max);

  // kCorrupt, naming where `what` was found: segment or pack, byte and seq.
  virtual Status damaged_at(const Location& location, Seq seq, std::string_view what);

  // Reads, checks (header and payload sums) and returns the record; `storage` keeps its bytes.
  Result<RecordView> read_record(const Location& location, Buffer& storage);

  // The position (epoch, seq, chain) of record `seq`; zeros for seq 0. kNotFound where it is neither held nor remembered.
  Result<Position> position_at(Seq seq);

  // Wall time of record `seq`, which must be held or the base.
  Result<int64_t> time_of(Seq seq);

  // The newest seq whose time is at most `time_ns`; 0 if all are younger. Where the clock was set back: LOG_FORMAT.md, Times.
  Result<Seq> seq_at_time(int64_t time_ns);

  // Where damaged records are fetched from when somebody comes upon them, in this order, until all is put right; none (as at first):
  // nowhere. On return the sources before are not asked any more.
  void set_record_sources(std::vector<std::shared_ptr<RecordSource>> sources);
  void set_record_source(std::shared_ptr<RecordSource> source) {
    set_record_sources(source == nullptr ? std::vector<std::shared_ptr<RecordSource>>() : std::vector{std::move(source)});
  }
  // Puts right what is damaged in the segment of `location`, as far as the sources have it, and logs that. ok: something was put
  // right, so reading again is worth while. A segment that could not be repaired is not tried again for some seconds.
  Status mend(const Location& location);

  // Reads one part and checks every byte of it, of a segment records up to `last` (durable). `from_disk`: what memory holds of it does not
  // count, and is not kept. Goes on after damage, of which at most 1,000 places are told; kForged is told of the whole part. `advance`
  // hears of what was read; what it returns, unless ok, ends it. kNotFound: the part is gone.
  Result<std::vector<LogDamage>> check(const LogPart& part, Seq last, bool from_disk,
                                       const std::function<Status(uint64_t bytes)>& advance);
  // As mend().
  Status mend_part(const LogPart& part);
  // A part that is sealed (all of it durable, nothing more will be appended) and sound gets its digest by check(), which holds it against
  // that from then on. The first one that has none and is `wanted` (which calls nothing of the log); nothing where there is no such part.
  [[nodiscard]] std::optional<LogPart> undigested(const std::function<bool(const LogPart&)>& wanted);
  // The newest segment that has one; 0: none.
  Seq newest_digest();

  // Where record `seq` (in first() … appended()) lies. kNotFound where it is not held.
  Result<Location> locate(Seq seq);
  [[nodiscard]] std::optional<Gap> gap_over(Seq seq) const;
  SegmentSet& segment_set() { return segments_; }
  // Segment `first_seq` was let go since it was opened: what was read of it may be zeros, where it has a hole now (log/write/adopt.h).
  [[nodiscard]] uint64_t moves() const { return moves_.load(); }
  virtual bool let_go(Seq first_seq) { return !segments_.find(first_seq).has_value(); }

 protected:
  Log(FileSystem& files, const std::string& directory, const GroupId& group)
      : segments_(files, directory),
        packs_(files, directory),
        mended_files_(files),
        mended_directory_(directory),
        group_(group) {}

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
