// Values of the index's rows (all but the extents: chunk_map.h). An empty value is a tombstone: from that seq on, no such thing.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "volume/history/point.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

// The index's format; another number means: rebuild.
inline constexpr uint32_t kIndexFormat = 2;

std::string encode_inode_row(const Attr& attr);
// `ino` and `seq` come from the key. kCorrupt.
Result<Attr> decode_inode_row(Ino ino, Seq seq, std::string_view value);

struct NameRow {
  Ino ino;
  uint32_t mode = 0;  // type bits
};
std::string encode_name_row(const NameRow& row);
Result<NameRow> decode_name_row(std::string_view value);

// An extended attribute's value may be empty: one byte goes before it, so that only a tombstone is.
std::string encode_xattr_row(std::string_view value);
Result<std::string> decode_xattr_row(std::string_view value);

std::string encode_mark_row(const Mark& mark);
Result<Mark> decode_mark_row(std::string_view value);

// How far the log is applied, and the counters that follow from it. Written with every batch: whatever RocksDB has kept after a
// crash, this row says exactly how far it reaches.
struct Meta {
  Position applied;
  Ino next_ino{2};
  MarkId next_mark{1};
  uint64_t inodes = 0;
  GroupId group{};
  bool operator==(const Meta&) const = default;
};
std::string encode_meta(const Meta& meta);
Result<Meta> decode_meta(std::string_view value);

}  // namespace tidemark
