// From a record to rows: the one place that says what each type of record means. Deterministic: the same records make the same
// rows at every site (only locations differ).
#pragma once

#include "volume/tree/state.h"

namespace tidemark {

class Applier {
 public:
  Applier(TreeState& state, const RecordHeader& header, Bytes payload, const Location& location)
      : state_(state), header_(header), payload_(payload), location_(location), now_(file_time(header.time_ns)) {}

  Status apply();

 private:
  Status genesis();
  Status data();
  Status make_node();
  Status link();
  Status unlink();
  Status rename();
  Status set_attr();
  Status truncate();
  Status punch();
  Status clone();
  Status allocate();
  Status set_xattr();
  Status remove_xattr();
  Status free_inodes();
  Status mark();
  Status mark_change();

  // The newest attributes; kCorrupt where the record speaks of an inode that is not there.
  Result<Attr> inode(Ino ino);
  void put_inode(const Attr& attr);
  void put_name(Ino parent, std::string_view name, const NameRow& row);
  void remove_name(Ino parent, std::string_view name);
  void put_xattr(Ino ino, std::string_view name, std::string_view value);
  // Takes a name away from an inode: nlink, ctime, the list of unnamed ones.
  void drop_name(Attr& attr);
  // Blocks [first, first + count) of the file lie at `extent` / are a hole now; attr.blocks follows.
  Status map_blocks(Attr& attr, uint64_t first, uint32_t count, const Extent& extent);
  Status unmap_blocks(Attr& attr, uint64_t first, uint64_t end);
  // The maps of those chunks of [first, end) that have rows; blocks [from, to) of the chunk are in the range. After write_batch().
  using ChunkVisitor = std::function<Status(uint64_t chunk, uint32_t from, uint32_t to, const ChunkMap& map)>;
  Status each_chunk(Ino ino, uint64_t first, uint64_t end, const ChunkVisitor& visit);
  Result<uint64_t> unwritten_blocks(Ino ino, const BlockRange& range);
  // Forgets ranges beyond the limit.
  Status limit_preallocation(Attr& attr);
  Status change_chunk(Attr& attr, uint64_t chunk, const std::function<void(ChunkMap&)>& change, const ChunkRun& delta,
                      bool hole);
  // Writes the batch now: what follows iterates over rows in the index.
  Status write_batch();
  [[nodiscard]] Status contradiction(std::string_view what) const;

  TreeState& state_;
  const RecordHeader& header_;
  Bytes payload_;
  const Location& location_;
  const FileTime now_;
};

}  // namespace tidemark
