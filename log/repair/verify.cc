#include <algorithm>

#include "log/format/pack.h"
#include "log/format/record_walker.h"
#include "log/format/segment.h"
#include "log/repair/check_records.h"
#include "log/repair/digests.h"
#include "log/repair/pack_verify.h"
#include "log/repair/verify.h"

namespace tidemark {
namespace {

constexpr size_t kDamageMax = 10'000;

class Verifier {
 public:
  Verifier(FileSystem& files, const std::string& directory, Seq last,
           const std::function<void(uint64_t, uint64_t)>& progress)
      : files_(files), directory_(directory), last_(last), progress_(progress) {}

  Result<LogVerdict> run() {
    TM_ASSIGN(const Floor floor, check_packs());
    gaps_ = floor.gaps;
    TM_ASSIGN(auto names, list_log_segments(files_, directory_, floor));
    if (const auto kept = oldest_kept(names, floor))
      names.erase(names.begin(), std::find(names.begin(), names.end(), *kept));
    if (names.empty()) return Status(Code::kNotFound, directory_ + " holds no log");
    // The oldest segment must hold the base, or the beginning.
    const Seq oldest = floor.held_from != Seq() ? floor.held_from : std::max(floor.base.seq, Seq(1));
    if (names.front() > oldest) {
      verdict_.damage.push_back({"floor", 0, floor.base.seq, Ino(), RecordFault::kHeaderDamaged});
    }
    bytes_total_ = verdict_.bytes;
    for (Seq first_seq : names) {
      TM_ASSIGN(const auto file, files_.open(segment_path(directory_, first_seq), FileSystem::Open::kRead));
      TM_ASSIGN(const uint64_t size, file->size());
      bytes_total_ += size;
    }
    for (size_t i = 0; i < names.size() && names[i] <= last_; ++i) {
      TM_ASSIGN(const bool more, check_segment(names[i], i == 0));
      if (!more) break;
    }
    if (last_ != kLatest && before_.seq < last_)
      report(end_segment_, end_at_, before_.seq.next(), Ino(), RecordFault::kUnwritten);
    return std::move(verdict_);
  }

 private:
  Result<Floor> check_packs() {
    return verify_packs(
        files_, directory_, verdict_,
        [this](const LogDamage& damage) {
          if (verdict_.damage.size() < kDamageMax) verdict_.damage.push_back(damage);
        },
        [this](uint64_t bytes) { advance(bytes); });
  }

  void report(Seq segment, uint64_t at, Seq seq, Ino ino, RecordFault fault) {
    unbroken_ = false;
    if (verdict_.damage.size() < kDamageMax) verdict_.damage.push_back({segment_name(segment), at, seq, ino, fault});
  }

  void advance(uint64_t bytes) {
    verdict_.bytes += bytes;
    if (progress_) progress_(verdict_.bytes, std::max(verdict_.bytes, bytes_total_));
  }

  // False: the log ends before this segment.
  Result<bool> check_segment(Seq first_seq, bool oldest) {
    TM_ASSIGN(const auto file, files_.open(segment_path(directory_, first_seq), FileSystem::Open::kRead));
    TM_ASSIGN(const uint64_t size, file->size());
    SegmentHeaderBytes bytes{};
    TM_ASSIGN(const size_t got, file->read(0, bytes));
    SegmentHeader header;
    const SegmentFault fault = decode_segment_header(Bytes(bytes).first(got), header);
    // In use or not closed: a segment that is not born yet, and nobody asked for what is in it.
    if (fault == SegmentFault::kUnborn && !oldest && last_ == kLatest) return false;
    const bool sound = fault == SegmentFault::kNone && header.first_seq() == first_seq;
    if (!sound) {
      report(first_seq, 0, first_seq, Ino(), RecordFault::kHeaderDamaged);
      anchored_ = anchored_ && before_.seq.next() == first_seq;
    } else if (oldest || !anchored_) {
      before_ = header.before;
      anchored_ = true;
      if (oldest) verdict_.end = before_;
    } else if ((header.flags & kSegmentAfterGap) != 0 && header.before != before_) {
      const auto gap = std::find_if(gaps_.begin(), gaps_.end(), [&](const Gap& each) { return each.to == header.before; });
      // Crossing a gap is going on, or was interrupted: the log ends before it.
      if (gap == gaps_.end() && last_ == kLatest) return false;
      if (gap == gaps_.end() || gap->from != before_) report(first_seq, 0, first_seq, Ino(), RecordFault::kWrongOrder);
      before_ = header.before;
      if (unbroken_) verdict_.end = before_;
    } else if (header.before != before_) {
      report(first_seq, 0, first_seq, Ino(), RecordFault::kWrongOrder);
      before_ = header.before;
    }
    advance(std::min<uint64_t>(size, kSegmentHeaderSize));
    SegmentWindow window(*file, size, kWalkStep);
    const size_t found = verdict_.damage.size();
    TM_TRY(check_segment_records(first_seq, window));
    if (sound && verdict_.damage.size() == found) TM_TRY(check_digest(first_seq, header.group, *file));
    return true;
  }

  // Of a segment in which every sum fits.
  Status check_digest(Seq first_seq, const GroupId& group, File& file) {
    if (!digests_) {
      TM_ASSIGN(digests_, DigestBook::load(files_, directory_, group));
    }
    const auto known = digests_->find({first_seq, std::nullopt});
    if (!known || known->bytes != end_at_) return Status();
    TM_ASSIGN(const Digest digest, digest_of(file, false, known->bytes));
    if (digest != known->digest) report(first_seq, 0, first_seq, Ino(), RecordFault::kForged);
    return Status();
  }

  Status check_segment_records(Seq segment, SegmentWindow& window) {
    RecordWalker walker(window, kSegmentHeaderSize, before_);
    if (!anchored_) walker.unanchor();
    RecordCheckup checkup;
    checkup.damaged = [&](uint64_t at, const RecordHeader* header, RecordFault fault) {
      report(segment, at, header ? header->seq : walker.position().seq.next(), header ? header->ino : Ino(), fault);
    };
    checkup.found = [&](const RecordHeader& header) {
      ++verdict_.records;
      if (unbroken_) verdict_.end = header.position();
    };
    checkup.advance = [&](uint64_t bytes) {
      advance(bytes);
      return Status();
    };
    TM_TRY(check_records(walker, last_, checkup));
    before_ = walker.position();
    anchored_ = walker.anchored();
    end_segment_ = segment;
    end_at_ = walker.next_at();
    if (before_.seq >= last_) return Status();
    advance(window.end() - end_at_);  // the unwritten end; the next segment knows if it came too early
    end_at_ = window.end();
    return Status();
  }

  FileSystem& files_;
  const std::string& directory_;
  const Seq last_;
  const std::function<void(uint64_t, uint64_t)>& progress_;
  LogVerdict verdict_;
  uint64_t bytes_total_ = 0;
  std::vector<Gap> gaps_;
  std::optional<DigestBook> digests_;
  Position before_;
  bool anchored_ = false;  // before_ is the position the next record must follow
  bool unbroken_ = true;
  Seq end_segment_;
  uint64_t end_at_ = 0;
};

}  // namespace

Result<LogVerdict> verify_log(FileSystem& files, const std::string& directory, Seq last,
                              const std::function<void(uint64_t bytes_done, uint64_t bytes_total)>& progress) {
  return Verifier(files, directory, last, progress).run();
}

}  // namespace tidemark
