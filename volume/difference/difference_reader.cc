#include <algorithm>

#include "volume/difference/difference.h"
#include "volume/difference/gap_rows.h"
#include "volume/history/base_image.h"
#include "volume/tree/chunk_map.h"

namespace tidemark {
namespace {

constexpr size_t kFramesAtOnce = 8;               // of rows, looked through in one call
constexpr size_t kWantedMax = size_t{1} << 20;    // records in one round: 40 MiB
constexpr size_t kHeldMarksMax = 10'000;          // said one by one
constexpr size_t kRowsPiece = size_t{256} << 10;  // a piece of rows ends when it has this much; a frame more at most

}  // namespace

Result<std::unique_ptr<DifferenceReader>> DifferenceReader::open(FileSystem& files, const std::string& directory, Log& log,
                                                                 std::shared_ptr<TreeView> held, const Position& from) {
  std::unique_ptr<DifferenceReader> made(new DifferenceReader(log, std::move(held)));
  std::string path = base_image_path(directory, log.base());
  if (from.seq >= log.base()) {
    const auto gaps = log.gaps();
    const auto gap = std::find_if(gaps.begin(), gaps.end(), [&](const Gap& each) { return each.from == from; });
    if (gap == gaps.end()) return Status(Code::kInvalid, "the log has what follows seq " + std::to_string(from.seq.value()));
    path = gap_rows_path(directory, gap->to.seq);
    made->gap_rows_ = true;
  }
  TM_ASSIGN(made->rows_, RowFileReader::open(files, path));
  made->offer_ = {from, made->rows_->header()};
  if (from.seq != Seq() && made->offer_.target.tombstones_from > from.seq) {
    return Status(Code::kNotFound,
                  "deletions after seq " + std::to_string(from.seq.value()) +
                      " are no longer known here, so a copy that ends there cannot be updated by a difference");
  }
  if (from.seq != Seq() && !made->gap_rows_) made->held_marks_.emplace();
  return made;
}

void DifferenceReader::begin(Ino next_ino, Seq staged) {
  next_ino_ = next_ino;
  after_ = std::max(offer_.from.seq, staged);
}

Result<DifferencePiece> DifferenceReader::next(size_t bytes_max) {
  switch (phase_) {
    case Phase::kCollect: return collect();
    case Phase::kRecords: return send_records(bytes_max);
    case Phase::kRows: return send_rows(bytes_max);
    case Phase::kEnd: break;
  }
  return DifferencePiece{DifferencePiece::Kind::kEnd, {}};
}

// --- records

Result<DifferencePiece> DifferenceReader::collect() {
  bool more = true;
  for (size_t i = 0; more && i < kFramesAtOnce; ++i) {
    TM_ASSIGN(more, rows_->next_frame([&](std::string_view key, std::string_view value) {
      return key[0] == 'E' && seq_of(key) > offer_.from.seq ? want(value) : Status();
    }));
  }
  if (more) return DifferencePiece{};
  keep_lowest();
  bytes_left_ = 0;
  for (const Wanted& each : wanted_) bytes_left_ += each.bytes;
  sent_ = 0;
  rows_->rewind();
  phase_ = wanted_.empty() ? Phase::kRows : Phase::kRecords;
  return DifferencePiece{};
}

Status DifferenceReader::want(std::string_view value) {
  TM_ASSIGN(const ExtentRow row, decode_extent_row(value));
  for (const ChunkRun& run : row.runs) {
    if (run.extent.seq <= after_) continue;
    wanted_.push_back({run.extent.seq, run.extent.location, uint32_t{run.count} * kBlockSize});
    if (wanted_.size() >= 2 * kWantedMax) keep_lowest();
  }
  return Status();
}

// Each record once; where there are too many, the lowest of them now and the others in another round.
void DifferenceReader::keep_lowest() {
  std::sort(wanted_.begin(), wanted_.end(), [](const Wanted& a, const Wanted& b) { return a.seq < b.seq; });
  size_t kept = 0;
  for (const Wanted& each : wanted_) {
    if (kept > 0 && wanted_[kept - 1].seq == each.seq) {
      wanted_[kept - 1].bytes += each.bytes;
    } else {
      wanted_[kept++] = each;
    }
  }
  more_wanted_ = more_wanted_ || kept > kWantedMax;
  wanted_.resize(std::min(kept, kWantedMax));
}

Result<DifferencePiece> DifferenceReader::send_records(size_t bytes_max) {
  out_.clear();
  for (; sent_ < wanted_.size(); ++sent_) {
    TM_ASSIGN(const RecordView record, log_.read_record(wanted_[sent_].location, record_));
    if (record.header.seq != wanted_[sent_].seq) {
      return Status(Code::kCorrupt, "record " + std::to_string(wanted_[sent_].seq.value()) + " is not where the index says");
    }
    if (!out_.empty() && out_.size() + record.whole.size() > bytes_max) break;
    out_.append(as_text(record.whole));
    bytes_left_ -= std::min<uint64_t>(bytes_left_, wanted_[sent_].bytes);
  }
  if (!out_.empty()) return DifferencePiece{DifferencePiece::Kind::kRecords, as_bytes(out_)};
  if (!wanted_.empty()) after_ = wanted_.back().seq;
  wanted_.clear();
  phase_ = more_wanted_ ? Phase::kCollect : Phase::kRows;
  more_wanted_ = false;
  return DifferencePiece{};
}

// --- rows

Result<DifferencePiece> DifferenceReader::send_rows(size_t bytes_max) {
  out_.clear();
  while (!rows_end_ && out_.size() < std::min(kRowsPiece, bytes_max / 4)) {
    TM_ASSIGN(const bool more,
              rows_->next_frame([&](std::string_view key, std::string_view value) { return send_row(key, value); }));
    rows_end_ = !more;
  }
  if (!out_.empty()) return DifferencePiece{DifferencePiece::Kind::kRows, as_bytes(out_)};
  phase_ = Phase::kEnd;
  return DifferencePiece{};
}

Status DifferenceReader::send_row(std::string_view key, std::string_view value) {
  bool send = false;
  switch (key[0]) {
    case 'I':
    case 'D':
    case 'X':
    case 'E': send = seq_of(key) > offer_.from.seq; break;
    case 'L': send = Ino(load_be64(key.data() + 1)) >= next_ino_; break;
    case 'K': {
      TM_ASSIGN(const Mark mark, decode_mark_row(value));
      send = gap_rows_ || mark.seq > offer_.from.seq;
      if (send || !mark.held) break;
      if (held_marks_->size() == kHeldMarksMax) {
        return Status(Code::kLimit, "more than " + std::to_string(kHeldMarksMax) + " marks are held");
      }
      held_marks_->push_back(mark.id);
      break;
    }
    default: break;  // what follows from the others
  }
  if (send) Encoder(out_).put_text16(key).put_text32(value);
  return Status();
}

}  // namespace tidemark
