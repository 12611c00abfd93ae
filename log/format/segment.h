// One segment file: its name, its header, and reading records out of it. docs/LOG_FORMAT.md is the other half of this file.
//
//   byte  size  field
//      0     8  magic             "TIDEMSEG"
//      8     2  version           1; it settles the size of this header
//     10     2  flags             SegmentFlag bits
//     12     4  previous_bytes    bytes used by the segment before this one; 0 where there is none
//     16    16  group
//     32     8  first_seq         seq of the first record here, as in the file's name
//     40     8  previous_epoch    epoch and chain of record first_seq - 1; zeros where there is none
//     48     8  previous_chain
//     56     4  previous_records  records in the segment before this one; 0 where there is none
//     60     4  check             low 32 bits of XXH3-64 over bytes 0..59
#pragma once

#include <optional>
#include <string>

#include "base/file.h"
#include "log/format/body.h"
#include "log/format/record.h"

namespace tidemark {

inline constexpr uint32_t kSegmentHeaderSize = 64;
inline constexpr uint16_t kSegmentVersion = 1;

enum SegmentFlag : uint16_t {
  // The records came from another site. Their kFlagAfterSync tells of that site's disk, so it proves nothing here.
  kSegmentReceived = 1 << 0,
  // The record before the first one here was never received: a gap of the log's floor ends with it (log/format/floor.h). previous_bytes and
  // previous_records are those of the segment before the gap.
  kSegmentAfterGap = 1 << 1,
};
inline constexpr uint16_t kSegmentFlagsKnown = kSegmentReceived | kSegmentAfterGap;
// What a segment hands on to the one after it.
constexpr uint16_t role_of(uint16_t segment_flags) { return segment_flags & kSegmentReceived; }

struct SegmentHeader {
  uint16_t flags = 0;
  uint32_t previous_bytes = 0;
  uint32_t previous_records = 0;
  GroupId group{};
  Position before;  // the record before the first one here; first_seq is before.seq + 1
  [[nodiscard]] Seq first_seq() const { return before.seq.next(); }
  bool operator==(const SegmentHeader&) const = default;
};

using SegmentHeaderBytes = std::array<std::byte, kSegmentHeaderSize>;
SegmentHeaderBytes encode_segment_header(const SegmentHeader& header);

enum class SegmentFault { kNone, kUnborn /* 64 zero bytes, or fewer than 64 */, kDamaged, kVersion };
// `bytes`: up to the first kSegmentHeaderSize bytes of the file.
SegmentFault decode_segment_header(Bytes bytes, SegmentHeader& header);

std::string segment_name(Seq first_seq);                      // 20 digits and ".seg"
std::optional<Seq> segment_first_seq(std::string_view name);  // nothing where it is no segment's name
std::string segment_path(const std::string& directory, Seq first_seq);
// First seqs of the segments in `directory`, rising. kCorrupt: a name that ends in ".seg" and is none of ours.
Result<std::vector<Seq>> list_segments(FileSystem& files, const std::string& directory);

// A window that moves forward over a file: few, large reads. Views live until the next call. Not thread-safe.
class SegmentWindow {
 public:
  // Shows nothing from byte `end` on. Reads `step` bytes at a time, more where more is asked for.
  SegmentWindow(File& file, uint64_t end, size_t step) : file_(&file), end_(end), step_(step) {}
  // Over what is in memory: views live as long as that.
  explicit SegmentWindow(Bytes memory) : end_(memory.size()), memory_(memory) {}
  // Bytes [at, at + size), fewer only where `end` or the file's end cuts them.
  Result<Bytes> view(uint64_t at, size_t size);
  [[nodiscard]] uint64_t end() const { return end_; }
  [[nodiscard]] bool in_memory() const { return file_ == nullptr; }

 private:
  File* file_ = nullptr;
  uint64_t end_;
  size_t step_ = 0;
  Bytes memory_;
  Buffer buffer_;
  uint64_t begin_ = 0;
  size_t held_ = 0;
};

inline constexpr size_t kWalkStep = size_t{1} << 20;  // for reading whole segments
inline constexpr size_t kHopStep = 4096;              // for hopping from header to header

// The first byte in [from, window.end()) that is not zero; window.end() where all are.
Result<uint64_t> skip_zeros(SegmentWindow& window, uint64_t from);

// One byte behind the last byte in [from, window.end()) that is not zero; `from` where all are.
Result<uint64_t> end_of_content(SegmentWindow& window, uint64_t from);

// The next place at or after `from` (8-aligned) with a sound header whose seq is in [least, most]; nothing where there is
// none. Payloads of whole, sound records passed on the way are not searched: they may hold anything, even another log.
struct FoundHeader {
  uint64_t at = 0;
  RecordHeader header;
};
Result<std::optional<FoundHeader>> find_header(SegmentWindow& window, uint64_t from, Seq least, Seq most);

// "segment NAME, byte N, seq S: FAULT"
Status corrupt_segment(Seq first_seq, uint64_t at, Seq seq, std::string_view fault);

}  // namespace tidemark
