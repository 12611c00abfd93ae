// Reading what is left of a damaged log: Log::open_damaged().
#include "log/format/record_walker.h"
#include "log/read/read_only.h"

namespace tidemark {
namespace {

class DamagedLog final : public ReadOnlyLog {
 public:
  using ReadOnlyLog::ReadOnlyLog;

  Status take(FileSystem& files, std::vector<Seq> names, const Position& known) {
    // Without it what was packed cannot be found; all else can.
    auto floor = read_floor(files, directory_);
    floor_status_ = floor.status();
    if (floor.ok()) {
      packs_.replace(*floor);
      std::erase_if(names, [&](Seq first_seq) { return adopts(*floor, first_seq); });
    }
    for (const Seq first_seq : names) TM_TRY(take_segment(files, first_seq));
    tail_ = known;
    return find_end();
  }

 protected:
  Status look_again(const Status& not_found) override {
    return floor_status_.ok() ? not_found : Status(Code::kCorrupt, not_found.text() + "; " + floor_status_.text());
  }

 private:
  // Every byte of the file may be read: whoever reads a record checks it.
  Status take_segment(FileSystem& files, Seq first_seq) {
    TM_ASSIGN(const auto file, files.open(segment_path(directory_, first_seq), FileSystem::Open::kRead));
    TM_ASSIGN(const uint64_t size, file->size());
    std::array<std::byte, kSegmentHeaderSize + kRecordHeaderSize> bytes{};
    TM_ASSIGN(const size_t got, file->read(0, bytes));
    const Bytes held = Bytes(bytes).first(got);
    KnownSegment known;
    known.first_seq = first_seq;
    known.bytes = std::max<uint64_t>(size, kSegmentHeaderSize);
    SegmentHeader header;
    const SegmentFault fault = decode_segment_header(held.first(std::min<size_t>(got, kSegmentHeaderSize)), header);
    // Where the header does not say it: the record before the first one here is known by its number alone.
    known.before = fault == SegmentFault::kNone ? header.before : Position{Epoch(), first_seq.prev(), 0};
    RecordHeader first;
    if (got == bytes.size() && decode_header(held.subspan(kSegmentHeaderSize), first) == RecordFault::kNone) {
      known.first_time_ns = first.time_ns;
    }
    segments_.add(known, nullptr);
    return Status();
  }

  // Goes from record tail_ on as far as the order is unbroken. Where tail_ itself is not found, the log ends there.
  Status find_end() {
    const auto holding = segments_.covering(tail_.seq == Seq() ? Seq(1) : tail_.seq);
    if (!holding) return Status();
    TM_ASSIGN(std::optional<Place> place, find_tail(*holding));
    for (KnownSegment segment = *holding; place;) {
      TM_TRY(walk(segment, *place));
      const auto next = segments_.after(segment.first_seq);
      if (!next) break;
      if (const auto gap = gap_over(tail_.seq.next()); gap && gap->from == tail_ && gap->to == next->before) tail_ = gap->to;
      if (next->first_seq != tail_.seq.next()) break;
      segment = *next;
      place = Place{kSegmentHeaderSize, 0};
    }
    return Status();
  }

  struct Place {
    uint64_t at = 0;  // of the record after tail_
    int64_t time_ns = 0;
  };

  // Where the record after tail_ begins. Damage on the way is stepped over.
  Result<std::optional<Place>> find_tail(const KnownSegment& segment) {
    if (tail_.seq == Seq()) return std::optional<Place>(Place{kSegmentHeaderSize, 0});
    TM_ASSIGN(const auto open, segments_.open(segment.first_seq));
    SegmentWindow window(*open.file, open.bytes, kWalkStep);
    uint64_t from = kSegmentHeaderSize;
    for (;;) {
      TM_ASSIGN(const auto found, find_header(window, from, tail_.seq, tail_.seq));
      if (!found) return std::optional<Place>();
      from = found->at + kRecordAlignment;
      if (found->header.position() != tail_) continue;
      segments_.add_point({tail_.seq, static_cast<uint32_t>(found->at), found->header.time_ns});
      return std::optional<Place>(Place{found->at + found->header.size_in_log(), found->header.time_ns});
    }
  }

  Status walk(const KnownSegment& segment, Place place) {
    TM_ASSIGN(const auto open, segments_.open(segment.first_seq));
    SegmentWindow window(*open.file, open.bytes, kWalkStep);
    RecordWalker walker(window, place.at, tail_);
    for (bool first = true;; first = false) {
      TM_ASSIGN(const RecordWalker::Step step, walker.next());
      if (step != RecordWalker::Step::kRecord) return Status();
      const RecordHeader& header = walker.record().header;
      // The walk may have come past damage: who looks for a record begins behind it.
      if (first) segments_.add_point({header.seq, static_cast<uint32_t>(walker.at()), header.time_ns});
      tail_ = walker.position();
    }
  }

  Status floor_status_;
};

}  // namespace

Result<std::unique_ptr<Log>> Log::open_damaged(FileSystem& files, const std::string& directory, const Position& known) {
  TM_ASSIGN(const auto names, list_segments(files, directory));
  if (names.empty()) return Status(Code::kNotFound, directory + " holds no log");
  auto log = std::make_unique<DamagedLog>(files, directory, GroupId{});
  TM_TRY(log->take(files, names, known));
  return std::unique_ptr<Log>(std::move(log));
}

}  // namespace tidemark
