// Damaged records of packs. What stood before and behind a record in the order is gone, so no chain proves it: see below.
#include <algorithm>
#include <map>

#include "log/mend.h"
#include "log/pack.h"

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
    RecordView record;
    TM_ASSIGN(record, take_unordered(rest_));
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
    const auto record = take_unordered(rest);
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

// A record that is not what it was, and the sound ones around it.
struct Wound {
  PackEntry entry;
  Seq after;                           // of the sound record before it, or right before the pack's first
  Seq before;                          // of the sound record behind it, or right behind the pack's last
  std::optional<RecordHeader> header;  // where that is sound
};

class PackMender {
 public:
  PackMender(FileSystem& files, const std::string& directory, const PackInfo& info, const Floor& floor, RecordSource& source)
      : files_(files), path_(pack_path(directory, info)), directory_(directory), info_(info), floor_(floor), copy_(source) {}

  Result<MendReport> run() {
    Status walked = mend();
    if (!report_.mended.empty()) TM_TRY(file_->sync());
    if (walked.code() == Code::kIo || walked.code() == Code::kNoSpace || walked.code() == Code::kReadOnly) return walked;
    report_.left = std::move(walked);
    return std::move(report_);
  }

 private:
  Status mend() {
    TM_ASSIGN(const auto pack, Pack::open(files_, directory_, info_, floor_.group));
    TM_ASSIGN(const auto spoilt, pack->spoilt());
    TM_ASSIGN(const std::vector<Wound> wounds, examine(*pack));
    if (wounds.empty() && spoilt.empty()) return Status();
    TM_ASSIGN(file_, files_.open(path_, FileSystem::Open::kReadWrite));
    for (const Pack::Spoilt& each : spoilt) TM_TRY(write(each.at, each.content, Seq()));
    Status first;
    for (const Wound& wound : wounds) {
      Status mended = mend_one(wound);
      if (!mended.ok() && first.ok()) first = std::move(mended);
    }
    return first;
  }

  Result<std::vector<Wound>> examine(const Pack& pack) {
    std::vector<Wound> wounds;
    size_t open = 0;  // wounds from here on have no `before` yet
    uint64_t bytes = 0;
    Seq last = info_.first.prev();
    Buffer buffer;
    TM_TRY(pack.entries([&](const PackEntry& entry) -> Status {
      TM_ASSIGN(const Bytes whole, read_entry(pack, entry, buffer));
      RecordHeader header;
      const RecordFault fault = check_packed_record(whole, header);
      if (fault == RecordFault::kNone) {
        last = header.seq;
        for (; open < wounds.size(); ++open) wounds[open].before = last;
        return Status();
      }
      bytes += entry.size;
      if (bytes > kMendBytesMax) return cannot(entry, "too much of the pack is damaged");
      const bool sound = whole.size() == entry.size && decode_header(whole, header) == RecordFault::kNone &&
                         header.size_in_log() == entry.size;
      wounds.push_back({entry, last, info_.end, sound ? std::optional(header) : std::nullopt});
      return Status();
    }));
    return wounds;
  }

  static Result<Bytes> read_entry(const Pack& pack, const PackEntry& entry, Buffer& buffer) {
    if (buffer.size() < entry.size) buffer = Buffer(entry.size);
    TM_ASSIGN(const size_t got, pack.file()->read(entry.at, buffer.span().first(entry.size)));
    return buffer.bytes().first(got);
  }

  // A sound header says which record it is, and vouches for its payload. Of another, the order in the pack says between which it lies
  // and the table how long it is; of those the other copy has, it has to be the only one, or the one for which what stands there
  // speaks most.
  Status mend_one(const Wound& wound) {
    if (wound.header) {
      auto found = copy_.from(wound.header->seq);
      if (!found.ok()) return cannot(wound.entry, found.status().text());
      if (found->header != *wound.header) return cannot(wound.entry, "the other copy has another record in its place");
      return write(wound.entry, as_text(found->whole), found->header.seq);
    }
    if (!shares_) {
      TM_ASSIGN(shares_, copy_.shares(floor_.base));
    }
    if (!*shares_)
      return cannot(wound.entry, "its header is damaged, and the other copy is not known to be of the same history");
    return choose(wound);
  }

  Status choose(const Wound& wound) {
    std::string there(wound.entry.size, '\0');
    TM_ASSIGN(const size_t got, file_->read(wound.entry.at, {reinterpret_cast<std::byte*>(there.data()), there.size()}));
    there.resize(got);
    std::map<Seq, std::string> best;  // of those that fit, the ones for which what stands there speaks most
    int most = 0;
    size_t fitting = 0;
    uint64_t fetched = 0;
    for (Seq next = wound.after.next();;) {
      auto record = copy_.from(next);
      if (!record.ok() && record.status().code() != Code::kNotFound) return record.status();
      if (!record.ok() || record->header.seq >= wound.before) break;
      next = record->header.seq.next();
      fetched += record->whole.size();
      if (fetched > kMendBytesMax) return cannot(wound.entry, "too many records may have stood there");
      if (record->whole.size() != wound.entry.size) continue;
      ++fitting;
      const int weight = witness(as_bytes(there), *record);
      if (weight > most) best.clear();
      most = std::max(most, weight);
      if (weight == most && best.size() < 2) best.emplace(record->header.seq, as_text(record->whole));
    }
    if (fitting == 0) return cannot(wound.entry, "the other copy has no record that fits there");
    if (best.size() != 1 || (fitting > 1 && most < kProof)) return cannot(wound.entry, "more than one record fits there");
    return write(wound.entry, best.begin()->second, best.begin()->first);
  }

  // A chain or a payload that agrees is proof. A seq is not: a damaged one may be that of a neighbour.
  static constexpr int kProof = 2;
  static int witness(Bytes there, const RecordView& record) {
    if (there.size() != record.whole.size()) return 0;
    constexpr size_t kSeqAt = 16;
    constexpr size_t kChainAt = 56;
    const auto same = [&](size_t at) {
      return load_le<uint64_t>(there.data() + at) == load_le<uint64_t>(record.whole.data() + at);
    };
    const Bytes payload = there.subspan(kRecordHeaderSize, record.header.stored_length);
    const bool same_payload = check_payload(record.header, payload) == RecordFault::kNone;
    return (same(kSeqAt) ? 1 : 0) + (same(kChainAt) ? kProof : 0) + (same_payload ? kProof : 0);
  }

  Status write(const PackEntry& entry, std::string_view whole, Seq seq) {
    if (whole.size() != entry.size) return cannot(entry, "the other copy's record is of another length");
    return write(entry.at, whole, seq);
  }

  Status write(uint64_t at, std::string_view content, Seq seq) {
    const iovec part{const_cast<char*>(content.data()), content.size()};
    TM_TRY(file_->write(at, {&part, 1}));
    report_.mended.push_back({at, content.size(), seq, seq});
    return Status();
  }

  [[nodiscard]] Status cannot(const PackEntry& entry, const std::string& why) const {
    return Status(Code::kCorrupt, "pack " + pack_name(info_) + ", byte " + std::to_string(entry.at) + ": " + why);
  }

  FileSystem& files_;
  const std::string path_;
  const std::string& directory_;
  const PackInfo& info_;
  const Floor& floor_;
  Copy copy_;
  std::unique_ptr<File> file_;
  std::optional<bool> shares_;
  MendReport report_;
};

}  // namespace

Result<MendReport> mend_pack(FileSystem& files, const std::string& directory, const PackInfo& pack, const Floor& floor,
                             RecordSource& source) {
  return PackMender(files, directory, pack, floor, source).run();
}

}  // namespace tidemark
