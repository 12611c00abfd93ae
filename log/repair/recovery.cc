#include "log/repair/recovery.h"

#include <algorithm>

#include "log/format/record_walker.h"
#include "log/repair/damage.h"
#include "log/write/durable_note.h"

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
    return corrupt("its epoch is lower than that of the segment before it");
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
  TM_ASSIGN(auto names, list_log_segments(files, directory, floor));
  if (const auto kept = oldest_kept(names, floor)) names.erase(names.begin(), std::find(names.begin(), names.end(), *kept));
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

constexpr int kPayloadSearchesMax = 20;  // for one flipped bit, one walk

// What is known of how far the log was durable, beside what its records say.
struct Known {
  Seq indexed;         // and the index has what is in the records
  Seq durable;         // not less
  bool whole = false;  // no power was lost since the records were written: none is torn that has a sound one behind it
};

// The search for the end of the log, over the last born segment and those behind it. Damage in records up to `believed` is stepped over
// where the order goes on behind it.
class Search {
 public:
  Search(FileSystem& files, const std::string& directory, const Known& known, Seq believed, Recovered& found)
      : files_(files), directory_(directory), known_(known), believed_(believed), found_(found) {}

  // Walks the records of the last of found_.segments. Sets fault_ to what ended the walk.
  Status walk() {
    RecoveredSegment& segment = found_.segments.back();
    TM_ASSIGN(const auto file, files_.open(segment_path(directory_, segment.known.first_seq), FileSystem::Open::kRead));
    TM_ASSIGN(segment.file_bytes, file->size());
    SegmentWindow window(*file, segment.file_bytes, kWalkStep);
    RecordWalker walker(window, segment.known.bytes, found_.end);
    for (;;) {
      TM_ASSIGN(RecordWalker::Step step, walker.next());
      fault_ = step == RecordWalker::Step::kEnd ? RecordFault::kUnwritten : walker.fault();
      if (step == RecordWalker::Step::kDamage && found_.end.seq < believed_) TM_TRY(step_over(window, walker));
      if (fault_ != RecordFault::kNone) break;
      const RecordHeader& header = walker.record().header;
      if (segment.known.bytes == kSegmentHeaderSize) segment.known.first_time_ns = header.time_ns;
      segment.known.bytes = walker.next_at();
      ++segment.records;
      found_.end = walker.position();
      found_.end_time_ns = header.time_ns;
      note_proof(header);
    }
    TM_ASSIGN(const uint64_t rubbish_end, end_of_content(window, segment.known.bytes));
    if (rubbish_end == segment.known.bytes) return Status();
    const uint64_t torn = rubbish_end - segment.known.bytes;
    found_.torn_bytes += (torn + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
    if (fault_ == RecordFault::kUnwritten) fault_ = RecordFault::kHeaderDamaged;  // zeros, but not to the end
    return Status();
  }

  // Records up to here were durable, as records behind them prove.
  [[nodiscard]] Seq proven() const { return proven_; }

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
  // younger record that was written when all before it were (of a received one: any, where no power was lost). Such a record is no older than the log's end, so a copy of
  // another log inside a torn payload passes for one only if it came from the future.
  Status look_for_proof(Seq first_seq, uint64_t from) {
    const bool received = (found_.segments.back().flags & kSegmentReceived) != 0;
    if (received && !known_.whole) return Status();
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
      const bool proves = received || (header.flags & kFlagAfterSync) != 0;
      // Within a segment times do not go back.
      const bool later = header.time_ns >= found_.end_time_ns || first_seq != found_.segments.back().known.first_seq;
      if (proves && header.epoch >= found_.end.epoch && later) {
        proven_ = header.seq.prev();
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
  // A damaged record behind which the order goes on is kept, with one flipped bit of it put right where nothing else would do. fault_ is
  // kNone then.
  Status step_over(SegmentWindow& window, RecordWalker& walker) {
    const RecoveredSegment& segment = found_.segments.back();
    const uint64_t at = walker.at();
    if (found_.damaged.size() + found_.fixes.size() >= kDamagedMax) return Status();
    RecordHeader header = walker.record().header;
    if (fault_ == RecordFault::kHeaderDamaged) {
      TM_ASSIGN(const Bytes head, window.view(at, kRecordHeaderSize));
      const auto bit = find_header_bit(head, found_.end, header);
      if (!bit) return Status();
      found_.fixes.push_back({segment.known.first_seq, at + bit->at, bit->value, header.seq});
      fault_ = RecordFault::kPayloadDamaged;  // until it was looked at
    }
    if (fault_ != RecordFault::kPayloadDamaged) return Status();
    TM_ASSIGN(const Bytes whole, window.view(at, header.size_in_log()));
    if (whole.size() < header.size_in_log()) return Status();  // cut off
    fault_ = RecordFault::kNone;
    walker.accept(header);
    const Bytes payload = whole.subspan(kRecordHeaderSize, header.stored_length);
    const bool payload_sound = check_payload(header, payload) == RecordFault::kNone;
    if (payload_sound && all_zero(whole.subspan(kRecordHeaderSize + header.stored_length))) return Status();
    DamagedRecord damaged{header, {segment.known.first_seq.value(), static_cast<uint32_t>(at)}, true};
    if (!payload_sound && header.seq > known_.indexed && !damaged_in_blocks(header, payload)) {
      const auto bit = searches_++ < kPayloadSearchesMax ? find_payload_bit(header, payload) : std::nullopt;
      if (bit) {
        found_.fixes.push_back({segment.known.first_seq, at + kRecordHeaderSize + bit->at, bit->value, header.seq});
        return Status();
      }
      damaged.tells_the_tree = false;
    }
    found_.damaged.push_back(damaged);
    return Status();
  }

  void note_proof(const RecordHeader& header) {
    const bool received = (found_.segments.back().flags & kSegmentReceived) != 0;
    if (received ? known_.whole : (header.flags & kFlagAfterSync) != 0) proven_ = header.seq.prev();
  }

  static Result<bool> payload_sound(SegmentWindow& window, const FoundHeader& found) {
    TM_ASSIGN(const Bytes whole, window.view(found.at, found.header.size_in_log()));
    return whole.size() == found.header.size_in_log() &&
           check_payload(found.header, whole.subspan(kRecordHeaderSize, found.header.stored_length)) == RecordFault::kNone;
  }

  FileSystem& files_;
  const std::string& directory_;
  const Known& known_;
  const Seq believed_;
  Recovered& found_;
  Seq proven_;
  RecordFault fault_ = RecordFault::kNone;
  uint64_t scanned_ = 0;
  int searches_ = 0;
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

namespace {

// One walk to the end of the log.
struct Walk {
  Recovered found;
  size_t adopted = 0;
};

Status walk_to_end(const SegmentList& list, Search& search, Walk& walk) {
  Recovered& found = walk.found;
  found.group = list.group;
  found.segments = list.born;
  found.last_born = found.segments.size() - 1;
  found.end = found.segments.back().known.before;
  TM_TRY(search.walk());
  for (bool more = true; more && search.clean() && walk.adopted < list.unborn.size();) {
    TM_ASSIGN(more, search.adopt(list.unborn[walk.adopted]));
    if (more) ++walk.adopted;
  }
  return Status();
}

// The newest record up to which what was found can be taken, if records up to `durable` were: nothing behind that is stepped over, and
// nothing of which the tree cannot be told.
Seq believable(const Recovered& found, Seq durable) {
  Seq to = kLatest;
  for (const DamagedRecord& each : found.damaged) {
    if (each.header.seq > durable || !each.tells_the_tree) to = std::min(to, each.header.seq.prev());
  }
  for (const BitFix& each : found.fixes) {
    if (each.seq > durable) to = std::min(to, each.seq.prev());
  }
  return to;
}

}  // namespace

Result<Recovered> examine_log(FileSystem& files, const std::string& directory, Seq indexed) {
  TM_ASSIGN(const Floor floor, read_floor(files, directory));
  TM_ASSIGN(SegmentList list, read_segment_list(files, directory, floor));
  const DurableKnowledge noted = read_durable_note(files, directory, list.group);
  Known known{indexed, std::max(indexed, noted.position.seq), noted.same_boot};

  // First everything is believed, to see what the records prove; then what can be.
  auto walk = std::make_unique<Walk>();
  auto search = std::make_unique<Search>(files, directory, known, kLatest, walk->found);
  TM_TRY(walk_to_end(list, *search, *walk));
  known.durable = std::max(known.durable, search->proven());
  if (const Seq to = believable(walk->found, known.durable); to != kLatest) {
    walk = std::make_unique<Walk>();
    search = std::make_unique<Search>(files, directory, known, to, walk->found);
    TM_TRY(walk_to_end(list, *search, *walk));
  }
  Recovered& found = walk->found;
  Status lost;
  if (found.end.seq < known.durable) {
    lost = search->damaged(" (records up to " + std::to_string(known.durable.value()) + " are known to have been durable)");
  } else if (!search->clean()) {
    lost = search->look_for_proof(found.segments.back().known.first_seq, found.segments.back().known.bytes);
  }
  if (!lost.ok()) {
    if (lost.code() != Code::kCorrupt || (found.segments.back().flags & kSegmentReceived) == 0) return lost;
    found.lost_to = std::max(known.durable, search->proven());
    found.lost_text = lost.text();
    found.torn_bytes = 0;
  }
  for (size_t i = walk->adopted; i < list.unborn.size(); ++i) {
    if (!found.lost_to) TM_TRY(search->look_for_proof(list.unborn[i], kSegmentHeaderSize));
    found.removed.push_back(list.unborn[i]);
  }
  if (list.unnamed) found.removed.push_back(*list.unnamed);
  return std::move(found);
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
    const bool keep_rest = recovered.lost_to && i + 1 == recovered.segments.size();
    if (segment.file_bytes > segment.known.bytes && !keep_rest) TM_TRY(file->truncate(segment.known.bytes));
    for (const BitFix& fix : recovered.fixes) {
      if (fix.segment != segment.known.first_seq) continue;
      const iovec part{const_cast<std::byte*>(&fix.value), 1};
      TM_TRY(file->write(fix.at, {&part, 1}));
    }
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
