// The half of the log writer that gives up the newest records of a copy: those that their source never had on its own disk.
#include <algorithm>

#include "base/logging.h"
#include "log/format/record_walker.h"
#include "log/read/cursor.h"
#include "log/write/aside.h"
#include "log/write/writer.h"

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kNotingStep{1};

// What is left of the segment with the cut.
struct Kept {
  std::string content;
  SegmentHeader header;
  uint32_t records = 0;
  int64_t first_time_ns = 0;
};

Result<Kept> read_kept(File& file, const Location& end) {
  Kept kept;
  kept.content.resize(end.offset);
  TM_ASSIGN(const size_t got,
            file.read(0, MutableBytes(reinterpret_cast<std::byte*>(kept.content.data()), kept.content.size())));
  const Status changed(Code::kCorrupt, "segment " + segment_name(Seq(end.segment)) + " changed while it was cut");
  if (got != kept.content.size()) return changed;
  const Bytes content = as_bytes(kept.content);
  if (decode_segment_header(content, kept.header) != SegmentFault::kNone) return changed;
  const Status walked = walk_headers(content.subspan(kSegmentHeaderSize), [&](const RecordView& record) {
    if (kept.records++ == 0) kept.first_time_ns = record.header.time_ns;
    return Status();
  });
  if (!walked.ok()) return changed;
  return kept;
}

}  // namespace

Status LogWriter::check_cut(const Position& to) {
  TM_TRY(retire_failed_);
  if (poisoned_.load(std::memory_order_acquire)) return health();
  if (to.seq == Seq() || to.seq >= tail_.position.seq || keeps_rest(tail_)) {
    return Status(Code::kInvalid, "record " + std::to_string(to.seq.value()) + " is not below the log's end");
  }
  if (to.seq < settled()) {
    return Status(Code::kInvalid, "record " + std::to_string(settled().value()) + " is known to be durable at the source");
  }
  TM_ASSIGN(const Position own, position_at(to.seq));
  if (own != to) return Status(Code::kDiverged, "record " + std::to_string(to.seq.value()) + " differs here");
  return Status();
}

// The records that go, as they lie in the log.
Result<std::string> LogWriter::read_tail(const Position& to) {
  std::string records;
  LogCursor cursor(*this, to.seq.next());
  while (cursor.next() <= appended()) {
    TM_ASSIGN(const LogCursor::Run run, cursor.read(kCutMax, appended()));
    if (records.size() + run.bytes.size() > kCutMax) {
      return Status(Code::kLimit, "more than " + std::to_string(kCutMax >> 20) + " MiB of records would be cut");
    }
    records += as_text(run.bytes);
  }
  return records;
}

// What is noted never lies above the log's end: else the next opening would miss what was cut.
Status LogWriter::lower_note(const Position& to) {
  MutexLock lock(state_mutex_);
  while (noting_) (void)changed_.wait_for(state_mutex_, kNotingStep);
  noting_ = true;
  next_note_ = std::chrono::steady_clock::now() + kNoteEvery;
  state_mutex_.unlock();
  const Status lowered = note_.lower(to, settled());
  state_mutex_.lock();
  noting_ = false;
  if (lowered.ok()) noted_ = to.seq;
  return lowered;
}

// Segments behind `kept` go, the newest first; then `kept` is replaced by the beginning of it. Whoever has the old file open reads on in it.
Result<std::shared_ptr<File>> LogWriter::shorten(Seq kept, std::string_view content) {
  const std::vector<SegmentInfo> all = segments_.all();
  for (auto each = all.rbegin(); each != all.rend() && each->first_seq > kept; ++each) {
    TM_TRY(files_.remove(segment_path(directory_, each->first_seq)));
    TM_TRY(files_.sync_directory(directory_));
  }
  const std::string path = segment_path(directory_, kept);
  TM_TRY(write_file_atomically(files_, path, content));
  TM_ASSIGN(auto file, files_.open(path, FileSystem::Open::kReadWrite));
  return std::shared_ptr<File>(std::move(file));
}

// Whatever interrupts this leaves a log that ends at the cut, at the old end or between them.
Status LogWriter::cut(const Position& to) {
  MutexLock lock(append_mutex_);
  TM_TRY(check_cut(to));
  TM_TRY(sync(kLatest));
  TM_ASSIGN(const Location end, locate(to.seq.next()));
  TM_ASSIGN(const std::string records, read_tail(to));
  TM_ASSIGN(const auto open, segments_.open(Seq(end.segment)));
  TM_ASSIGN(const Kept kept, read_kept(*open.file, end));
  TM_ASSIGN(const int64_t time_ns, time_of(to.seq));
  TM_TRY(put_aside(files_, directory_, group(), to, records));
  TM_TRY(lower_note(to));
  TM_TRY(forget_digests(Seq(end.segment)));
  const Seq last = tail_.position.seq;
  auto file = shorten(Seq(end.segment), kept.content);
  if (!file.ok()) return poison(file.status());

  auto live = std::make_shared<Live>();
  live->known = {Seq(end.segment), kept.header.before, end.offset, kept.first_time_ns};
  live->header = kept.header;
  live->file = *file;
  live->born = true;
  live->bytes_max = bytes_of_next_segment();
  live->used = live->file_bytes = end.offset;
  segments_.cut(live->known, *file, to.seq);
  tail_ = {live, end.offset, end.offset, kept.records, end.offset, to, time_ns};
  {
    MutexLock state(state_mutex_);
    CHECK_INVARIANT(live_.size() == 1);
    live_.front() = live;
    unwritten_ = {*file, end.offset, end.offset};
    tail_position_ = durable_position_ = to;
    appended_.store(to.seq.value(), std::memory_order_release);
    syncing_.store(to.seq.value(), std::memory_order_release);
    durable_.store(to.seq.value(), std::memory_order_release);
    damaged_.erase(damaged_.upper_bound(to.seq), damaged_.end());
    tell_all();
  }
  log_warning(directory_ + ": records " + std::to_string(to.seq.next().value()) + " to " + std::to_string(last.value()) +
              " were cut because their source lost them before it acknowledged them; they are kept in " +
              aside_path(directory_));
  return Status();
}

}  // namespace tidemark
