#include "log/repair/mend.h"

#include <algorithm>
#include <bit>

#include "log/format/pack.h"
#include "log/format/record_walker.h"

namespace tidemark {
namespace {

constexpr size_t kFetchBytes = 1u << 20;
constexpr uint64_t kMendPiecesMax = 8;  // of kMendBytesMax each, in one segment

// Records of the other copy, one after the other.
class Fetcher {
 public:
  explicit Fetcher(RecordSource& source) : source_(source) {}

  // The whole record that follows `position`, which moves along. Valid until the next call.
  Result<RecordView> next(Position& position) {
    if (rest_.empty() || held_next_ != position.seq.next()) {
      TM_ASSIGN(held_, source_.fetch(position.seq.next(), kFetchBytes));
      rest_ = as_bytes(held_);
      if (rest_.empty()) {
        return Status(Code::kNotFound,
                      source_.name() + " does not hold record " + std::to_string(position.seq.next().value()));
      }
    }
    auto record = take_record(rest_, position);
    held_next_ = position.seq.next();
    if (!record.ok()) {
      rest_ = {};
      return record.status().within(source_.name() + " sent records that do not belong here");
    }
    return record;
  }

 private:
  RecordSource& source_;
  std::string held_;
  Bytes rest_;
  Seq held_next_;
};

class Mender {
 public:
  Mender(FileSystem& files, const std::string& directory, const MendTarget& target, RecordSource& source)
      : files_(files), directory_(directory), target_(target), fetcher_(source) {}

  Result<MendReport> run() {
    TM_ASSIGN(file_, files_.open(segment_path(directory_, target_.first_seq), FileSystem::Open::kReadWrite));
    TM_ASSIGN(const uint64_t size, file_->size());
    end_ = std::min(size, target_.digest ? std::min(target_.bytes, target_.digest->bytes) : target_.bytes);
    window_.emplace(*file_, end_, kWalkStep);
    Status walked = mend_header();
    if (walked.ok()) walked = mend_records();
    TM_TRY(write_proven(walked));
    if (!report_.mended.empty()) TM_TRY(file_->sync());
    if (walked.code() == Code::kIo || walked.code() == Code::kNoSpace || walked.code() == Code::kReadOnly) return walked;
    report_.left = std::move(walked);
    return std::move(report_);
  }

 private:
  [[nodiscard]] Status cannot(uint64_t at, Seq seq, const std::string& why) const {
    return corrupt_segment(target_.first_seq, at, seq, why);
  }

  // To be written once all of the segment has been looked at.
  Status put(uint64_t at, std::string content, Seq first, Seq last) {
    patched_ += content.size();
    if (patched_ > kMendBytesMax * kMendPiecesMax) return cannot(at, first, "too much of the segment is damaged");
    report_.mended.push_back({at, content.size(), first, last});
    patches_[at] = std::move(content);
    return Status();
  }

  // What the digest proves, or, where there is none, the chain alone. A header follows from the segment before, and needs neither.
  Status write_proven(Status& walked) {
    if (target_.digest && std::any_of(patches_.begin(), patches_.end(), [](const auto& each) { return each.first != 0; })) {
      Status proven = walked;
      if (proven.ok()) {
        TM_ASSIGN(const Digest digest, digest_of(*file_, false, target_.digest->bytes, patches_));
        if (digest != target_.digest->digest) {
          proven =
              cannot(0, target_.first_seq,
                     "the fetched records are not the original ones: their checksums match, but the segment's digest does "
                     "not. Nothing was written; do not trust the copy they came from");
        }
      }
      if (!proven.ok()) {
        walked = std::move(proven);
        std::erase_if(patches_, [](const auto& each) { return each.first != 0; });
        std::erase_if(report_.mended, [](const Mended& each) { return each.offset != 0; });
      }
    }
    for (const auto& [at, content] : patches_) {
      const iovec part{const_cast<char*>(content.data()), content.size()};
      TM_TRY(file_->write(at, {&part, 1}));
    }
    return Status();
  }

  // Sets before_ to what the first record follows.
  Status mend_header() {
    TM_ASSIGN(const Bytes bytes, window_->view(0, kSegmentHeaderSize));
    SegmentHeader header;
    const SegmentFault fault = decode_segment_header(bytes, header);
    if (fault == SegmentFault::kNone && header.first_seq() == target_.first_seq) {
      before_ = header.before;
      return Status();
    }
    if (fault == SegmentFault::kUnborn) return cannot(0, target_.first_seq, "the segment has no header (yet)");
    header = SegmentHeader();
    TM_TRY(read_previous(header));
    header.group = target_.group;
    // What the other fields were follows from the segment before; of the flag that is left, the one nearer to what stands there.
    std::string best;
    int best_distance = INT32_MAX;
    for (const uint16_t flags : {uint16_t{0}, uint16_t{kSegmentReceived}}) {
      header.flags = flags;
      const SegmentHeaderBytes made = encode_segment_header(header);
      int distance = 0;
      for (size_t i = 0; i < made.size() && i < bytes.size(); ++i)
        distance += std::popcount(std::to_integer<unsigned>(made[i] ^ bytes[i]));
      if (distance < best_distance) best = as_text(made);
      best_distance = std::min(best_distance, distance);
    }
    before_ = header.before;
    TM_ASSIGN(const Bytes first, window_->view(kSegmentHeaderSize, kRecordHeaderSize));
    RecordHeader record;
    if (first.size() == kRecordHeaderSize && decode_header(first, record) == RecordFault::kNone &&
        check_follows(record, first, before_) != RecordFault::kNone) {
      return cannot(0, target_.first_seq, "the header cannot be reconstructed from the segment before it");
    }
    return put(0, std::move(best), Seq(), Seq());
  }

  // The end of the segment before this one, by reading it.
  Status read_previous(SegmentHeader& header) {
    if (target_.first_seq == Seq(1)) return Status();
    TM_ASSIGN(const auto names, list_segments(files_, directory_));
    const auto here = std::lower_bound(names.begin(), names.end(), target_.first_seq);
    if (here == names.begin())
      return cannot(0, target_.first_seq, "the header is damaged and the segment before it is not held");
    const Seq previous = *std::prev(here);
    TM_ASSIGN(const auto file, files_.open(segment_path(directory_, previous), FileSystem::Open::kRead));
    TM_ASSIGN(const uint64_t size, file->size());
    SegmentWindow window(*file, size, kWalkStep);
    TM_ASSIGN(const Bytes bytes, window.view(0, kSegmentHeaderSize));
    SegmentHeader before;
    bool sound = decode_segment_header(bytes, before) == SegmentFault::kNone;
    RecordWalker walker(window, kSegmentHeaderSize, before.before);
    uint32_t records = 0;
    while (sound && walker.position().seq.next() < target_.first_seq) {
      TM_ASSIGN(const RecordWalker::Step step, walker.next());
      sound = step == RecordWalker::Step::kRecord;
      records += sound;
    }
    if (!sound) return cannot(0, target_.first_seq, "the header is damaged, and so is the segment before it");
    header.before = walker.position();
    header.previous_bytes = static_cast<uint32_t>(walker.next_at());
    header.previous_records = records;
    return Status();
  }

  Status mend_records() {
    RecordWalker walker(*window_, kSegmentHeaderSize, before_);
    while (!(target_.end && before_ == *target_.end)) {
      TM_ASSIGN(RecordWalker::Step step, walker.next());
      if (step == RecordWalker::Step::kDamage && walker.fault() == RecordFault::kUnwritten && !target_.end) {
        TM_ASSIGN(step, walker.next());  // zeros to the end: nothing was written there
      }
      if (step == RecordWalker::Step::kEnd) break;
      if (step == RecordWalker::Step::kDamage) {
        TM_ASSIGN(const uint64_t behind, mend_gap(walker));
        walker.seek(behind, before_);
      }
      before_ = walker.position();
    }
    if (target_.end && before_ != *target_.end) return cannot(walker.next_at(), before_.seq.next(), "records are missing");
    return Status();
  }

  // From the damage that the walk has met to where the log is sound again. Returns that place; before_ is what stands before it.
  Result<uint64_t> mend_gap(const RecordWalker& damaged) {
    const uint64_t at = damaged.at();
    Position position = before_;
    std::string content;
    for (;;) {
      auto fetched = fetcher_.next(position);
      if (!fetched.ok()) return fetched.status().within(place(at));
      content += as_text(fetched->whole);
      const uint64_t to = at + content.size();
      if (to > end_ || content.size() > kMendBytesMax) {
        return cannot(at, before_.seq.next(), "the other copy's records do not fit the damaged place");
      }
      // The damaged record's own header vouches for its payload.
      bool sound = damaged.fault() == RecordFault::kPayloadDamaged && damaged.record().header.position() == position;
      if (!sound) {
        TM_ASSIGN(sound, follows(to, position));
      }
      if (!sound) continue;
      TM_TRY(put(at, std::move(content), before_.seq.next(), position.seq));
      before_ = position;
      return to;
    }
  }

  // True where what stands at byte `to` proves that `position` comes before it.
  Result<bool> follows(uint64_t to, const Position& position) {
    if (target_.end && position.seq >= target_.end->seq) return position == *target_.end;
    if (position == target_.known) return true;
    TM_ASSIGN(const Bytes head, window_->view(to, kRecordHeaderSize));
    RecordHeader header;
    if (head.size() == kRecordHeaderSize && decode_header(head, header) == RecordFault::kNone) {
      return check_follows(header, head, position) == RecordFault::kNone;
    }
    // The last record of the log, and nobody remembers it. An epoch has one primary: a record of the same epoch that follows
    // the one before and ends where the file does is the one that stood here.
    return !target_.end && to == end_ && position.epoch == before_.epoch;
  }

  [[nodiscard]] std::string place(uint64_t at) const {
    return "segment " + segment_name(target_.first_seq) + ", byte " + std::to_string(at);
  }

  FileSystem& files_;
  const std::string& directory_;
  const MendTarget& target_;
  Fetcher fetcher_;
  std::unique_ptr<File> file_;
  uint64_t end_ = 0;
  std::optional<SegmentWindow> window_;
  Position before_;
  Patches patches_;
  uint64_t patched_ = 0;  // bytes in them
  MendReport report_;
};

struct Head {
  Seq first_seq;
  SegmentFault fault = SegmentFault::kNone;
  SegmentHeader header;
};

// The segments in order, without those at the end that were never born.
Result<std::vector<Head>> read_heads(FileSystem& files, const std::string& directory, const Floor& floor) {
  TM_ASSIGN(const auto names, list_log_segments(files, directory, floor));
  std::vector<Head> heads;
  for (const Seq first_seq : names) {
    TM_ASSIGN(const auto file, files.open(segment_path(directory, first_seq), FileSystem::Open::kRead));
    SegmentHeaderBytes bytes{};
    TM_ASSIGN(const size_t got, file->read(0, bytes));
    Head head{first_seq, SegmentFault::kNone, {}};
    head.fault = decode_segment_header(Bytes(bytes).first(got), head.header);
    if (head.fault == SegmentFault::kNone && head.header.first_seq() != first_seq) head.fault = SegmentFault::kDamaged;
    heads.push_back(head);
  }
  while (!heads.empty() && heads.back().fault == SegmentFault::kUnborn) heads.pop_back();
  return heads;
}

// What the segment's successor (or, for the last one, the caller) says of its end.
MendTarget describe(const std::vector<Head>& heads, size_t i, const GroupId& group, const Position& newest, bool in_use) {
  MendTarget target{heads[i].first_seq, UINT64_MAX, std::nullopt, group, newest};
  const bool last = i + 1 == heads.size();
  if (in_use && (last || newest.seq < heads[i + 1].first_seq)) target.end = newest;
  if (last || heads[i + 1].fault != SegmentFault::kNone) return target;
  target.bytes = heads[i + 1].header.previous_bytes;
  target.end = heads[i + 1].header.before;
  return target;
}

}  // namespace

std::string describe(const Mended& mended) {
  if (mended.first == Seq()) return mended.offset == 0 ? "its header" : "its table";
  if (mended.first == mended.last) return "record " + std::to_string(mended.first.value());
  return "records " + std::to_string(mended.first.value()) + " to " + std::to_string(mended.last.value());
}

Result<MendReport> mend_segment(FileSystem& files, const std::string& directory, const MendTarget& target,
                                RecordSource& source) {
  return Mender(files, directory, target, source).run();
}

Status mend_log(FileSystem& files, const std::string& directory, const GroupId& group, const Position& newest, bool in_use,
                RecordSource& source, const std::function<void(const std::string& where, const MendReport&)>& told) {
  const auto floor = read_floor(files, directory);
  if (!floor.ok() && floor.status().code() != Code::kCorrupt) return floor.status();
  TM_ASSIGN(const auto heads, read_heads(files, directory, floor.ok() ? *floor : Floor()));
  TM_ASSIGN(const DigestBook book, DigestBook::load(files, directory, group));
  for (size_t i = 0; i < heads.size() && !(in_use && heads[i].first_seq > newest.seq); ++i) {
    MendTarget target = describe(heads, i, group, newest, in_use);
    target.digest = book.find({heads[i].first_seq, std::nullopt});
    TM_ASSIGN(const MendReport report, mend_segment(files, directory, target, source));
    if (!report.mended.empty() || !report.left.ok()) told("segment " + segment_name(heads[i].first_seq), report);
  }
  if (!floor.ok()) {
    told("floor", {{}, floor.status()});
    return Status();
  }
  for (const PackInfo& pack : floor->packs) {
    TM_ASSIGN(const MendReport report, mend_pack(files, directory, pack, *floor, source, book.find({Seq(), pack})));
    if (!report.mended.empty() || !report.left.ok()) told("pack " + pack_name(pack), report);
  }
  return Status();
}

}  // namespace tidemark
