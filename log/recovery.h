// What a log's directory holds after whatever happened to it, and making it whole again.
//
// Rules, in the order in which they are applied (docs/LOG_FORMAT.md has the reasons):
//  1. Segments with a sound header are born. They must follow one another without a gap. All but the last were durable.
//  2. The last born segment is read whole. Where it ends cleanly and an unborn segment continues it exactly, that one is
//     read too, and so on: after a mere crash of the process nothing is lost.
//  3. Where the walk ends, the log ends. What lies behind may be cut only if no record proves that it had been durable.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "log/log.h"
#include "log/segment_set.h"

namespace tidemark {

struct RecoveredSegment {
  KnownSegment known;
  uint64_t file_bytes = 0;  // of the file, zeros and rubbish included
  bool born = true;         // its header is on disk
  uint16_t flags = 0;
  uint32_t records = 0;  // known for walked segments only (the last born one and those after it)
};

struct Recovered {
  GroupId group{};
  std::vector<RecoveredSegment> segments;  // at least one; the last one is where the log ends
  size_t last_born = 0;                    // index of the segment whose walk began the search for the end
  std::vector<Seq> removed;                // unborn segments that nothing proves to have been durable
  Position end;
  int64_t end_time_ns = 0;
  uint64_t torn_bytes = 0;
};

// Looks and changes nothing. kCorrupt: what is damaged, exactly.
Result<Recovered> examine_log(FileSystem& files, const std::string& directory, Seq known_durable);

// Makes it so: removes what was never born, cuts the torn tail, gives adopted segments their headers. Durable on return,
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
