// What each type of record says: the payloads, decoded. docs/LOG_FORMAT.md has the grammar.
// decode_*() refuse (kCorrupt) what is short, too long, out of bounds or has anything left over; views in a decoded body
// live as long as the payload. encode_*() give the raw payload; they abort on a body that decode_*() would refuse (its limits are
// the caller's to check), because a log that holds it could never be opened again.
#pragma once

#include <tidemark/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "log/format/record.h"

namespace tidemark {

inline constexpr size_t kNameMax = 255;
inline constexpr size_t kSymlinkMax = 4095;
inline constexpr size_t kXattrValueMax = 65536;
inline constexpr size_t kNoteMax = 4096;
// Largest file: what the kernel lets programs write to (MAX_LFS_FILESIZE). It refuses more by itself, at once; of a smaller limit a writer
// would hear only when his pages are written back, and the kernel would go on showing the size that he meant.
inline constexpr uint64_t kFileSizeMax = INT64_MAX;
inline constexpr uint64_t kFileBlocksMax = kFileSizeMax / kBlockSize + 1;  // the last one is short of a byte

using GroupId = std::array<std::byte, 16>;
std::string group_id_text(const GroupId& id);  // 32 hexadecimal digits

// Time as a file has it: before 1970 and after 2262 too.
struct FileTime {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;  // 0 … 999,999,999
  auto operator<=>(const FileTime&) const = default;
};
FileTime file_time(int64_t ns_since_1970);

struct Genesis {
  GroupId group{};
  std::string_view name;
  uint32_t root_mode = 0755;  // permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
};
std::string encode_genesis(const Genesis& body);
Result<Genesis> decode_genesis(Bytes payload);

struct EpochChange {
  Epoch previous;
  std::string_view site;  // who begins the tenure
  std::string_view reason;
};
std::string encode_epoch(const EpochChange& body);
Result<EpochChange> decode_epoch(Bytes payload);

// Data: fixed part, one XXH3-64 per raw block, then the blocks (raw, or one LZ4 block with kFlagLz4).
//   byte 0  u64 first_block   8  u64 size_after   16  u16 count   18  u8 keep_times   19  zeros to 24   24  u64 × count
inline constexpr uint32_t kDataFixedSize = 24;
struct DataBody {
  uint64_t first_block = 0;  // in blocks of the file
  uint64_t size_after = 0;   // the file is at least this long afterwards (bytes)
  uint16_t count = 0;        // blocks, 1 … kDataBlocksMax
  bool keep_times = false;   // mtime and ctime stay: the writer's kernel sends them on their own
  Bytes checks;              // count × 8 bytes
  Bytes blocks;              // stored form
  [[nodiscard]] uint64_t check(uint32_t index) const { return load_le<uint64_t>(checks.data() + size_t{index} * 8); }
};
// Byte of the record's payload at which its blocks begin.
constexpr uint32_t data_blocks_at(uint32_t count) { return kDataFixedSize + count * 8; }
// Builds a data record from whole raw blocks: sums each, compresses all where that saves at least an eighth.
// `blocks.size()` is a multiple of kBlockSize, at most kDataBlocksMax of them. Costly: call it outside every lock.
RecordDraft make_data_draft(uint16_t volume, Ino ino, uint64_t first_block, uint64_t size_after, bool keep_times,
                            Bytes blocks);
Result<DataBody> decode_data(const RecordHeader& header, Bytes payload);
// The raw blocks of a data record, decompressed where needed and each checked against its sum, into `out`
// (count × kBlockSize bytes). kCorrupt names the block.
Status extract_blocks(const RecordHeader& header, const DataBody& body, MutableBytes out);

struct XattrPair {
  std::string_view name;
  std::string_view value;
};
struct MakeNode {
  Ino parent;  // 0 with an empty name: an unnamed file (O_TMPFILE)
  std::string_view name;
  uint32_t mode = 0;  // type and permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t device = 0;  // for character and block devices
  std::string_view symlink_target;
  std::vector<XattrPair> xattrs;  // those it is born with (inherited ACLs)
};                                // header.ino: the new inode
// Of a directory entry: 1 … kNameMax bytes, without NUL and '/', neither "." nor "..".
bool valid_name(std::string_view name);
bool valid_xattr_name(std::string_view name);
std::string encode_make_node(const MakeNode& body);
Result<MakeNode> decode_make_node(Bytes payload);

struct LinkBody {
  Ino parent;
  std::string_view name;
};  // header.ino: the inode that gets or loses the name
std::string encode_link(const LinkBody& body);
Result<LinkBody> decode_link(Bytes payload);  // kLink and kUnlink

struct RenameBody {
  Ino from_parent;
  std::string_view from_name;
  Ino to_parent;
  std::string_view to_name;
  bool exchange = false;
  Ino replaced;  // what had the target name (with exchange: what moves the other way); 0: nothing
  Ino whiteout;  // with RENAME_WHITEOUT: the inode of the new character device 0:0 under from_name; else 0
};               // header.ino: the inode that moves
std::string encode_rename(const RenameBody& body);
Result<RenameBody> decode_rename(Bytes payload);

enum SetAttrMask : uint32_t {
  kSetMode = 1 << 0,
  kSetUid = 1 << 1,
  kSetGid = 1 << 2,
  kSetAtime = 1 << 3,
  kSetMtime = 1 << 4,
  kSetCtime = 1 << 5,  // otherwise ctime becomes the record's time
  kSetSize = 1 << 6,   // only ever grows the file; shrinking is kTruncate
};
struct SetAttr {
  uint32_t mask = 0;
  uint32_t mode = 0;  // permission bits, 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  FileTime atime;
  FileTime mtime;
  FileTime ctime;
  uint64_t size = 0;
};
std::string encode_set_attr(const SetAttr& body);
Result<SetAttr> decode_set_attr(Bytes payload);

// Shrinking: everything from `size` on is gone. Where `size` cuts a block that has data, the block follows with zeros after
// the cut; else nothing follows.
//   byte 0  u64 size   8  u64 blocks that follow (0 or 1)   16  u64 XXH3-64 of the block, or 0   24  the block, raw
struct TruncateBody {
  uint64_t size = 0;
  Bytes last_block;         // kBlockSize bytes or none
  uint64_t last_check = 0;  // encode_truncate() works it out itself
};
std::string encode_truncate(const TruncateBody& body);
Result<TruncateBody> decode_truncate(Bytes payload);
// Byte of a truncate record's payload at which its last block begins.
inline constexpr uint32_t kTruncateBlockAt = 24;

struct PunchBody {
  uint64_t first_block = 0;
  uint64_t count = 0;  // blocks
};
std::string encode_punch(const PunchBody& body);
Result<PunchBody> decode_punch(Bytes payload);

inline constexpr uint64_t kCloneBlocksMax = 32768;  // 128 MiB a record: bounds the rows one record makes
struct CloneBody {
  Ino source;
  uint64_t source_block = 0;
  uint64_t target_block = 0;
  uint64_t count = 0;       // blocks, 1 … kCloneBlocksMax
  uint64_t size_after = 0;  // the target is at least this long afterwards
};                          // header.ino: the target
std::string encode_clone(const CloneBody& body);
Result<CloneBody> decode_clone(Bytes payload);

struct AllocateBody {
  uint64_t first_block = 0;
  uint64_t count = 0;       // blocks
  uint64_t size_after = 0;  // the file is at least this long afterwards
};
std::string encode_allocate(const AllocateBody& body);
Result<AllocateBody> decode_allocate(Bytes payload);

struct XattrBody {
  std::string_view name;
  std::string_view value;  // empty in kRemoveXattr
};
std::string encode_xattr(const XattrBody& body);
Result<XattrBody> decode_xattr(Bytes payload);

inline constexpr size_t kFreeMax = 1024;
std::string encode_free(const std::vector<Ino>& inodes);
Result<std::vector<Ino>> decode_free(Bytes payload);

struct MarkBody {
  MarkId id;
  std::string_view name;
  std::string_view application;
  uint32_t pid = 0;
  uint32_t uid = 0;
  std::string_view note;
};
// UTF-8, 1 … kNameMax bytes, without @ / : and control characters. Ask before encoding: an encoder aborts on a bad body.
bool valid_mark_name(std::string_view name);
std::string encode_mark(const MarkBody& body);
Result<MarkBody> decode_mark(Bytes payload);

struct MarkChange {
  MarkId id;
  bool held = false;
};
std::string encode_mark_change(const MarkChange& body);
Result<MarkChange> decode_mark_change(Bytes payload);

}  // namespace tidemark
