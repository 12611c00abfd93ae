// The floor of a log: the base below which nothing can be restored, and the packs that hold what is still needed of the segments
// that are gone. One small file, DIR/floor, replaced as a whole: its rename is the moment at which a prune, or a gap, takes effect.
// docs/LOG_FORMAT.md is the other half of this file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "log/format/body.h"
#include "log/format/record.h"

namespace tidemark {

// A pack: the records of the segments [first, end) that are still needed. Written once, for the base `made_for`.
struct PackInfo {
  Seq first;           // first_seq of the oldest segment it stands for
  Seq end;             // first_seq of the first segment it does not
  Seq made_for;        // makes the name unique: a pack and its successor may begin alike
  uint64_t bytes = 0;  // of the file
  uint64_t entries = 0;
  uint64_t check = 0;  // of its header: the floor names exactly this pack
  // Not 0: an adopted segment. The records, this many bytes of them, stay in the file of segment `first`, which is no part of the log any
  // more; the pack's own file has the table alone.
  uint64_t adopted = 0;
  bool operator==(const PackInfo&) const = default;
};
inline constexpr size_t kPacksMax = 250'000;

// A gap: the records after `from`, up to and including `to`, were never received one by one, because the source no longer had them.
// What was still needed of them at `to` came as a difference: the records in packs, the rows in DIR/base
// (volume/difference/difference.h). The log goes on with record to.seq + 1, in a segment of its own (kSegmentAfterGap).
struct Gap {
  Position from;  // zeros: nothing had been received before
  Position to;
  int64_t time_ns = 0;  // of record to.seq
  [[nodiscard]] bool covers(Seq seq) const { return from.seq < seq && seq <= to.seq; }
  bool operator==(const Gap&) const = default;
};
inline constexpr size_t kGapsMax = 64;
// Records of a gap that share the segment of their address (docs/LOG_FORMAT.md): so a pack of them begins up to this much later than they do.
inline constexpr uint64_t kGapGroupRecords = 256;
inline constexpr size_t kKnownMax = 100'000;

struct Floor {
  GroupId group{};
  Position base;                // zeros: nothing was pruned yet
  int64_t time_ns = 0;          // of record base.seq
  std::vector<PackInfo> packs;  // by rising first, not overlapping; none above the base but in a gap
  std::vector<Gap> gaps;        // rising
  // Positions of records that are gone, rising by seq: a site's copy may end there, and has to be compared.
  std::vector<Position> known;
  // A prune has not come to all segments below the base yet: this one is the oldest that is still there, whole, and needed. Zero: the oldest
  // is the one that holds the base.
  Seq held_from;
  bool operator==(const Floor&) const = default;
};

std::string floor_path(const std::string& directory);
std::string encode_floor(const Floor& floor);
Result<Floor> decode_floor(Bytes bytes);  // kCorrupt, kUnsupported
// The file has it twice, so that no one place that is damaged keeps a volume from being opened.
std::string encode_floor_file(const Floor& floor);
// `damaged`: one of the two is. (A floor that stands there once, as earlier versions wrote it, is none.)
Result<Floor> decode_floor_file(Bytes bytes, bool& damaged);
// A Floor of zeros where there is none. kCorrupt names the file.
Result<Floor> read_floor(FileSystem& files, const std::string& directory, bool* damaged = nullptr);
// The same; where one of the two is damaged both are written anew. The caller holds the group's lock.
Result<Floor> heal_floor(FileSystem& files, const std::string& directory);
// Durable on return. A failure leaves it open which floor the disk has.
Status write_floor(FileSystem& files, const std::string& directory, const Floor& floor);

// Segment `first_seq` is there only for what a pack needs of it.
bool adopts(const Floor& floor, Seq first_seq);
// The segments that are there, rising, without the adopted ones.
Result<std::vector<Seq>> list_log_segments(FileSystem& files, const std::string& directory, const Floor& floor);

// The oldest segment that a floor keeps: held_from, or the one that holds the base. `segments` rise. Nothing where it is not there.
std::optional<Seq> oldest_kept(const std::vector<Seq>& segments, const Floor& floor);

// Whatever an interrupted prune left: segments below the floor, packs it does not name, scratch files. Done by whoever opens the
// log for writing, before anything else. kCorrupt, and nothing is removed, where a pack of the floor is missing.
Status finish_retirement(FileSystem& files, const std::string& directory, const Floor& floor);

}  // namespace tidemark
