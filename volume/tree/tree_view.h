// A tree at a point: what a read-only mount serves, a restore writes and a comparison compares. The live volume, a past point
// of a local group and a point at a remote site are all this.
#pragma once

#include <tidemark/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "log/format/body.h"
#include "volume/tree/preallocation.h"

namespace tidemark {

struct Attr {
  Ino ino;
  uint32_t mode = 0;  // type and permission bits, as st_mode
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 0;   // 0: without a name, in use only
  uint64_t device = 0;  // st_rdev
  uint64_t size = 0;    // bytes; of a symlink: its length
  uint64_t blocks = 0;  // of kBlockSize bytes that hold data
  FileTime atime;
  FileTime mtime;
  FileTime ctime;
  FileTime btime;
  Ino parent;                // of a directory; its own ino for the root
  uint32_t xattr_count = 0;  // extended attributes it has: 0 spares the look-up
  Seq changed;  // newest record that changed these attributes (content overwritten by write-back shows with its times)
  Preallocation preallocation;
  // As st_blocks / 8 has it: blocks that hold data, and those that were asked for in advance.
  [[nodiscard]] uint64_t blocks_taken() const { return blocks + preallocation.unwritten(); }
  bool operator==(const Attr&) const = default;
};

struct DirEntry {
  std::string name;
  Ino ino;
  uint32_t mode = 0;  // only the type bits (S_IFMT) are set
  bool operator==(const DirEntry&) const = default;
};

// A run of bytes that hold data; what lies between runs reads as zeros and takes no space.
struct DataRange {
  uint64_t at = 0;
  uint64_t size = 0;
  bool operator==(const DataRange&) const = default;
};

// All calls are thread-safe and change nothing. Failures common to all: kStale (no such inode at this point), kCorrupt (a
// checksum is wrong; nothing is returned), kIo; from a remote site also kUnreachable and kTimeout.
class TreeView {
 public:
  virtual ~TreeView() = default;
  // The seq this view shows; kLatest for the live volume.
  [[nodiscard]] virtual Seq point() const = 0;
  [[nodiscard]] Ino root() const { return kRootIno; }

  virtual Result<Attr> get_attr(Ino ino) = 0;
  // kNotFound, kNotDirectory. "." and ".." are not names.
  virtual Result<Attr> lookup(Ino directory, std::string_view name) = 0;
  // Entries whose name sorts (bytewise) after `after` ("" for the first), in that order, at most `max`; fewer only at the end.
  virtual Result<std::vector<DirEntry>> list(Ino directory, std::string_view after, size_t max) = 0;
  virtual Result<std::string> read_link(Ino ino) = 0;  // kInvalid if it is none
  // Fills `out` from byte `at`; returns less only at the end of the file. Holes read as zeros. Every block is verified.
  virtual Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) = 0;
  // Data in [from, to), in order, adjoining runs joined, cut to the size of the file; at most `max` runs. Block granularity.
  virtual Result<std::vector<DataRange>> data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) = 0;
  // XXH3-64 of each block from byte `at` (a multiple of kBlockSize) on, at most `count` of them; fewer only at the end of the file,
  // whose last block counts as far as it goes. Each is read and verified where it lies: from a site come the sums alone.
  virtual Result<std::vector<uint64_t>> block_sums(Ino ino, uint64_t at, size_t count);
  virtual Result<std::string> get_xattr(Ino ino, std::string_view name) = 0;  // kNoData
  virtual Result<std::vector<std::string>> list_xattr(Ino ino) = 0;           // sorted
};

// The inode at `path` ("" or "/" is the root; components split at '/', "." skipped; ".." and symlinks are not followed).
Result<Attr> resolve_path(TreeView& view, std::string_view path);

}  // namespace tidemark
