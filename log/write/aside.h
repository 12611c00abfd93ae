// What was cut from a received log: DIR/log/aside. Kept so that nothing that a copy ever held goes without a trace; the next cut
// takes its place. It says as well how often the log was cut: a record may since be another one than a reader of before believes.
//
//   byte  size  field
//      0     8  magic     TIDECUTS
//      8     2  version   1
//     10     6            0
//     16    16  group
//     32     8  cuts      1, 2, 3 …
//     40    24  after     epoch, seq, chain of the record behind which the log was cut
//     64     8  size      of the records
//     72     8  check     XXH3-64 over bytes 0..71
//     80        records   as they lay in the log; each has its own sums
#pragma once

#include <string>

#include "base/file.h"
#include "log/format/body.h"
#include "log/format/record.h"

namespace tidemark {

struct CutNote {
  uint64_t cuts = 0;  // 0: it never was
  Position after;
  bool operator==(const CutNote&) const = default;
};

std::string aside_path(const std::string& directory);
// What is damaged, or another group's, counts as none.
Result<CutNote> read_cut_note(FileSystem& files, const std::string& directory, const GroupId& group);
// Durable on return.
Status put_aside(FileSystem& files, const std::string& directory, const GroupId& group, const Position& after,
                 std::string_view records);

}  // namespace tidemark
