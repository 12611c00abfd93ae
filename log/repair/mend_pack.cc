// Damaged records of packs. What stood before and behind a record in the order is gone, so no chain proves it: see below.
#include <algorithm>

#include "log/format/pack.h"
#include "log/format/record_walker.h"
#include "log/repair/mend.h"

namespace tidemark {
namespace {

constexpr size_t kFetchBytes = 1u << 20;

// The sound records of the other copy, in the order of their seqs.
class Copy {
 public:
  explicit Copy(RecordSource& source) : source_(source) {}

  // The first record it still has from `from` on; kNotFound: none, or only later ones than its packs have. Valid until the next call.
  Result<RecordView> from(Seq from) {
    if (rest_.empty() || from != next_) {
      TM_TRY(fetch(from));
    }
    Position position{Epoch(), from.prev(), 0};
    TM_ASSIGN(const RecordView record, take_record(rest_, position, {.order = false}));
    if (record.header.seq < from) return Status(Code::kCorrupt, source_.name() + " answered with older records");
    next_ = record.header.seq.next();
    return record;
  }

  // Its record at `base` is this log's: so whatever it has of before is of the same history.
  Result<bool> shares(const Position& base) {
    const auto run = source_.fetch(base.seq, 1);
    if (!run.ok() && run.status().code() == Code::kNotFound) return false;
    TM_TRY(run.status());
    Bytes rest = as_bytes(*run);
    Position position;
    const auto record = take_record(rest, position, {.order = false});
    return record.ok() && record->header.position() == base;
  }

 private:
  // From its segments where they hold that very record, else from its packs.
  Status fetch(Seq from) {
    auto run = source_.fetch(from, kFetchBytes);
    RecordHeader first;
    const bool held = run.ok() && run->size() >= kRecordHeaderSize &&
                      decode_header(as_bytes(*run), first) == RecordFault::kNone && first.seq == from;
    if (!held && !run.ok() && run.status().code() != Code::kNotFound) return run.status();
    if (!held) run = source_.fetch_packed(from, kFetchBytes);
    if (!run.ok()) return run.status();
    held_ = std::move(*run);
    rest_ = as_bytes(held_);
    if (rest_.empty()) return Status(Code::kNotFound, source_.name() + " does not hold the record");
    return Status();
  }

  RecordSource& source_;
  std::string held_;
  Bytes rest_;
  Seq next_;  // that rest_ begins with, or a later one
};

// The header as it stands there, or as it was before one bit of it flipped.
std::optional<RecordHeader> header_of(Bytes whole) {
  HeaderBytes head;
  if (whole.size() < head.size()) return std::nullopt;
  std::copy_n(whole.begin(), head.size(), head.begin());
  RecordHeader header;
  if (decode_header(head, header) == RecordFault::kNone) return header;
  for (size_t bit = 0; bit < head.size() * 8; ++bit) {
    const std::byte flip{static_cast<uint8_t>(1u << bit % 8)};
    head[bit / 8] ^= flip;
    if (decode_header(head, header) == RecordFault::kNone) return header;
    head[bit / 8] ^= flip;
  }
  return std::nullopt;
}

// A record that is not what it was.
struct DamagedEntry {
  PackEntry entry;
  std::optional<RecordHeader> header;  // where that is known
};

// Such records, one behind the other, and the sound ones around them.
struct Stretch {
  Seq after;   // of the sound record before it, or of one before all of the pack
  Seq before;  // of the sound record behind it, or right behind the pack's last
  std::vector<DamagedEntry> damaged;
  [[nodiscard]] bool spans(Seq seq) const { return after < seq && seq < before; }
};

struct Candidate {
  Seq seq;
  std::string whole;
};

// What the other copy has between two records.
struct Candidates {
  std::vector<Candidate> all;
  bool to_the_end = false;  // it has one behind them too. Otherwise its packs end here, and its segments may have more.
};

// As many records as are damaged, and as long: copies that keep records for different bases keep the one a part of what the other does.
bool match(const std::vector<DamagedEntry>& damaged, const Candidates& candidates) {
  const auto& all = candidates.all;
  return candidates.to_the_end && std::equal(damaged.begin(), damaged.end(), all.begin(), all.end(),
                                             [](const DamagedEntry& damage, const Candidate& each) {
                                               return damage.entry.size == each.whole.size();
                                             });
}

// The word of a record with its header's check sum, or the one with its chain, says which record it is: no other has either. Nothing else
// does. A seq with a flipped bit may be a neighbour's, and what damaged the record may have put a neighbour's payload there.
bool names(std::string_view there, const Candidate& candidate) {
  constexpr size_t kWord = sizeof(uint64_t);
  constexpr size_t kChainAt = 56;
  const std::string_view whole = candidate.whole;
  return there.size() == whole.size() && (there.substr(0, kWord) == whole.substr(0, kWord) ||
                                          there.substr(kChainAt, kWord) == whole.substr(kChainAt, kWord));
}

class PackMender {
 public:
  PackMender(FileSystem& files, const std::string& directory, const PackInfo& info, const Floor& floor, RecordSource& source,
             const std::optional<PartDigest>& digest)
      : files_(files), directory_(directory), info_(info), floor_(floor), digest_(digest), copy_(source) {}

  Result<MendReport> run() {
    Status walked = mend();
    TM_TRY(write_proven(walked));
    if (!own_.empty()) TM_TRY(file_->sync());
    if (!patches_.empty()) TM_TRY(records_->sync());
    if (walked.code() == Code::kIo || walked.code() == Code::kNoSpace || walked.code() == Code::kReadOnly) return walked;
    report_.left = std::move(walked);
    return std::move(report_);
  }

 private:
  Status mend() {
    TM_ASSIGN(pack_, Pack::open(files_, directory_, info_, floor_.group));
    TM_ASSIGN(const auto spoilt, pack_->spoilt());
    TM_ASSIGN(const std::vector<Stretch> stretches, examine(*pack_));
    if (stretches.empty() && spoilt.empty()) return Status();
    TM_ASSIGN(file_, files_.open(pack_path(directory_, info_), FileSystem::Open::kReadWrite));
    TM_ASSIGN(records_, files_.open(records_path(directory_, info_), FileSystem::Open::kReadWrite));
    for (const Pack::Spoilt& each : spoilt) {
      own_[each.at] = each.content;
      report_.mended.push_back({each.at, each.content.size(), Seq(), Seq()});
    }
    Status first;
    for (const Stretch& stretch : stretches) {
      Status mended = mend_stretch(stretch);
      if (!mended.ok() && first.ok()) first = std::move(mended);
    }
    return first;
  }

  Result<std::vector<Stretch>> examine(const Pack& pack) {
    std::vector<Stretch> stretches;
    bool open = false;  // the last of them
    uint64_t bytes = 0;
    Seq last(info_.first.value() - std::min(info_.first.value(), kGapGroupRecords));
    Buffer buffer;
    TM_TRY(pack.entries([&](const PackEntry& entry) -> Status {
      TM_ASSIGN(const Bytes whole, read_entry(pack, entry, buffer));
      RecordHeader header;
      const RecordFault fault = check_packed_record(whole, header);
      if (fault == RecordFault::kNone) {
        last = header.seq;
        if (open) stretches.back().before = last;
        open = false;
        return Status();
      }
      bytes += entry.size;
      if (bytes > kMendBytesMax) return cannot(entry, "too much of the pack is damaged");
      auto known = header_of(whole);
      if (known && known->size_in_log() != entry.size) known.reset();
      if (!open) stretches.push_back({last, info_.end, {}});
      stretches.back().damaged.push_back({entry, std::move(known)});
      open = true;
      return Status();
    }));
    return stretches;
  }

  static Result<Bytes> read_entry(const Pack& pack, const PackEntry& entry, Buffer& buffer) {
    if (buffer.size() < entry.size) buffer = Buffer(entry.size);
    TM_ASSIGN(const size_t got, pack.records()->read(entry.at, buffer.span().first(entry.size)));
    return buffer.bytes().first(got);
  }

  // All that can be mended; the first reason why something cannot.
  Status mend_stretch(const Stretch& stretch) {
    std::optional<Result<Candidates>> candidates;
    Status first;
    for (size_t i = 0; i < stretch.damaged.size(); ++i) {
      const DamagedEntry& damage = stretch.damaged[i];
      Status mended;
      if (damage.header && stretch.spans(damage.header->seq)) {
        mended = mend_named(damage);
      } else {
        if (!candidates) candidates = candidates_for(stretch);
        mended =
            candidates->ok() ? mend_unnamed(stretch, i, **candidates) : cannot(damage.entry, candidates->status().text());
      }
      if (!mended.ok() && first.ok()) first = std::move(mended);
    }
    return first;
  }

  // A header says which record it is, and vouches for its payload.
  Status mend_named(const DamagedEntry& damage) {
    auto found = copy_.from(damage.header->seq);
    if (!found.ok()) return cannot(damage.entry, found.status().text());
    if (found->header != *damage.header) return cannot(damage.entry, "the other copy has another record in its place");
    return write(damage.entry, as_text(found->whole), found->header.seq);
  }

  // All that may have stood there.
  Result<Candidates> candidates_for(const Stretch& stretch) {
    if (!shares_) {
      TM_ASSIGN(shares_, copy_.shares(floor_.base));
    }
    if (!*shares_) {
      return Status(Code::kCorrupt, "its header is damaged, and the other copy is not known to be of the same history");
    }
    Candidates found;
    uint64_t bytes = 0;
    for (Seq next = stretch.after.next();;) {
      auto record = copy_.from(next);
      if (!record.ok() && record.status().code() != Code::kNotFound) return record.status();
      if (!record.ok()) break;
      found.to_the_end = !stretch.spans(record->header.seq);
      if (found.to_the_end) break;
      next = record->header.seq.next();
      bytes += record->whole.size();
      if (bytes > kMendBytesMax) return Status(Code::kCorrupt, "too many records could belong there");
      found.all.push_back({record->header.seq, std::string(as_text(record->whole))});
    }
    return found;
  }

  // Of the candidates as long as the table says: the one that what is left there names, or the only one there can be.
  Status mend_unnamed(const Stretch& stretch, size_t number, const Candidates& candidates) {
    const PackEntry& entry = stretch.damaged[number].entry;
    std::string there(entry.size, '\0');
    TM_ASSIGN(const size_t got, records_->read(entry.at, {reinterpret_cast<std::byte*>(there.data()), there.size()}));
    there.resize(got);
    std::vector<const Candidate*> fitting;
    std::vector<const Candidate*> named;
    for (const Candidate& each : candidates.all) {
      if (each.whole.size() != entry.size) continue;
      fitting.push_back(&each);
      if (names(there, each)) named.push_back(&each);
    }
    if (fitting.empty()) return cannot(entry, "the other copy has no record that fits there");
    const bool complete = candidates.all.size() == stretch.before.value() - stretch.after.value() - 1;
    const Candidate* chosen = nullptr;
    if (named.size() == 1) {
      chosen = named.front();
    } else if (named.empty() && match(stretch.damaged, candidates)) {
      chosen = &candidates.all[number];
    } else if (named.empty() && complete && fitting.size() == 1) {
      chosen = fitting.front();
    } else {
      return cannot(entry, "it is not clear which of the other copy's records belongs there");
    }
    return write(entry, chosen->whole, chosen->seq);
  }

  Status write(const PackEntry& entry, std::string_view whole, Seq seq) {
    if (whole.size() != entry.size) return cannot(entry, "the other copy's record has a different length");
    put(entry.at, whole, seq);
    return Status();
  }

  // To be written once all of the pack has been looked at.
  void put(uint64_t at, std::string_view content, Seq seq) {
    patches_[at] = content;
    report_.mended.push_back({at, content.size(), seq, seq});
  }

  // What the digest proves, or, where there is none, what says above which record stood there. Header and table need no other copy.
  Status write_proven(Status& walked) {
    const auto fetched = [](const Mended& each) { return each.first != Seq(); };
    if (digest_ && std::any_of(report_.mended.begin(), report_.mended.end(), fetched)) {
      Status proven = walked;
      if (proven.ok()) {
        TM_ASSIGN(const Digest digest, digest());
        if (digest != digest_->digest) {
          proven = Status(Code::kCorrupt,
                          "pack " + pack_name(info_) +
                              ": the fetched records are not the original ones: their checksums match, but the "
                              "pack's digest does not. Nothing was written; do not trust the copy they came from");
        }
      }
      if (!proven.ok()) {
        walked = std::move(proven);
        for (const Mended& each : report_.mended) {
          if (fetched(each)) patches_.erase(each.offset);
        }
        std::erase_if(report_.mended, fetched);
      }
    }
    if (!own_.empty()) TM_TRY(write_all(*file_, own_));
    return patches_.empty() ? Status() : write_all(*records_, patches_);
  }

  // Of the pack as it is once all is written.
  Result<Digest> digest() const {
    if (info_.adopted != 0) return pack_->digest(own_, patches_);
    Patches all = own_;
    all.insert(patches_.begin(), patches_.end());
    return pack_->digest(all);
  }

  static Status write_all(File& file, const Patches& patches) {
    for (const auto& [at, content] : patches) {
      const iovec part{const_cast<char*>(content.data()), content.size()};
      TM_TRY(file.write(at, {&part, 1}));
    }
    return Status();
  }

  [[nodiscard]] Status cannot(const PackEntry& entry, const std::string& why) const {
    return Status(Code::kCorrupt, "pack " + pack_name(info_) + ", byte " + std::to_string(entry.at) + ": " + why);
  }

  FileSystem& files_;
  const std::string& directory_;
  const PackInfo& info_;
  const Floor& floor_;
  const std::optional<PartDigest>& digest_;
  Copy copy_;
  std::shared_ptr<Pack> pack_;
  std::unique_ptr<File> file_;     // its own
  std::unique_ptr<File> records_;  // the same, or the adopted segment's
  std::optional<bool> shares_;
  Patches own_;      // header and table
  Patches patches_;  // records, at most kMendBytesMax
  MendReport report_;
};

}  // namespace

Result<MendReport> mend_pack(FileSystem& files, const std::string& directory, const PackInfo& pack, const Floor& floor,
                             RecordSource& source, const std::optional<PartDigest>& digest) {
  return PackMender(files, directory, pack, floor, source, digest).run();
}

}  // namespace tidemark
