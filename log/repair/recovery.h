// What a log's directory holds after whatever happened to it, and making it whole again.
//
// Rules, in the order in which they are applied (docs/LOG_FORMAT.md has the reasons):
//  1. Segments with a sound header are born. They must follow one another without a gap. All but the last were durable.
//  2. The last born segment is read whole. Where it ends cleanly and an unborn segment continues it exactly, that one is
//     read too, and so on: after a mere crash of the process nothing is lost.
//  3. A record whose payload alone is damaged (header and chain hold) is stepped over if it is known to have been durable: it stays, and
//     costs what is in it. So does one flipped bit in a header or in a small payload, which is put right.
//  4. Where the walk ends, the log ends. What lies behind may be cut only if nothing proves that it had been durable. Where something does,
//     our own log does not open; one that is received goes on from there, over what is behind, which stays on the disk.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "log/log_types.h"
#include "log/read/segment_set.h"

namespace tidemark {

struct RecoveredSegment {
  KnownSegment known;
  uint64_t file_bytes = 0;  // of the file, zeros and rubbish included
  bool born = true;         // its header is on disk
  uint16_t flags = 0;
  uint32_t records = 0;  // known for walked segments only (the last born one and those after it)
};

// A record of the log whose payload is damaged.
struct DamagedRecord {
  RecordHeader header;
  Location location;
  // The tree can be told from it all the same: the damage is in the blocks of a file.
  bool tells_the_tree = false;
};

// A byte that has one bit flipped, and what it was.
struct BitFix {
  Seq segment;
  uint64_t at = 0;
  std::byte value{};
  Seq seq;  // of the record
};

struct Recovered {
  GroupId group{};
  std::vector<RecoveredSegment> segments;  // at least one; the last one is where the log ends
  size_t last_born = 0;                    // index of the segment whose walk began the search for the end
  std::vector<Seq> removed;                // unborn segments that nothing proves to have been durable
  Position end;
  int64_t end_time_ns = 0;
  uint64_t torn_bytes = 0;
  std::vector<DamagedRecord> damaged;  // rising; at most kDamagedMax
  std::vector<BitFix> fixes;           // likewise
  // Of a received log: records up to here were durable, and from `end` on they cannot be told any more. Nothing behind `end` is cut.
  std::optional<Seq> lost_to;
  std::string lost_text;  // where and what
};
inline constexpr size_t kDamagedMax = 10'000;

// Looks and changes nothing. `indexed`: records up to here were durable, and the index has what is in them. kCorrupt: what is damaged,
// exactly.
Result<Recovered> examine_log(FileSystem& files, const std::string& directory, Seq indexed);

// Makes it so: removes what was never born, cuts the torn tail, puts flipped bits right, gives adopted segments their headers. Durable on return,
// every record up to recovered.end included.
Status repair_log(FileSystem& files, const std::string& directory, const Recovered& recovered);

// A process whose sync failed leaves this file: the kernel may hold pages as clean that never reached the disk, so the next
// open writes them anew before it believes in them. It need not be durable: a reboot empties the page cache as well.
std::string distrust_path(const std::string& directory);

// The headers of the born segments, checked against each other; everything after the last sound header is left out. Segments
// before the one that holds the floor's base are passed over: they may be going right now.
struct SegmentList {
  GroupId group{};
  std::vector<RecoveredSegment> born;
  std::vector<Seq> unborn;
  std::optional<Seq> unnamed;  // it would begin behind a gap that the floor does not name: nothing of it counts
};
Result<SegmentList> read_segment_list(FileSystem& files, const std::string& directory, const Floor& floor);

}  // namespace tidemark
