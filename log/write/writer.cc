#include "log/write/writer.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/logging.h"
#include "log/format/record_walker.h"

namespace tidemark {
namespace {

constexpr size_t kPartsMax = 1024;  // File::write takes no more
constexpr std::array<std::byte, kRecordAlignment> kPadding{};
constexpr size_t kZeroPart = size_t{64} << 10;
constexpr std::array<std::byte, kZeroPart> kZeros{};

iovec part_of(const std::byte* data, size_t size) { return {const_cast<std::byte*>(data), size}; }

// Adds a part, joining it to the last one where they touch.
void add_part(std::vector<iovec>& parts, const iovec& part) {
  if (part.iov_len == 0) return;
  if (!parts.empty()) {
    iovec& last = parts.back();
    if (static_cast<std::byte*>(last.iov_base) + last.iov_len == part.iov_base) {
      last.iov_len += part.iov_len;
      return;
    }
  }
  parts.push_back(part);
}

Status write_all(File& file, uint64_t at, std::span<const iovec> parts) {
  while (!parts.empty()) {
    const auto some = parts.first(std::min(parts.size(), kPartsMax));
    TM_TRY(file.write(at, some));
    for (const iovec& part : some) at += part.iov_len;
    parts = parts.subspan(some.size());
  }
  return Status();
}

Status check_drafts(std::span<const RecordDraft> drafts) {
  if (drafts.empty() || drafts.size() > kAppendMax) {
    return Status(Code::kInvalid, "an append takes 1 to " + std::to_string(kAppendMax) + " records");
  }
  for (const RecordDraft& draft : drafts) {
    if (draft.type == RecordType::kNone || static_cast<uint8_t>(draft.type) > kRecordTypeMax) {
      return Status(Code::kInvalid, "a record of no known type");
    }
    const bool lz4 = (draft.flags & kFlagLz4) != 0;
    const bool fits = lz4 ? draft.type == RecordType::kData && draft.payload.size() < draft.raw_length
                          : draft.payload.size() == draft.raw_length;
    if (!fits || draft.raw_length > kPayloadMax || (draft.flags & ~kFlagLz4) != 0) {
      return Status(Code::kInvalid, "a draft whose lengths or flags contradict each other");
    }
  }
  return Status();
}

// Removing stays possible for a while where adding no longer is.
bool only_remove(std::span<const RecordDraft> drafts) {
  return std::all_of(drafts.begin(), drafts.end(), [](const RecordDraft& draft) {
    switch (draft.type) {
      case RecordType::kUnlink:
      case RecordType::kFree:
      case RecordType::kTruncate:
      case RecordType::kPunch:
      case RecordType::kRemoveXattr: return true;
      default: return false;
    }
  });
}

}  // namespace

LogWriter::LogWriter(std::shared_ptr<SegmentPool> files, Clock& clock, const std::string& directory,
                     const LogOptions& options, const Recovered& recovered, const Floor& floor, std::shared_ptr<File> tail)
    : Log(*files, directory, recovered.group),
      pool_(std::move(files)),
      files_(*pool_),
      clock_(clock),
      directory_(directory),
      options_(options),
      lost_to_(recovered.lost_to.value_or(Seq())),
      note_(*pool_, directory, recovered.group),
      appended_(recovered.end.seq.value()),
      syncing_(recovered.end.seq.value()),
      durable_(recovered.end.seq.value()) {
  packs_.replace(floor);
  for (const RecoveredSegment& segment : recovered.segments) {
    segments_.add(segment.known, &segment == &recovered.segments.back() ? tail : nullptr);
  }
  const RecoveredSegment& last = recovered.segments.back();
  auto live = std::make_shared<Live>();
  live->known = last.known;
  live->bytes_max = bytes_of_next_segment();
  live->header.flags = last.flags;
  live->header.group = recovered.group;
  live->header.before = last.known.before;
  live->file = std::move(tail);
  live->born = true;
  live->used = last.known.bytes;
  live->file_bytes = recovered.lost_to ? last.file_bytes : last.known.bytes;
  {
    MutexLock lock(append_mutex_);
    tail_ = {live, last.known.bytes, live->file_bytes, last.records, last.known.bytes, recovered.end, recovered.end_time_ns};
  }
  MutexLock lock(state_mutex_);
  live_.push_back(live);
  tail_position_ = durable_position_ = recovered.end;
  noted_ = note_.noted();
  settled_ = note_.settled().value();
  for (const DamagedRecord& each : recovered.damaged) damaged_[each.header.seq] = each.location;
  unwritten_ = {live->file, last.known.bytes, last.known.bytes};
  if (options_.commit_interval.count() > 0) timer_ = std::thread([this] { run_timer(); });
}

LogWriter::~LogWriter() { close(); }

Result<std::vector<Appended>> LogWriter::append(std::span<const RecordDraft> drafts, Epoch epoch) {
  TM_TRY(check_drafts(drafts));
  Buffer heads(drafts.size() * kRecordHeaderSize);
  std::vector<Sealed> records(drafts.size());
  std::vector<Appended> result;
  result.reserve(drafts.size());
  {
    MutexLock lock(append_mutex_);
    if (epoch == Epoch() || epoch < tail_.position.epoch) {
      return Status(Code::kStaleEpoch, "epoch " + std::to_string(epoch.value()) + " is over: the log is at epoch " +
                                           std::to_string(tail_.position.epoch.value()));
    }
    uint64_t bytes = 0;
    for (const RecordDraft& draft : drafts) bytes += kRecordHeaderSize + draft.payload.size() + kRecordAlignment;
    TM_TRY(before_append(false, bytes, only_remove(drafts)));
    Position position = tail_.position;
    const int64_t time_ns = time_of_append();
    for (size_t i = 0; i < drafts.size(); ++i) {
      const RecordDraft& draft = drafts[i];
      RecordHeader& header = records[i].header;
      const uint8_t after_sync = durable() == position.seq ? kFlagAfterSync : 0;
      header = {draft.type,
                static_cast<uint8_t>(draft.flags | after_sync),
                draft.volume,
                epoch,
                position.seq.next(),
                time_ns,
                draft.ino,
                draft.raw_length,
                static_cast<uint32_t>(draft.payload.size()),
                draft.payload_check,
                0};
      const HeaderBytes sealed = seal_header(header, position.chain);
      std::byte* head = heads.data() + i * kRecordHeaderSize;
      std::memcpy(head, sealed.data(), sealed.size());
      position = header.position();
      const size_t padding = header.size_in_log() - kRecordHeaderSize - draft.payload.size();
      records[i].parts = {part_of(head, kRecordHeaderSize), part_of(draft.payload.data(), draft.payload.size()),
                          part_of(kPadding.data(), padding)};
    }
    TM_ASSIGN(const auto locations, write_batch(records));
    for (size_t i = 0; i < records.size(); ++i) result.push_back({records[i].header, locations[i]});
  }
  start_writeback();
  return result;
}

Result<std::vector<Location>> LogWriter::append_verified(const VerifiedRun& run) {
  std::vector<Location> locations;
  if (run.empty()) return locations;
  std::vector<Sealed> records(run.records().size());
  for (size_t i = 0; i < records.size(); ++i) {
    const RecordView& record = run.records()[i];
    records[i].header = record.header;
    records[i].parts[0] = part_of(record.whole.data(), record.whole.size());
  }
  {
    MutexLock lock(append_mutex_);
    if (run.before() != tail_.position) {
      return Status(Code::kInvalid, "the records do not follow record " + std::to_string(tail_.position.seq.value()));
    }
    TM_TRY(before_append(true, run.bytes().size(), false));
    TM_ASSIGN(locations, write_batch(records));
  }
  start_writeback();
  return locations;
}

Status LogWriter::before_append(bool received, uint64_t bytes, bool removes) {
  if (poisoned_.load(std::memory_order_acquire)) return health();
  TM_TRY(wait_for_room());
  TM_TRY(check_space(bytes, removes));
  return take_role(received);
}

Status LogWriter::check_space(uint64_t bytes, bool removes) {
  if (bytes > space_credit_) {
    TM_ASSIGN(FileSystemSpace space, files_.space(directory_));
    if (space.available_bytes < options_.reserve_bytes + bytes && tail_.records > 0 && pool_->room_elsewhere()) {
      TM_TRY(start_born_segment(tail_.segment->header.flags));
      TM_ASSIGN(space, files_.space(directory_));
    }
    const uint64_t reserve = removes ? options_.reserve_bytes / 2 : options_.reserve_bytes;
    if (space.available_bytes < reserve + bytes) return refuse_full(space);
    space_credit_ = bytes;
    if (const uint64_t taken = options_.reserve_bytes + bytes; space.available_bytes > taken) {
      space_credit_ += std::min(kSpaceCheckStep, space.available_bytes - taken);
      if (std::exchange(full_, false)) log_info("the disk of " + directory_ + " has space again");
    }
  }
  space_credit_ -= bytes;
  return Status();
}

// Said to the operator once: every application hears of it by its own errno.
Status LogWriter::refuse_full(const FileSystemSpace& space) {
  space_credit_ = 0;
  Status full(Code::kNoSpace,
              "the disk of " + directory_ + " is full (" + std::to_string(space.available_bytes >> 20) + " MiB free, " +
                  std::to_string(options_.reserve_bytes >> 20) +
                  " MiB are kept in reserve); make room outside the volume or enlarge the disk: files removed inside the "
                  "volume stay in its history",
              ENOSPC);
  if (!std::exchange(full_, true)) log_warning(full.text());
  return full;
}

Result<std::vector<Location>> LogWriter::write_batch(std::span<const Sealed> records) {
  Tail tail = tail_;
  Batch batch;
  batch.locations.reserve(records.size());
  if (Status written = write_records(records, tail, batch); !written.ok()) {
    // Out of space leaves the log as it was; after any other failed write nobody knows what the disk holds.
    Status undone = batch.write_failed ? written : undo(batch);
    if (!undone.ok()) return poison(undone);
    space_credit_ = 0;
    return written;
  }
  commit(tail, batch);
  return std::move(batch.locations);
}

Status LogWriter::write_records(std::span<const Sealed> records, Tail& tail, Batch& batch) {
  size_t from = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const RecordHeader& header = records[i].header;
    const bool full = tail.offset + bytes + header.size_in_log() > tail.segment->bytes_max;
    if (tail.records > 0 && (full || steps_back(header, tail, bytes))) {
      TM_TRY(write_stretch(records.subspan(from, i - from), bytes, tail, batch));
      from = i;
      bytes = 0;
      TM_ASSIGN(auto segment, make_segment(tail, role_of(tail.segment->header.flags), tail.position));
      batch.finished.push_back(tail);
      batch.made.push_back(segment);
      move_to(std::move(segment), tail);
    }
    const auto offset = static_cast<uint32_t>(tail.offset + bytes);
    batch.locations.push_back({tail.segment->known.first_seq.value(), offset});
    if (offset - tail.last_point >= kIndexSpacing) {
      batch.points.push_back({header.seq, offset, header.time_ns});
      tail.last_point = offset;
    }
    if (tail.records++ == 0) tail.segment->known.first_time_ns = header.time_ns;
    bytes += header.size_in_log();
    tail.position = header.position();
    tail.time_ns = header.time_ns;
  }
  return write_stretch(records.subspan(from), bytes, tail, batch);
}

// Where the clock was set back times go back with it, in a segment of its own, so that the search for a time finds its way. By less, and
// more often, it is the last record's time again: clocks of this kind are put right in small steps.
int64_t LogWriter::time_of_append() {
  const int64_t wall = clock_.wall_ns();
  if (wall >= tail_.time_ns) return wall;
  const int64_t now = clock_.steady_ns();
  if (tail_.time_ns - wall <= kStepBackMin || (stepped_at_ != 0 && now - stepped_at_ < kStepBackEvery)) return tail_.time_ns;
  stepped_at_ = now;
  if (tail_.position.seq != Seq()) {
    log_warning("the clock was set back by " + std::to_string((tail_.time_ns - wall) / 1'000'000'000) +
                " s: from here on records of " + directory_ + " have earlier times than those before them");
  }
  return wall;
}

// A log that is received has whatever times it has: there it takes a segment of some size, since its files are counted by nobody.
bool LogWriter::steps_back(const RecordHeader& header, const Tail& tail, uint64_t bytes) {
  if (header.time_ns >= tail.time_ns) return false;
  return (tail.segment->header.flags & kSegmentReceived) == 0 || tail.offset + bytes >= kReceivedStepBytes;
}

// Writes records of one segment, with zeros ahead where syncs have been small.
Status LogWriter::write_stretch(std::span<const Sealed> records, uint64_t bytes, Tail& tail, Batch& batch) {
  if (records.empty()) return Status();
  batch.touched = true;
  std::vector<iovec> parts;
  parts.reserve(records.size() * 2 + 2 + kZeroAhead / kZeroPart);
  uint64_t at = tail.offset;
  if (tail.file_bytes < kSegmentHeaderSize) {
    // The header's place is written with the first records: the header itself, later, must not run out of space.
    at = 0;
    parts.push_back(part_of(kZeros.data(), kSegmentHeaderSize));
  }
  for (const Sealed& record : records) {
    for (const iovec& part : record.parts) add_part(parts, part);
  }
  const uint64_t end = tail.offset + bytes;
  const size_t plain = parts.size();
  uint64_t zero_end = end;
  if (small_syncs_.load(std::memory_order_relaxed) && end > tail.file_bytes) {
    zero_end = std::max(end, std::min<uint64_t>(end + kZeroAhead, tail.segment->bytes_max));
    for (uint64_t from = end; from < zero_end; from += kZeroPart) {
      parts.push_back(part_of(kZeros.data(), static_cast<size_t>(std::min<uint64_t>(kZeroPart, zero_end - from))));
    }
  }
  Status written = write_all(*tail.segment->file, at, parts);
  if (written.code() == Code::kNoSpace && zero_end > end) {
    zero_end = end;
    written = write_all(*tail.segment->file, at, std::span(parts).first(plain));
  }
  batch.write_failed = !written.ok() && written.code() != Code::kNoSpace;
  TM_TRY(written);
  tail.offset = end;
  tail.file_bytes = std::max(tail.file_bytes, zero_end);
  return Status();
}

// On a disk with little room segments are smaller: a prune moves what is needed of one before it can free it.
uint32_t LogWriter::bytes_of_next_segment() {
  const auto space = files_.space(directory_);
  const bool roomy = !space.ok() || space->available_bytes >= options_.reserve_bytes + kRoomyBytes;
  return roomy ? options_.segment_bytes : std::min(options_.segment_bytes, kTightSegmentBytes);
}

// The file of the segment that comes after `previous`. Its header waits until everything before it is durable.
Result<std::shared_ptr<LogWriter::Live>> LogWriter::make_segment(const Tail& previous, uint16_t flags,
                                                                 const Position& before) {
  auto live = std::make_shared<Live>();
  live->known.first_seq = before.seq.next();
  live->known.before = before;
  live->bytes_max = bytes_of_next_segment();
  live->header = {flags, static_cast<uint32_t>(previous.offset), previous.records, group(), before};
  TM_ASSIGN(live->file, files_.open(segment_path(directory_, live->known.first_seq), FileSystem::Open::kCreateNew));
  return live;
}

void LogWriter::move_to(std::shared_ptr<Live> segment, Tail& tail) const {
  tail.segment = std::move(segment);
  tail.offset = kSegmentHeaderSize;
  tail.file_bytes = 0;
  tail.records = 0;
  tail.last_point = kSegmentHeaderSize;
}

void LogWriter::commit(const Tail& tail, const Batch& batch) {
  const Seq before = appended();
  const auto publish = [&](const Tail& done) TM_REQUIRES(state_mutex_) {
    Live& live = *done.segment;
    appended_bytes_ += done.offset - live.used;
    live.used = done.offset;
    live.file_bytes = done.file_bytes;
    segments_.set_used(live.known.first_seq, done.offset, live.known.first_time_ns);
  };
  MutexLock lock(state_mutex_);
  CHECK_INVARIANT(tail.position.seq > before && tail.position.epoch >= tail_position_.epoch);
  for (const auto& segment : batch.made) {
    segments_.add({segment->known.first_seq, segment->known.before, kSegmentHeaderSize, 0}, segment->file);
    live_.push_back(segment);
  }
  for (const Tail& done : batch.finished) {
    publish(done);
    done.segment->complete = true;
  }
  publish(tail);
  for (const IndexPoint& point : batch.points) segments_.add_point(point);
  if (unwritten_.file != tail.segment->file) unwritten_ = {tail.segment->file, 0, 0};
  unwritten_.to = tail.offset;
  tail_position_ = tail.position;
  appended_.store(tail.position.seq.value(), std::memory_order_release);
  tail_ = tail;
  if (before == durable()) unsynced_since_ = std::chrono::steady_clock::now();
  if (timer_sleeps_ || !batch.made.empty()) timer_wake_.notify_one();  // who appends and syncs all the time wakes it once
}

// Takes back what a batch may have written behind the tail and every segment it made, durably: records whose append failed
// must not come back after a crash.
Status LogWriter::undo(const Batch& batch) {
  for (const auto& segment : batch.made) TM_TRY(files_.remove(segment_path(directory_, segment->known.first_seq)));
  if (!batch.made.empty()) TM_TRY(files_.sync_directory(directory_));
  if (!batch.touched || keeps_rest(tail_)) return Status();  // what was written there is what has been there
  TM_TRY(tail_.segment->file->truncate(tail_.offset));
  tail_.file_bytes = tail_.offset;
  TM_TRY(tail_.segment->file->sync());
  MutexLock lock(state_mutex_);
  tail_.segment->file_bytes = tail_.file_bytes;
  return Status();
}

// Records of our own and records received never share a segment: kFlagAfterSync means something in the former only.
Status LogWriter::take_role(bool received) {
  const uint16_t flags = received ? kSegmentReceived : 0;
  if (role_of(tail_.segment->header.flags) == flags) return Status();
  return tail_.records == 0 ? replace_empty_tail(flags) : start_born_segment(flags);
}

Status LogWriter::replace_empty_tail(uint16_t flags) {
  SegmentHeader header;
  SegmentHeaderBytes bytes;
  const std::string path = segment_path(directory_, tail_.segment->known.first_seq);
  TM_TRY(tail_.segment->file->read(0, bytes).status());
  if (decode_segment_header(bytes, header) != SegmentFault::kNone) {
    return poison(Status(Code::kCorrupt, "segment " + path + ": the header changed unexpectedly"));
  }
  header.flags = static_cast<uint16_t>(flags | (header.flags & kSegmentAfterGap));
  bytes = encode_segment_header(header);
  // Should this fail half-way, nobody knows which file has the name: nothing may be appended to either.
  if (Status written = write_file_atomically(files_, path, as_text(bytes)); !written.ok()) return poison(written);
  auto opened = files_.open(path, FileSystem::Open::kReadWrite);
  if (!opened.ok()) return poison(opened.status());
  std::shared_ptr<File> file = std::move(opened).value();
  auto live = std::make_shared<Live>(*tail_.segment);
  live->header.flags = header.flags;
  live->file = file;
  segments_.replace_file(live->known.first_seq, file);
  tail_.segment = live;
  MutexLock lock(state_mutex_);
  CHECK_INVARIANT(live_.size() == 1);
  live_.front() = live;
  unwritten_ = {file, tail_.offset, tail_.offset};
  return Status();
}

// A role changes once in a long while: everything before is made durable first, so that the new segment is born at once.
Status LogWriter::start_born_segment(uint16_t flags) {
  TM_TRY(sync(kLatest));
  TM_ASSIGN(const auto live, write_born_segment(flags, tail_.position));
  take_over(live);
  return Status();
}

// The file and its header, durable. Nothing of the log has changed yet.
Result<std::shared_ptr<LogWriter::Live>> LogWriter::write_born_segment(uint16_t flags, const Position& before) {
  TM_ASSIGN(const auto live, make_segment(tail_, flags, before));
  const SegmentHeaderBytes header = encode_segment_header(live->header);
  const iovec part = part_of(header.data(), header.size());
  Status made = live->file->write(0, {&part, 1});
  if (made.ok()) made = live->file->sync();
  if (made.ok()) made = files_.sync_directory(directory_);
  if (!made.ok()) {
    Status removed = files_.remove(segment_path(directory_, live->known.first_seq));
    if (removed.ok()) removed = files_.sync_directory(directory_);
    return made.code() == Code::kNoSpace && removed.ok() ? made : poison(made);
  }
  live->born = true;
  live->file_bytes = kSegmentHeaderSize;
  return live;
}

// From here on `live` is the segment that is appended to; all before it is durable.
void LogWriter::take_over(const std::shared_ptr<Live>& live) {
  segments_.add(live->known, live->file);
  MutexLock lock(state_mutex_);
  CHECK_INVARIANT(live_.size() == 1);
  segments_.unpin(live_.front()->known.first_seq);
  live_.front() = live;
  unwritten_ = {live->file, kSegmentHeaderSize, kSegmentHeaderSize};
  move_to(live, tail_);
  tail_.file_bytes = kSegmentHeaderSize;
}

// Outside every lock: the kernel may make this wait for the disk.
void LogWriter::start_writeback() {
  Stretch stretch;
  {
    MutexLock lock(state_mutex_);
    if (unwritten_.to - unwritten_.from < kWritebackStep) return;
    stretch = unwritten_;
    unwritten_.from = unwritten_.to;
  }
  Status started = stretch.file->start_writeback(stretch.from, stretch.to - stretch.from);
  const int error = started.sys_errno();
  const bool unsupported = error == EINVAL || error == ENOSYS || error == ESPIPE || error == EOPNOTSUPP;
  if (!started.ok() && !unsupported) (void)poison(started);
}

Position LogWriter::tail_position() const {
  MutexLock lock(state_mutex_);
  return tail_position_;
}

Status LogWriter::health() const {
  MutexLock lock(state_mutex_);
  return poison_;
}

}  // namespace tidemark
