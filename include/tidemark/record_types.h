// The kinds of record a log holds. Values are on disk and on the wire: never reuse one (docs/LOG_FORMAT.md).
#pragma once

#include <cstdint>
#include <string_view>

namespace tidemark {

enum class RecordType : uint8_t {
  kNone = 0,      // never written: a header of zeros is the unwritten end of a segment
  kGenesis = 1,   // first record of every log: group id, name, root directory
  kEpoch = 2,     // a new primary begins its tenure
  kData = 3,      // blocks of one file, and the size it has afterwards
  kMakeNode = 4,  // a file, directory, symlink or device is created
  kLink = 5,      // a further name for an inode
  kUnlink = 6,    // a name is removed (files and directories)
  kRename = 7,    // move, replace or exchange names
  kSetAttr = 8,   // mode, owner, times; growing a file
  kTruncate = 9,  // shrinking a file, with its new last block if that is cut
  kPunch = 10,    // a range of blocks becomes a hole
  kClone = 11,    // blocks of one file become shared with another
  kSetXattr = 12,
  kRemoveXattr = 13,
  kFree = 14,        // inodes without a name and without a user are freed
  kMark = 15,        // an application names a state
  kMarkChange = 16,  // a mark is held or released
  kAllocate = 17,    // blocks of one file are preallocated
};
inline constexpr uint8_t kRecordTypeMax = 17;

// "data", "mark" …; "unknown" for a value that is not in the list.
std::string_view record_type_name(RecordType type);

}  // namespace tidemark
