// Keys of the index. An as-of row's key is its subject (what it is about) followed by the complement of its seq, big-endian: all
// rows of one subject lie together, the newest first, and "the newest at or before S" is one seek.
//
//   'I' ino                 inode attributes        'L' ino          target of a symlink (written once)
//   'D' parent name 00      a name                  'O' ino          an inode without a name
//   'X' ino name 00         an extended attribute   'K' mark id      a mark
//   'E' ino chunk           where 128 KiB of a file are   'N' mark name    its id
//                                                   'S'              which base the rows were swept for
//                                                   'Z'              how far the log is applied
#pragma once

#include <tidemark/types.h>

#include <bit>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace tidemark {

// A chunk: the part of a file that one extent row describes.
inline constexpr uint32_t kChunkBlocks = 32;
inline constexpr uint64_t kChunkBytes = uint64_t{kChunkBlocks} * kBlockSize;

inline void append_be64(std::string& key, uint64_t value) {
  const uint64_t swapped = __builtin_bswap64(value);
  key.append(reinterpret_cast<const char*>(&swapped), sizeof swapped);
}
inline uint64_t load_be64(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap64(value);
}

inline std::string numbered_key(char kind, uint64_t number) {
  std::string key(1, kind);
  append_be64(key, number);
  return key;
}
inline std::string inode_subject(Ino ino) { return numbered_key('I', ino.value()); }
inline std::string named_subject(char kind, Ino ino, std::string_view name) {
  std::string key = numbered_key(kind, ino.value());
  key.append(name).push_back('\0');
  return key;
}
inline std::string name_subject(Ino parent, std::string_view name) { return named_subject('D', parent, name); }
inline std::string xattr_subject(Ino ino, std::string_view name) { return named_subject('X', ino, name); }
inline std::string extent_subject(Ino ino, uint64_t chunk) {
  std::string key = numbered_key('E', ino.value());
  append_be64(key, chunk);
  return key;
}

inline std::string as_of_key(std::string subject, Seq seq) {
  append_be64(subject, ~seq.value());
  return subject;
}
inline constexpr size_t kSeqSuffix = 8;
inline bool is_as_of(std::string_view key) {
  return key.size() > kSeqSuffix && (key[0] == 'I' || key[0] == 'D' || key[0] == 'X' || key[0] == 'E');
}
inline std::string_view subject_of(std::string_view key) { return key.substr(0, key.size() - kSeqSuffix); }
inline Seq seq_of(std::string_view key) { return Seq(~load_be64(key.data() + key.size() - kSeqSuffix)); }
// The name in a 'D' or 'X' subject.
inline std::string_view name_of(std::string_view subject) { return subject.substr(9, subject.size() - 10); }

inline std::string symlink_key(Ino ino) { return numbered_key('L', ino.value()); }
inline std::string unnamed_key(Ino ino) { return numbered_key('O', ino.value()); }
inline std::string mark_key(MarkId id) { return numbered_key('K', id.value()); }
inline std::string mark_name_key(std::string_view name) { return std::string("N").append(name); }
inline constexpr std::string_view kMetaKey = "Z";
inline constexpr std::string_view kSweptKey = "S";

}  // namespace tidemark
