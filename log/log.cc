#include "log/log.h"

#include <algorithm>

#include "base/logging.h"
#include "log/read/read_only.h"
#include "log/repair/recovery.h"
#include "log/write/aside.h"
#include "log/write/writer.h"

namespace tidemark {
namespace {

constexpr int kFloorAttempts = 5;
constexpr size_t kRecordsTold = 5;  // in one line

// A log as it stands, up to a given record.
class LogSnapshot final : public ReadOnlyLog {
 public:
  using ReadOnlyLog::ReadOnlyLog;

  // Takes the segments up to record `last`, and walks the headers of the one it lies in.
  Status take(FileSystem& files, const SegmentList& list, const Floor& floor, Seq last) {
    files_ = &files;
    TM_ASSIGN(cuts_, read_cut_note(files, directory_, list.group));
    segments_.on_open([this] { return check_uncut(); });
    opened_ = floor;
    packs_.replace(floor);
    tail_ = list.born.front().known.before;
    if (tail_.seq > Seq() && tail_.seq >= floor.base.seq) {
      return Status(Code::kCorrupt, directory_ + " begins with record " + std::to_string(tail_.seq.next().value()) +
                                        ", but no floor says that the records before it were pruned");
    }
    if (tail_.seq > last) {
      return Status(Code::kNotFound, "record " + std::to_string(last.value()) + " is no longer held; the oldest is record " +
                                         std::to_string(tail_.seq.next().value()));
    }
    for (const RecoveredSegment& segment : list.born) {
      if (segment.known.first_seq > last && &segment != &list.born.front()) break;
      const bool newest = &segment == &list.born.back() || (&segment + 1)->known.first_seq > last;
      KnownSegment known = segment.known;
      if (newest) TM_TRY(find_end(files, segment.file_bytes, last, known));
      segments_.add(known, nullptr);
    }
    if (tail_.seq < last && last != kLatest) {
      return corrupt_segment(list.born.back().known.first_seq, list.born.back().file_bytes, tail_.seq.next(),
                             "the record is missing");
    }
    return Status();
  }

 protected:
  // What is not where it was may have moved into a pack since; what is gone was below the new base.
  Status look_again(const Status& not_found) override {
    TM_ASSIGN(const Floor now, read_floor(*files_, directory_));
    if (now == opened_) return not_found;
    packs_.replace(now);
    return Status();
  }

  bool let_go(Seq first_seq) override {
    const auto now = read_floor(*files_, directory_);
    return now.ok() && !keeps(*now, first_seq);
  }
  // What is a hole by now was below the new base.
  Status damaged_at(const Location& location, Seq seq, std::string_view what) override {
    const auto now = read_floor(*files_, directory_);
    if (now.ok() && now->base != opened_.base && !keeps(*now, Seq(location.segment))) {
      PackSet packs(*files_, directory_);
      packs.replace(*now);
      if (const Status found = packs.find(location).status(); found.code() == Code::kNotFound)
        return pruned_meanwhile(found);
    }
    return ReadOnlyLog::damaged_at(location, seq, what);
  }

 private:
  // That segment is still one of the log's.
  [[nodiscard]] bool keeps(const Floor& now, Seq segment) const {
    if (now.held_from != Seq()) return segment >= now.held_from;
    const auto oldest = segments_.covering(now.base.seq);
    return !oldest || segment >= oldest->first_seq;
  }

  Status find_end(FileSystem& files, uint64_t file_bytes, Seq last, KnownSegment& known) {
    TM_ASSIGN(const auto file, files.open(segment_path(directory_, known.first_seq), FileSystem::Open::kRead));
    SegmentWindow window(*file, file_bytes, last == kLatest ? kWalkStep : kHopStep);
    tail_ = known.before;
    known.bytes = kSegmentHeaderSize;
    while (tail_.seq < last) {
      TM_ASSIGN(const Bytes head, window.view(known.bytes, kRecordHeaderSize));
      RecordHeader header;
      RecordFault fault = head.size() < kRecordHeaderSize ? RecordFault::kUnwritten : decode_header(head, header);
      if (fault == RecordFault::kNone) fault = check_follows(header, head, tail_);
      if (fault == RecordFault::kNone && known.bytes + header.size_in_log() > file_bytes)
        fault = RecordFault::kPayloadDamaged;
      if (fault != RecordFault::kNone && last == kLatest) return Status();
      if (fault != RecordFault::kNone) {
        return corrupt_segment(known.first_seq, known.bytes, tail_.seq.next(), record_fault_name(fault));
      }
      known.bytes += header.size_in_log();
      tail_ = header.position();
    }
    return Status();
  }

  // A segment that is opened late may have been cut meanwhile, and hold other records where we believe ours.
  Status check_uncut() {
    TM_ASSIGN(const CutNote now, read_cut_note(*files_, directory_, group()));
    if (now == cuts_ || (now.cuts == cuts_.cuts + 1 && now.after.seq >= tail_.seq)) return Status();
    return Status(Code::kNoSuchPoint, "records from " + std::to_string(now.after.seq.next().value()) +
                                          " on were cut from this copy because its source has lost them; reopen it");
  }

  FileSystem* files_ = nullptr;
  Floor opened_;  // as it was then
  CutNote cuts_;  // likewise
};

void add_line(std::string& text, const std::string& more) { text += (text.empty() ? "" : "; ") + more; }

std::string describe(const Recovered& recovered) {
  std::string text;
  if (recovered.torn_bytes > 0) {
    text = "cut a torn tail of " + std::to_string(recovered.torn_bytes) + " bytes after record " +
           std::to_string(recovered.end.seq.value());
  }
  if (!recovered.removed.empty()) {
    add_line(text, "removed " + std::to_string(recovered.removed.size()) + " segments that had not become durable");
  }
  for (size_t i = 0; i < recovered.fixes.size() && i < kRecordsTold; ++i) {
    const BitFix& fix = recovered.fixes[i];
    add_line(text, "one flipped bit in record " + std::to_string(fix.seq.value()) + " was corrected (segment " +
                       segment_name(fix.segment) + ", byte " + std::to_string(fix.at) + ")");
  }
  for (size_t i = 0; i < recovered.damaged.size() && i < kRecordsTold; ++i) {
    const DamagedRecord& each = recovered.damaged[i];
    add_line(text, "record " + std::to_string(each.header.seq.value()) + " is damaged (segment " +
                       segment_name(Seq(each.location.segment)) + ", byte " + std::to_string(each.location.offset) +
                       "): its content cannot be read until it is repaired");
  }
  const size_t told = std::min(recovered.fixes.size(), kRecordsTold) + std::min(recovered.damaged.size(), kRecordsTold);
  if (const size_t all = recovered.fixes.size() + recovered.damaged.size(); all > told)
    add_line(text, "and " + std::to_string(all - told) + " more damaged records");
  if (recovered.lost_to) {
    add_line(text, recovered.lost_text + "; records from " + std::to_string(recovered.end.seq.next().value()) + " to " +
                       std::to_string(recovered.lost_to->value()) +
                       " cannot be used until the source has sent them again; none of them was cut");
  }
  return text;
}

}  // namespace

Status Log::create(FileSystem& files, const std::string& directory, const GroupId& group) {
  TM_ASSIGN(const auto names, files.list(directory));
  const std::string path = segment_path(directory, Seq(1));
  for (const std::string& name : names) {
    // What an earlier attempt left behind when it was interrupted is no content.
    if (directory + "/" + name != path + ".new") return Status(Code::kNotEmpty, directory + " is not empty");
  }
  SegmentHeader header;
  header.group = group;
  return write_file_atomically(files, path, as_text(encode_segment_header(header)));
}

Result<std::unique_ptr<Log>> Log::open(FileSystem& files, Clock& clock, const std::string& directory,
                                       const LogOptions& options, Seq indexed, RecoveryReport* report) {
  LogOptions sane = options;
  sane.segment_bytes = std::clamp(options.segment_bytes, kSegmentBytesMin, kSegmentBytesMax);
  TM_ASSIGN(std::shared_ptr<SegmentPool> pool, SegmentPool::open(files, directory, sane));
  TM_ASSIGN(const Floor floor, heal_floor(files, directory));
  TM_TRY(finish_retirement(*pool, directory, floor));
  TM_ASSIGN(const Recovered recovered, examine_log(files, directory, std::max(indexed, floor.base.seq)));
  TM_TRY(repair_log(*pool, directory, recovered));
  const std::string last = segment_path(directory, recovered.segments.back().known.first_seq);
  TM_ASSIGN(std::shared_ptr<File> tail, files.open(last, FileSystem::Open::kReadWrite));
  if (report != nullptr) {
    const bool alarm = !recovered.damaged.empty() || recovered.lost_to;
    *report = {recovered.end.seq, recovered.torn_bytes, recovered.removed.size(), describe(recovered), alarm, Status()};
  }
  return std::unique_ptr<Log>(
      std::make_unique<LogWriter>(std::move(pool), clock, directory, sane, recovered, floor, std::move(tail)));
}

Result<std::unique_ptr<Log>> Log::open_read_only(FileSystem& files, const std::string& directory, Seq last) {
  for (int attempt = 0;; ++attempt) {
    TM_ASSIGN(const Floor floor, read_floor(files, directory));
    TM_ASSIGN(const SegmentList list, read_segment_list(files, directory, floor));
    auto log = std::make_unique<LogSnapshot>(files, directory, list.group);
    Status taken = log->take(files, list, floor, last);
    if (taken.ok()) return std::unique_ptr<Log>(std::move(log));
    // The holder may have pruned while we looked: then the floor has risen.
    TM_ASSIGN(const Floor risen, read_floor(files, directory));
    if (risen == floor || attempt == kFloorAttempts) return taken;
  }
}

}  // namespace tidemark
