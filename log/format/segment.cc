#include "log/format/segment.h"

#include <algorithm>
#include <charconv>

#include "base/hash.h"

namespace tidemark {
namespace {

struct HeaderLayout {
  char magic[8];
  uint16_t version;
  uint16_t flags;
  uint32_t previous_bytes;
  std::byte group[16];
  uint64_t first_seq;
  uint64_t previous_epoch;
  uint64_t previous_chain;
  uint32_t previous_records;
  uint32_t check;
};
static_assert(sizeof(HeaderLayout) == kSegmentHeaderSize);
static_assert(offsetof(HeaderLayout, version) == 8);
static_assert(offsetof(HeaderLayout, flags) == 10);
static_assert(offsetof(HeaderLayout, previous_bytes) == 12);
static_assert(offsetof(HeaderLayout, group) == 16);
static_assert(offsetof(HeaderLayout, first_seq) == 32);
static_assert(offsetof(HeaderLayout, previous_epoch) == 40);
static_assert(offsetof(HeaderLayout, previous_chain) == 48);
static_assert(offsetof(HeaderLayout, previous_records) == 56);
static_assert(offsetof(HeaderLayout, check) == 60);

constexpr std::string_view kMagic = "TIDEMSEG";
constexpr std::string_view kSuffix = ".seg";
constexpr size_t kDigits = 20;

uint32_t check_of(const std::byte* header) { return static_cast<uint32_t>(hash64({header, offsetof(HeaderLayout, check)})); }

}  // namespace

SegmentHeaderBytes encode_segment_header(const SegmentHeader& header) {
  SegmentHeaderBytes bytes;
  std::byte* at = bytes.data();
  std::memcpy(at, kMagic.data(), kMagic.size());
  store_le(at + offsetof(HeaderLayout, version), kSegmentVersion);
  store_le(at + offsetof(HeaderLayout, flags), header.flags);
  store_le(at + offsetof(HeaderLayout, previous_bytes), header.previous_bytes);
  std::memcpy(at + offsetof(HeaderLayout, group), header.group.data(), header.group.size());
  store_le(at + offsetof(HeaderLayout, first_seq), header.first_seq().value());
  store_le(at + offsetof(HeaderLayout, previous_epoch), header.before.epoch.value());
  store_le(at + offsetof(HeaderLayout, previous_chain), header.before.chain);
  store_le(at + offsetof(HeaderLayout, previous_records), header.previous_records);
  store_le(at + offsetof(HeaderLayout, check), check_of(at));
  return bytes;
}

SegmentFault decode_segment_header(Bytes bytes, SegmentHeader& header) {
  if (all_zero(bytes)) return SegmentFault::kUnborn;
  if (bytes.size() < kSegmentHeaderSize) return SegmentFault::kDamaged;
  const std::byte* at = bytes.data();
  if (as_text(bytes.first(kMagic.size())) != kMagic) return SegmentFault::kDamaged;
  if (load_le<uint32_t>(at + offsetof(HeaderLayout, check)) != check_of(at)) return SegmentFault::kDamaged;
  if (load_le<uint16_t>(at + offsetof(HeaderLayout, version)) != kSegmentVersion) return SegmentFault::kVersion;
  header.flags = load_le<uint16_t>(at + offsetof(HeaderLayout, flags));
  header.previous_bytes = load_le<uint32_t>(at + offsetof(HeaderLayout, previous_bytes));
  std::memcpy(header.group.data(), at + offsetof(HeaderLayout, group), header.group.size());
  const auto first_seq = load_le<uint64_t>(at + offsetof(HeaderLayout, first_seq));
  header.before = {Epoch(load_le<uint64_t>(at + offsetof(HeaderLayout, previous_epoch))), Seq(first_seq - 1),
                   load_le<uint64_t>(at + offsetof(HeaderLayout, previous_chain))};
  header.previous_records = load_le<uint32_t>(at + offsetof(HeaderLayout, previous_records));
  return first_seq == 0 || (header.flags & ~kSegmentFlagsKnown) != 0 ? SegmentFault::kDamaged : SegmentFault::kNone;
}

std::string segment_name(Seq first_seq) {
  std::string digits = std::to_string(first_seq.value());
  return std::string(kDigits - digits.size(), '0') + digits + std::string(kSuffix);
}

std::optional<Seq> segment_first_seq(std::string_view name) {
  if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kDigits, value);
  if (error != std::errc() || end != name.data() + kDigits || value == 0) return std::nullopt;
  return Seq(value);
}

std::string segment_path(const std::string& directory, Seq first_seq) { return directory + "/" + segment_name(first_seq); }

Result<std::vector<Seq>> list_segments(FileSystem& files, const std::string& directory) {
  TM_ASSIGN(const auto names, files.list(directory));
  std::vector<Seq> found;
  for (const std::string& name : names) {
    if (!name.ends_with(kSuffix)) continue;
    const auto first_seq = segment_first_seq(name);
    if (!first_seq)
      return Status(Code::kCorrupt, directory + "/" + name + " is not a valid segment name; move the file elsewhere");
    found.push_back(*first_seq);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<Bytes> SegmentWindow::view(uint64_t at, size_t size) {
  if (at >= end_) return Bytes();
  size = static_cast<size_t>(std::min<uint64_t>(size, end_ - at));
  if (in_memory()) return memory_.subspan(static_cast<size_t>(at), size);
  if (at < begin_ || at + size > begin_ + held_) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(std::max(size, step_), end_ - at));
    if (buffer_.size() < wanted) buffer_ = Buffer(wanted);
    held_ = 0;
    begin_ = at;
    TM_ASSIGN(held_, file_->read(at, buffer_.span().first(wanted)));
  }
  const auto skip = static_cast<size_t>(at - begin_);
  return buffer_.bytes().first(held_).subspan(skip, std::min(size, held_ - skip));
}

Result<uint64_t> skip_zeros(SegmentWindow& window, uint64_t from) {
  while (from < window.end()) {
    TM_ASSIGN(const Bytes bytes, window.view(from, kHopStep));
    if (bytes.empty()) break;
    const auto other = std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
    from += static_cast<uint64_t>(other - bytes.begin());
    if (other != bytes.end()) return from;
  }
  return window.end();
}

Result<uint64_t> end_of_content(SegmentWindow& window, uint64_t from) {
  uint64_t end = from;
  while (from < window.end()) {
    TM_ASSIGN(const Bytes bytes, window.view(from, kHopStep));
    if (bytes.empty()) break;
    const auto last = std::find_if(bytes.rbegin(), bytes.rend(), [](std::byte b) { return b != std::byte{0}; });
    if (last != bytes.rend()) end = from + static_cast<uint64_t>(bytes.rend() - last);
    from += bytes.size();
  }
  return end;
}

Result<std::optional<FoundHeader>> find_header(SegmentWindow& window, uint64_t from, Seq least, Seq most) {
  from = (from + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
  FoundHeader found;
  for (found.at = from; found.at + kRecordHeaderSize <= window.end();) {
    TM_ASSIGN(const Bytes bytes, window.view(found.at, kRecordHeaderSize));
    if (bytes.size() < kRecordHeaderSize) break;
    found.at += kRecordAlignment;
    // The sum costs more than these: most places fail here.
    const auto type = load_le<uint8_t>(bytes.data() + 4);
    if (type == 0 || type > kRecordTypeMax || load_le<uint64_t>(bytes.data() + 16) == 0) continue;
    if (decode_header(bytes, found.header) != RecordFault::kNone) continue;
    found.at -= kRecordAlignment;
    if (found.header.seq >= least && found.header.seq <= most) return std::optional<FoundHeader>(found);
    TM_ASSIGN(const Bytes whole, window.view(found.at, found.header.size_in_log()));
    const bool sound =
        whole.size() == found.header.size_in_log() &&
        check_payload(found.header, whole.subspan(kRecordHeaderSize, found.header.stored_length)) == RecordFault::kNone;
    found.at += sound ? found.header.size_in_log() : kRecordAlignment;
  }
  return std::optional<FoundHeader>();
}

Status corrupt_segment(Seq first_seq, uint64_t at, Seq seq, std::string_view fault) {
  return Status(Code::kCorrupt, "segment " + segment_name(first_seq) + ", byte " + std::to_string(at) + ", seq " +
                                    std::to_string(seq.value()) + ": " + std::string(fault));
}

}  // namespace tidemark
