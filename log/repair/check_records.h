// Checking every record of a segment, on and on behind damage.
#pragma once

#include <functional>

#include "log/format/record_walker.h"

namespace tidemark {

struct RecordCheckup {
  // Damage at byte `at`. `header` says seq and inode, where a header is there to be read; null otherwise.
  std::function<void(uint64_t at, const RecordHeader* header, RecordFault fault)> damaged;
  // A record that is there, damaged (which was told before) or not.
  std::function<void(const RecordHeader& header)> found;
  // So many bytes were read. What it returns, unless ok, ends the check.
  std::function<Status(uint64_t bytes)> advance;
};

// From where `walker` stands up to record `last`. Zeros to the end of the segment are its unwritten end: nothing is told of them, and
// walker.next_at() is where they begin.
Status check_records(RecordWalker& walker, Seq last, const RecordCheckup& checkup);

}  // namespace tidemark
