// Checking one part of an open log: a segment, or a pack. docs/LOG_FORMAT.md, Verification.
#include <algorithm>

#include "log/format/record_walker.h"
#include "log/log.h"
#include "log/repair/check_records.h"

namespace tidemark {
namespace {

constexpr size_t kPlacesMax = 1'000;

class SegmentCheck {
 public:
  SegmentCheck(File& file, const KnownSegment& known, Seq last, const std::function<Status(uint64_t)>& advance)
      : known_(known), last_(last), advance_(advance), window_(file, known.bytes, kWalkStep) {}

  // `end`: what the last record has to be, of a segment that is read whole.
  Result<std::vector<LogDamage>> run(const std::optional<Position>& end) {
    TM_TRY(check_header());
    RecordWalker walker(window_, kSegmentHeaderSize, known_.before);
    if (known_.first_seq != Seq(1) && known_.before.epoch == Epoch()) walker.unanchor();
    const auto damaged = [&](uint64_t at, const RecordHeader* header, RecordFault fault) {
      if (header != nullptr) return tell(at, header->seq, header->ino, fault);
      tell(at, walker.position().seq.next(), Ino(), fault);
    };
    TM_TRY(check_records(walker, last_, {damaged, [](const RecordHeader&) {}, advance_}));
    const bool unwritten = walker.position().seq < last_ && walker.next_at() < window_.end();
    if (unwritten) {
      damaged(walker.next_at(), nullptr, RecordFault::kHeaderDamaged);
    } else if (end && end->seq <= last_ && walker.anchored() && walker.position() != *end) {
      damaged(walker.next_at(), nullptr, RecordFault::kWrongOrder);
    }
    return std::move(damage_);
  }

 private:
  void tell(uint64_t at, Seq seq, Ino ino, RecordFault fault) {
    if (damage_.size() < kPlacesMax) damage_.push_back({segment_name(known_.first_seq), at, seq, ino, fault});
  }

  Status check_header() {
    TM_ASSIGN(const Bytes bytes, window_.view(0, kSegmentHeaderSize));
    SegmentHeader header;
    const SegmentFault fault = decode_segment_header(bytes, header);
    const bool sound = fault == SegmentFault::kNone && header.first_seq() == known_.first_seq;
    // One that is not durable yet may have none.
    if (!sound && (fault != SegmentFault::kUnborn || known_.first_seq <= last_)) {
      tell(0, known_.first_seq, Ino(), RecordFault::kHeaderDamaged);
    }
    return advance_(kSegmentHeaderSize);
  }

  const KnownSegment known_;
  const Seq last_;
  const std::function<Status(uint64_t)>& advance_;
  SegmentWindow window_;
  std::vector<LogDamage> damage_;
};

}  // namespace

std::string part_name(const LogPart& part) { return part.pack ? pack_name(*part.pack) : segment_name(part.segment); }

Result<std::vector<LogDamage>> Log::check(const LogPart& part, Seq last, bool from_disk,
                                          const std::function<Status(uint64_t bytes)>& advance) {
  if (part.pack) return check_pack_part(*part.pack, from_disk, advance);
  const Position tail = tail_position();  // before the look at the segment, as in mend_from()
  const auto known = segments_.find(part.segment);
  if (!known) return Status(Code::kNotFound, "segment " + segment_name(part.segment) + " is not held here");
  TM_ASSIGN(const auto open, segments_.open(part.segment));
  if (from_disk) open.file->forget(0, known->bytes);
  const bool sealed = is_sealed(*known);
  const auto digest = [&] { return digest_of(*open.file, false, known->bytes); };
  std::optional<Digest> before;
  if (sealed) {
    TM_ASSIGN(before, first_digest(part, known->bytes, digest));
  }
  auto damage = SegmentCheck(*open.file, *known, last, advance).run(end_of(*known, tail));
  if (damage.ok() && damage->empty() && sealed) TM_TRY(hold_against_digest(part, known->bytes, digest, before, *damage));
  if (from_disk) open.file->forget(0, known->bytes);
  // Adopted meanwhile: what is not needed of it is gone.
  if (!segments_.find(part.segment))
    return Status(Code::kNotFound, "segment " + segment_name(part.segment) + " is not held here");
  return damage;
}

bool Log::is_sealed(const KnownSegment& segment) const {
  const auto next = segments_.after(segment.first_seq);
  return next && next->before.epoch != Epoch() && next->before.seq <= durable();
}

Result<DigestBook*> Log::digests() {
  if (!digests_) {
    TM_ASSIGN(DigestBook book, DigestBook::load(mended_files_, mended_directory_, group_));
    digests_.emplace(std::move(book));
  }
  return &*digests_;
}

Status Log::forget_digests(Seq from) {
  MutexLock lock(digest_mutex_);
  TM_ASSIGN(DigestBook * book, digests());
  return book->forget(mended_files_, mended_directory_, from);
}

Result<std::optional<PartDigest>> Log::digest_for(const LogPart& part) {
  MutexLock lock(digest_mutex_);
  TM_ASSIGN(DigestBook * book, digests());
  return book->find(part);
}

Seq Log::newest_digest() {
  MutexLock lock(digest_mutex_);
  const auto book = digests();
  return book.ok() ? (*book)->newest() : Seq();
}

std::optional<LogPart> Log::undigested(const std::function<bool(const LogPart&)>& wanted) {
  MutexLock lock(digest_mutex_);
  const auto book = digests();
  if (!book.ok()) return std::nullopt;
  for (const SegmentInfo& segment : segments_.all()) {
    const LogPart part{segment.first_seq, std::nullopt};
    if (segment.bytes <= kSegmentHeaderSize || (*book)->find(part) || !wanted(part)) continue;
    const auto known = segments_.find(segment.first_seq);
    if (known && is_sealed(*known)) return part;
  }
  const Floor floor = packs_.floor();
  for (const PackInfo& pack : floor.packs) {
    LogPart part{Seq(), pack};
    if (!(*book)->find(part) && wanted(part)) return part;
  }
  return std::nullopt;
}

Result<std::optional<Digest>> Log::first_digest(const LogPart& part, uint64_t bytes,
                                                const std::function<Result<Digest>()>& read) {
  TM_ASSIGN(const auto known, digest_for(part));
  if (known && known->bytes == bytes) return std::optional<Digest>();
  TM_ASSIGN(const Digest digest, read());
  return std::optional<Digest>(digest);
}

// What is checked and what is digested are two looks at the part. A digest that is not the same before and after says nothing of what was
// found sound in between: it would have every later repair refused. The next check makes one.
Status Log::hold_against_digest(const LogPart& part, uint64_t bytes, const std::function<Result<Digest>()>& read,
                                const std::optional<Digest>& before, std::vector<LogDamage>& damage) {
  TM_ASSIGN(const auto known, digest_for(part));
  TM_ASSIGN(const Digest digest, read());
  if (known && known->bytes == bytes) {
    if (known->digest != digest) damage.push_back({part_name(part), 0, part.segment, Ino(), RecordFault::kForged});
    return Status();
  }
  if (before != digest) return Status();
  MutexLock lock(digest_mutex_);
  TM_ASSIGN(DigestBook * book, digests());
  TM_TRY(book->tidy(mended_files_, mended_directory_, segments_.first_seq(), packs_.floor().packs));
  return book->add(mended_files_, mended_directory_, part, {bytes, digest});
}

Result<std::vector<LogDamage>> Log::check_pack_part(const PackInfo& info, bool from_disk,
                                                    const std::function<Status(uint64_t bytes)>& advance) {
  std::vector<LogDamage> damage;
  const auto tell = [&](const LogDamage& each) {
    if (damage.size() < kPlacesMax) damage.push_back(each);
  };
  auto pack = Pack::open(mended_files_, mended_directory_, info, group_);
  if (pack.ok() && from_disk) (*pack)->forget();
  const auto digest = [&] { return (*pack)->digest(); };
  std::optional<Digest> before;
  if (pack.ok()) {
    TM_ASSIGN(before, first_digest({Seq(), info}, info.bytes, digest));
  }
  Status checked = pack.ok() ? check_pack_content(**pack, tell, advance) : pack.status();
  if (checked.ok() && damage.empty()) checked = hold_against_digest({Seq(), info}, info.bytes, digest, before, damage);
  if (pack.ok() && from_disk) (*pack)->forget();
  const auto packs = packs_.floor().packs;
  if (checked.ok() && damage.empty()) return damage;
  if (std::find(packs.begin(), packs.end(), info) == packs.end()) {
    return Status(Code::kNotFound, "pack " + pack_name(info) + " is not held here any more");
  }
  if (checked.ok()) return damage;
  if (checked.code() != Code::kCorrupt && checked.code() != Code::kNotFound) return checked;
  tell({pack_name(info), 0, Seq(), Ino(), RecordFault::kHeaderDamaged});
  return damage;
}

}  // namespace tidemark
