#include "log/recovery.h"

#include <algorithm>

namespace tidemark {
namespace {

struct Head {
  SegmentFault fault = SegmentFault::kNone;
  SegmentHeader header;
  uint64_t file_bytes = 0;
  int64_t first_time_ns = 0;  // 0: no record there
};

// The segment's header, and the time of its first record. A first record that is not sound is for the walk to judge in the
// last segment; in all others it is damage.
Result<Head> read_head(FileSystem& files, const std::string& directory, Seq first_seq, bool* first_record_sound) {
  TM_ASSIGN(const auto file, files.open(segment_path(directory, first_seq), FileSystem::Open::kRead));
  std::array<std::byte, kSegmentHeaderSize + kRecordHeaderSize> bytes;
  Head head;
  TM_ASSIGN(head.file_bytes, file->size());
  TM_ASSIGN(const size_t got, file->read(0, bytes));
  const Bytes held = Bytes(bytes).first(got);
  head.fault = decode_segment_header(held.first(std::min<size_t>(got, kSegmentHeaderSize)), head.header);
  *first_record_sound = false;
  if (head.fault != SegmentFault::kNone || got < bytes.size()) return head;
  RecordHeader record;
  const Bytes first = held.subspan(kSegmentHeaderSize);
  *first_record_sound = decode_header(first, record) == RecordFault::kNone &&
                        check_follows(record, first, head.header.before) == RecordFault::kNone;
  if (*first_record_sound) head.first_time_ns = record.time_ns;
  return head;
}

const Gap* gap_before(const Floor& floor, Seq first_seq) {
  for (const Gap& gap : floor.gaps) {
    if (gap.to.seq.next() == first_seq) return &gap;
  }
  return nullptr;
}

// A header that is sound must also be where it belongs. `gap`: the one that ends right before it; null: there is none.
Status check_head(const Head& head, Seq first_seq, const SegmentList& list, const Gap* gap) {
  const auto corrupt = [&](const std::string& what) { return corrupt_segment(first_seq, 0, first_seq, what); };
  if (head.header.first_seq() != first_seq) {
    return corrupt("its header says it begins at seq " + std::to_string(head.header.first_seq().value()));
  }
  const bool after_gap = (head.header.flags & kSegmentAfterGap) != 0;
  if (list.born.empty()) return Status();
  if (after_gap && (gap == nullptr || gap->to != head.header.before)) return corrupt("the log's floor has no gap before it");
  if (head.header.group != list.group) return corrupt("it belongs to group " + group_id_text(head.header.group));
  const RecoveredSegment& previous = list.born.back();
  const uint64_t previous_first = (after_gap ? gap->from.seq.next() : first_seq).value() - head.header.previous_records;
  if (previous_first != previous.known.first_seq.value()) {
    return corrupt("the segment before it, which begins at seq " + std::to_string(previous_first) + ", is missing");
  }
  if (head.header.before.epoch < previous.known.before.epoch)
    return corrupt("its epoch is lower than the segment's before it");
  if (previous.file_bytes < head.header.previous_bytes) {
    return corrupt_segment(previous.known.first_seq, previous.file_bytes, Seq(),
                           "the segment is cut short: it had " + std::to_string(head.header.previous_bytes) + " bytes");
  }
  return Status();
}

Status corrupt_header(Seq first_seq, SegmentFault fault) {
  switch (fault) {
    case SegmentFault::kVersion:
      return Status(Code::kUnsupported, "segment " + segment_name(first_seq) + " has a format newer than this program");
    case SegmentFault::kUnborn: return corrupt_segment(first_seq, 0, first_seq, "the segment has no header");
    default: return corrupt_segment(first_seq, 0, first_seq, "the segment's header is damaged");
  }
}

}  // namespace

std::string distrust_path(const std::string& directory) { return directory + "/sync-failed"; }

Result<SegmentList> read_segment_list(FileSystem& files, const std::string& directory, const Floor& floor) {
  TM_ASSIGN(auto names, list_segments(files, directory));
  if (const auto kept = oldest_kept(names, floor.base.seq))
    names.erase(names.begin(), std::find(names.begin(), names.end(), *kept));
  if (names.empty()) return Status(Code::kNotFound, directory + " holds no log");
  SegmentList list;
  SegmentFault headless = SegmentFault::kNone;
  bool previous_sound = true;
  for (Seq first_seq : names) {
    bool sound = false;
    TM_ASSIGN(const Head head, read_head(files, directory, first_seq, &sound));
    if (head.fault == SegmentFault::kVersion) return corrupt_header(first_seq, head.fault);
    if (head.fault != SegmentFault::kNone) {
      if (list.born.empty()) return corrupt_header(first_seq, head.fault);
      list.unborn.push_back(first_seq);
      headless = headless == SegmentFault::kNone ? head.fault : headless;
      continue;
    }
    // A born segment proves that all before it were.
    if (!list.unborn.empty()) return corrupt_header(list.unborn.front(), headless);
    const Gap* gap = gap_before(floor, first_seq);
    if ((head.header.flags & kSegmentAfterGap) != 0 && gap == nullptr && first_seq == names.back() && !list.born.empty()) {
      list.unnamed = first_seq;  // crossing the gap was interrupted before the floor had it
      break;
    }
    TM_TRY(check_head(head, first_seq, list, gap));
    if (!previous_sound && head.header.previous_records > 0) {
      const Seq damaged = list.born.back().known.first_seq;
      return corrupt_segment(damaged, kSegmentHeaderSize, damaged, record_fault_name(RecordFault::kHeaderDamaged));
    }
    previous_sound = sound;
    if (list.born.empty())
      list.group = head.header.group;
    else
      list.born.back().known.bytes = head.header.previous_bytes;
    RecoveredSegment segment;
    segment.known = {first_seq, head.header.before, kSegmentHeaderSize, head.first_time_ns};
    segment.file_bytes = head.file_bytes;
    segment.flags = head.header.flags;
    list.born.push_back(segment);
  }
  return list;
}

namespace {

// The search for the end of the log, over the last born segment and those behind it.
class Search {
 public:
  Search(FileSystem& files, const std::string& directory, Recovered& found)
      : files_(files), directory_(directory), found_(found) {}

  // Walks the records of the last of found_.segments. Sets fault_ to what ended the walk.
  Status walk() {
    RecoveredSegment& segment = found_.segments.back();
    TM_ASSIGN(const auto file, files_.open(segment_path(directory_, segment.known.first_seq), FileSystem::Open::kRead));
    TM_ASSIGN(segment.file_bytes, file->size());
    SegmentWindow window(*file, segment.file_bytes, kWalkStep);
    for (;;) {
      TM_ASSIGN(const Examined record, examine_record(window, segment.known.bytes, found_.end));
      fault_ = record.fault;
      if (fault_ != RecordFault::kNone) break;
      if (segment.known.bytes == kSegmentHeaderSize) segment.known.first_time_ns = record.header.time_ns;
      segment.known.bytes += record.header.size_in_log();
      ++segment.records;
      found_.end = record.header.position();
      found_.end_time_ns = record.header.time_ns;
    }
    TM_ASSIGN(const uint64_t rubbish_end, end_of_content(window, segment.known.bytes));
    if (rubbish_end == segment.known.bytes) return Status();
    const uint64_t torn = rubbish_end - segment.known.bytes;
    found_.torn_bytes += (torn + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
    if (fault_ == RecordFault::kUnwritten) fault_ = RecordFault::kHeaderDamaged;  // zeros, but not to the end
    return Status();
  }

  // True if the walk came to a clean end.
  [[nodiscard]] bool clean() const { return fault_ == RecordFault::kUnwritten; }

  // The unborn segment `first_seq`, if it continues the log exactly.
  Result<bool> adopt(Seq first_seq) {
    if (first_seq != found_.end.seq.next()) return false;
    RecoveredSegment next;
    next.known.first_seq = first_seq;
    next.known.before = found_.end;
    next.born = false;
    next.flags = role_of(found_.segments.back().flags);
    found_.segments.push_back(next);
    const uint64_t torn_before = found_.torn_bytes;
    const RecordFault fault_before = fault_;
    TM_TRY(walk());
    if (found_.segments.back().records > 0) return true;
    found_.segments.pop_back();
    found_.torn_bytes = torn_before;
    fault_ = fault_before;
    return false;
  }

  // kCorrupt if anything in the segment from byte `from` on proves that the record after found_.end had been durable: a
  // younger record that was written when all before it were. Such a record is no older than the log's end, so a copy of
  // another log inside a torn payload passes for one only if it came from the future.
  Status look_for_proof(Seq first_seq, uint64_t from) {
    if ((found_.segments.back().flags & kSegmentReceived) != 0) return Status();
    TM_ASSIGN(const auto file, files_.open(segment_path(directory_, first_seq), FileSystem::Open::kRead));
    TM_ASSIGN(const uint64_t size, file->size());
    SegmentWindow window(*file, size, kWalkStep);
    scanned_ += size - std::min(size, from);
    const Seq lost = found_.end.seq.next();
    const Seq most(lost.value() + scanned_ / kRecordHeaderSize + 1);
    for (;;) {
      TM_ASSIGN(const auto proof, find_header(window, from, lost.next(), most));
      if (!proof) return Status();
      const RecordHeader& header = proof->header;
      if ((header.flags & kFlagAfterSync) != 0 && header.epoch >= found_.end.epoch && header.time_ns >= found_.end_time_ns) {
        return damaged(" (record " + std::to_string(header.seq.value()) + " in " + segment_name(first_seq) + " at byte " +
                       std::to_string(proof->at) + " proves that it had been durable)");
      }
      TM_ASSIGN(const bool sound, payload_sound(window, *proof));
      from = proof->at + (sound ? header.size_in_log() : kRecordAlignment);
    }
  }

  [[nodiscard]] Status damaged(const std::string& why) const {
    const RecoveredSegment& segment = found_.segments.back();
    const std::string_view fault = clean() ? "the record is missing" : record_fault_name(fault_);
    return corrupt_segment(segment.known.first_seq, segment.known.bytes, found_.end.seq.next(), std::string(fault) + why);
  }

 private:
  static Result<bool> payload_sound(SegmentWindow& window, const Found& found) {
    TM_ASSIGN(const Bytes whole, window.view(found.at, found.header.size_in_log()));
    return whole.size() == found.header.size_in_log() &&
           check_payload(found.header, whole.subspan(kRecordHeaderSize, found.header.stored_length)) == RecordFault::kNone;
  }

  FileSystem& files_;
  const std::string& directory_;
  Recovered& found_;
  RecordFault fault_ = RecordFault::kNone;
  uint64_t scanned_ = 0;
};

// Writes the used part of a segment once more, so that pages a failed sync left behind are dirty again.
Status rewrite(File& file, uint64_t bytes) {
  Buffer buffer(kWalkStep);
  for (uint64_t at = 0; at < bytes;) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(buffer.size(), bytes - at));
    TM_ASSIGN(const size_t got, file.read(at, buffer.span().first(size)));
    if (got == 0) return Status(Code::kIo, "a segment became shorter while it was read");
    const iovec part{buffer.data(), got};
    TM_TRY(file.write(at, {&part, 1}));
    at += got;
  }
  return Status();
}

}  // namespace

Result<Recovered> examine_log(FileSystem& files, const std::string& directory, Seq known_durable) {
  TM_ASSIGN(const Floor floor, read_floor(files, directory));
  TM_ASSIGN(SegmentList list, read_segment_list(files, directory, floor));
  Recovered found;
  found.group = list.group;
  found.segments = std::move(list.born);
  found.last_born = found.segments.size() - 1;
  found.end = found.segments.back().known.before;

  Search search(files, directory, found);
  TM_TRY(search.walk());
  size_t adopted = 0;
  for (bool more = true; more && search.clean() && adopted < list.unborn.size();) {
    TM_ASSIGN(more, search.adopt(list.unborn[adopted]));
    if (more) ++adopted;
  }
  if (found.end.seq < known_durable) {
    return search.damaged(" (records up to " + std::to_string(known_durable.value()) + " are known to have been durable)");
  }
  if (!search.clean())
    TM_TRY(search.look_for_proof(found.segments.back().known.first_seq, found.segments.back().known.bytes));
  for (size_t i = adopted; i < list.unborn.size(); ++i) {
    TM_TRY(search.look_for_proof(list.unborn[i], kSegmentHeaderSize));
    found.removed.push_back(list.unborn[i]);
  }
  if (list.unnamed) found.removed.push_back(*list.unnamed);
  return found;
}

Status repair_log(FileSystem& files, const std::string& directory, const Recovered& recovered) {
  for (size_t i = recovered.removed.size(); i > 0; --i) {
    TM_TRY(files.remove(segment_path(directory, recovered.removed[i - 1])));
  }
  TM_TRY(files.sync_directory(directory));
  TM_ASSIGN(const bool distrusted, files.exists(distrust_path(directory)));
  for (size_t i = recovered.last_born; i < recovered.segments.size(); ++i) {
    const RecoveredSegment& segment = recovered.segments[i];
    TM_ASSIGN(const auto file, files.open(segment_path(directory, segment.known.first_seq), FileSystem::Open::kReadWrite));
    if (segment.file_bytes > segment.known.bytes) TM_TRY(file->truncate(segment.known.bytes));
    if (distrusted) TM_TRY(rewrite(*file, segment.known.bytes));
    if (!segment.born) {
      // Its predecessor became durable in the round before this one.
      const RecoveredSegment& previous = recovered.segments[i - 1];
      const SegmentHeaderBytes header = encode_segment_header({segment.flags, static_cast<uint32_t>(previous.known.bytes),
                                                               previous.records, recovered.group, segment.known.before});
      const iovec part{const_cast<std::byte*>(header.data()), header.size()};
      TM_TRY(file->write(0, {&part, 1}));
    }
    TM_TRY(file->sync());
  }
  if (distrusted) {
    TM_TRY(files.remove(distrust_path(directory)));
    TM_TRY(files.sync_directory(directory));
  }
  return Status();
}

}  // namespace tidemark
