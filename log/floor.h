// The floor of a log: the base below which nothing can be restored, and the packs that hold what is still needed of the segments
// that are gone. One small file, DIR/floor, replaced as a whole: its rename is the moment at which a prune takes effect.
// docs/LOG_FORMAT.md is the other half of this file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "log/body.h"
#include "log/record.h"

namespace tidemark {

// A pack: the records of the segments [first, end) that are still needed. Written once, for the base `made_for`.
struct PackInfo {
  Seq first;           // first_seq of the oldest segment it stands for
  Seq end;             // first_seq of the first segment it does not
  Seq made_for;        // makes the name unique: a pack and its successor may begin alike
  uint64_t bytes = 0;  // of the file
  uint64_t entries = 0;
  uint64_t check = 0;  // of its header: the floor names exactly this pack
  bool operator==(const PackInfo&) const = default;
};
inline constexpr size_t kPacksMax = 250'000;  // the floor stays below 16 MiB

struct Floor {
  GroupId group{};
  Position base;                // zeros: nothing was pruned yet
  int64_t time_ns = 0;          // of record base.seq
  std::vector<PackInfo> packs;  // by rising first, not overlapping
  bool operator==(const Floor&) const = default;
};

std::string floor_path(const std::string& directory);
std::string encode_floor(const Floor& floor);
Result<Floor> decode_floor(Bytes bytes);  // kCorrupt, kUnsupported
// A Floor of zeros where there is none. kCorrupt names the file.
Result<Floor> read_floor(FileSystem& files, const std::string& directory);
// Durable on return. A failure leaves it open which floor the disk has.
Status write_floor(FileSystem& files, const std::string& directory, const Floor& floor);

// The oldest segment that is kept over a base: the one that holds record `base`. `segments` rise.
std::optional<Seq> oldest_kept(const std::vector<Seq>& segments, Seq base);

// Whatever an interrupted prune left: segments below the floor, packs it does not name, scratch files. Done by whoever opens the
// log for writing, before anything else. kCorrupt, and nothing is removed, where a pack of the floor is missing.
Status finish_retirement(FileSystem& files, const std::string& directory, const Floor& floor);

}  // namespace tidemark
