// Reading a log that another process may be appending to: Log::open_read_only().
#include "log/format/record_walker.h"
#include "log/read/read_only.h"
#include "log/repair/recovery.h"
#include "log/write/aside.h"

namespace tidemark {
namespace {

constexpr int kFloorAttempts = 5;

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
    RecordWalker walker(window, kSegmentHeaderSize, known.before, {.payload = false});
    while (walker.position().seq < last) {
      TM_ASSIGN(const RecordWalker::Step step, walker.next());
      if (step == RecordWalker::Step::kRecord) continue;
      if (last == kLatest) break;
      const RecordFault fault = step == RecordWalker::Step::kEnd ? RecordFault::kUnwritten : walker.fault();
      return corrupt_segment(known.first_seq, walker.next_at(), walker.position().seq.next(), record_fault_name(fault));
    }
    tail_ = walker.position();
    known.bytes = walker.next_at();
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

}  // namespace

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
