// Damaged records, put back in place from another copy of the same log.
//
// What is written is proven first: the records fetched must follow, by their chain, from a sound record (or segment header)
// before the damage, and what comes behind the damage must follow from them. So they are the very bytes that stood there, and
// writing them needs no lock and no care about crashes: a half-done repair is still the same damage. Sums alone could be forged by who
// answers; of a part that was sealed its digest cannot.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "log/log_types.h"
#include "log/read/record_source.h"
#include "log/repair/digests.h"

namespace tidemark {

// More than this in one piece is not repaired record by record: restore or copy the log anew.
inline constexpr uint64_t kMendBytesMax = uint64_t{8} << 20;

struct Mended {
  uint64_t offset = 0;  // byte in the segment
  uint64_t bytes = 0;
  Seq first;  // of the records put back; 0 for a segment's header, or a pack's header or table, which need no other copy
  Seq last;
};
std::string describe(const Mended& mended);  // "records 5 to 7" …
struct MendReport {
  std::vector<Mended> mended;
  Status left;  // ok, or why what is still damaged could not be put back; `mended` stands all the same
};

// What is known of a segment beside its file.
struct MendTarget {
  Seq first_seq;
  uint64_t bytes = 0;           // used of it
  std::optional<Position> end;  // of its last record, where that is known from elsewhere
  GroupId group{};
  Position known;  // some record that is known to stand in this log; zeros: none
  // As it was sealed. Where it is known, nothing is written that does not make the whole segment so again.
  std::optional<PartDigest> digest;
};

// Reads the whole segment and puts back what is damaged. Where its digest is known: all of it or nothing. Durable on return. Fails only
// where the files do.
Result<MendReport> mend_segment(FileSystem& files, const std::string& directory, const MendTarget& target,
                                RecordSource& source);

// The same for a pack that `floor` names. What stood before and behind a record in the order is not there to prove it: its own header
// does, but for a flipped bit; else the copy's record floor.base has to be this log's, and of what it has between the sound records around
// one alone may be it (docs/LOG_FORMAT.md, Repair). The table has a copy of its own. `digest` as above.
Result<MendReport> mend_pack(FileSystem& files, const std::string& directory, const PackInfo& pack, const Floor& floor,
                             RecordSource& source, const std::optional<PartDigest>& digest = std::nullopt);

// The same for every segment and pack of a log. `newest`: a record that is known to be in it (the newest one the index has; zeros:
// none). `in_use`: somebody may be appending, so nothing behind `newest` is looked at. `told` hears of each ("segment …", "pack …")
// in which something was damaged.
Status mend_log(FileSystem& files, const std::string& directory, const GroupId& group, const Position& newest, bool in_use,
                RecordSource& source, const std::function<void(const std::string& where, const MendReport&)>& told);

}  // namespace tidemark
