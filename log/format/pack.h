// Packs: what is still needed of old segments. Records keep their logical address (Location: segment and byte there); a sorted
// table says where in the pack each lies now. So nothing that points at a record is ever rewritten when it moves.
// docs/LOG_FORMAT.md is the other half of this file.
//
//   byte  size  field
//      0     8  magic        "TIDEPACK"
//      8     2  version      2; 3: of an adopted segment
//     10     2  flags        0
//     12     4               0
//     16    16  group
//     32     8  first        first seq of the oldest segment it stands for
//     40     8  end          first seq of the first segment it does not stand for
//     48     8  made_for     the base it was written for
//     56     8  table_at     byte behind the last record
//     64     8  entries      in the table, one for each record
//     72     8  table_check  XXH3-64 over the whole table
//     80     8  check        XXH3-64 over bytes 0..79
//
// Then the records, back to back, as they were in their segments; then the table: blocks of 170 entries (the last one shorter),
// each followed by its XXH3-64. An entry: u64 segment, u32 offset, u32 size, u64 byte in this file. Then the same table once more, from the
// next multiple of 4,096 on, with which the file ends: a record can be had again from a site, its address cannot. (Version 1 had one
// table.) The header follows from the floor's entry and the table.
//
// An adopted segment (PackInfo::adopted) is a pack whose records stay where they were written: no record lies between header and table, and the
// byte of an entry is one of the segment's file, the same as its offset.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "log/format/floor.h"
#include "log/log_types.h"
#include "log/repair/digests.h"

namespace tidemark {

inline constexpr uint32_t kPackHeaderSize = 88;
inline constexpr uint16_t kPackVersion = 2;
inline constexpr uint16_t kPackOneTable = 1;  // version
inline constexpr uint16_t kPackAdopted = 3;   // version
inline constexpr uint32_t kPackEntrySize = 24;
inline constexpr uint32_t kPackBlockEntries = 170;
inline constexpr uint32_t kPackBlockSize = kPackBlockEntries * kPackEntrySize + 8;  // on disk, one page or two

std::string pack_name(const PackInfo& pack);  // 20 digits, '-', 20 digits, ".pack"
bool is_pack_name(std::string_view name);
std::string pack_path(const std::string& directory, const PackInfo& pack);

struct PackEntry {
  Location location;
  uint32_t size = 0;  // of the record, padding included
  uint64_t at = 0;    // byte in the pack; of an adopted segment, in that
};

// What a pack with these entries, and these bytes of records in it, takes on the disk.
uint64_t pack_file_bytes(uint64_t entries, uint64_t record_bytes);

// The pack is there (and the segment that it adopts), of the right size, and its header is the one the floor names, or can be worked out.
// Reads the header alone where that is sound.
Status check_pack(FileSystem& files, const std::string& directory, const PackInfo& pack, const GroupId& group);

// A record in a pack: as sound as it was in its segment. The chain before it is gone, so its place in the order is not checked.
// `header` is set as far as it can be.
RecordFault check_packed_record(Bytes whole, RecordHeader& header);

// An open pack. Thread-safe.
class Pack {
 public:
  // Bytes of the header or the table that are damaged, and what they should be.
  struct Spoilt {
    uint64_t at = 0;
    std::string content;
  };
  // Reads and checks header and table, each from its copy where that is needed; keeps the first address of each block of the table.
  static Result<std::shared_ptr<Pack>> open(FileSystem& files, const std::string& directory, const PackInfo& pack,
                                            const GroupId& group);
  // kNotFound: no such record here.
  Result<PackEntry> find(const Location& location) const;
  // The entries from `index` on, in order, that one block of the table holds: none behind the last.
  Result<std::vector<PackEntry>> entries_from(uint64_t index) const;
  // Index of the first record with this seq or a later one. kCorrupt where a record on the way to it is damaged.
  Result<uint64_t> first_from(Seq seq) const;
  // Reads header and table whole, both copies.
  Result<std::vector<Spoilt>> spoilt() const;
  // All entries in order; visit returns Status and may end the walk.
  Status entries(const std::function<Status(const PackEntry&)>& visit) const;
  // kCorrupt, naming the pack, the byte and the record.
  [[nodiscard]] Status damaged(uint64_t at, Seq seq, std::string_view what) const;
  // Of the whole pack: of its file, and the records of an adopted segment behind that. As patches, by byte in the file, stand in place
  // of what is there.
  Result<Digest> digest(const Patches& patches = {}, const Patches& of_records = {}) const;
  // Drops from the page cache what it has of the pack.
  void forget() const;
  // What the entries speak of: the pack's own file, or the adopted segment's.
  [[nodiscard]] const std::shared_ptr<File>& records() const { return records_; }
  [[nodiscard]] const PackInfo& info() const { return info_; }

 private:
  Pack(std::shared_ptr<File> file, std::shared_ptr<File> records, const PackInfo& info)
      : file_(std::move(file)), records_(std::move(records)), info_(info) {}
  [[nodiscard]] Status damaged(uint64_t at, std::string_view what) const;
  Status read_table();
  // A block of the table, sum included, as this copy has it; empty where that is damaged.
  Result<std::string> block_of_copy(size_t number, uint32_t copy) const;
  Result<std::string> block_bytes(size_t number) const;
  Result<std::vector<PackEntry>> block(size_t number) const;
  [[nodiscard]] size_t blocks() const;
  [[nodiscard]] uint64_t table_begin(uint32_t copy) const;

  const std::shared_ptr<File> file_;
  const std::shared_ptr<File> records_;
  const PackInfo info_;
  std::string header_;  // as it should be
  uint64_t table_at_ = 0;
  uint64_t table_check_ = 0;
  uint32_t copies_ = 0;  // of the table
  std::vector<Location> firsts_;
};

// The file that the records of a pack lie in.
std::string records_path(const std::string& directory, const PackInfo& pack);

// Writes one pack. Not durable, nor anything a floor names, before finish().
class PackWriter {
 public:
  static Result<std::unique_ptr<PackWriter>> create(FileSystem& files, const std::string& directory, const GroupId& group,
                                                    Seq first, Seq made_for);
  // The table of segment `first`, whose records stay where they are.
  static Result<std::unique_ptr<PackWriter>> adopt(FileSystem& files, const std::string& directory, const GroupId& group,
                                                   Seq first, Seq made_for);
  // Records come in order of location.
  Status add(const Location& location, Bytes whole);
  // The pack stands for segments below `end`. Its content is durable on return; its name is once the directory is synced.
  Result<PackInfo> finish(Seq end);
  [[nodiscard]] uint64_t bytes() const { return at_; }
  [[nodiscard]] const PackInfo& info() const { return info_; }

 private:
  PackWriter() = default;
  Status flush();

  std::unique_ptr<File> file_;
  GroupId group_{};
  PackInfo info_;
  std::vector<PackEntry> entries_;
  std::string buffer_;             // not written yet
  uint64_t at_ = kPackHeaderSize;  // of the next record
  bool adopts_ = false;
};

// The packs of an open log. Thread-safe; its mutex is a leaf, and no file is touched under it.
class PackSet {
 public:
  PackSet(FileSystem& files, std::string directory) : files_(files), directory_(std::move(directory)) {}
  void replace(const Floor& floor);
  // Where a record of a segment that is gone lies now. kNotFound: nowhere.
  struct Found {
    std::shared_ptr<Pack> pack;
    PackEntry entry;
  };
  Result<Found> find(const Location& location);
  Result<std::shared_ptr<Pack>> open(const PackInfo& pack);
  [[nodiscard]] Floor floor() const;
  [[nodiscard]] Position base() const;
  [[nodiscard]] uint64_t bytes() const;
  [[nodiscard]] std::vector<Gap> gaps() const;
  // The first pack that may hold a record from `from` on.
  [[nodiscard]] std::optional<PackInfo> pack_from(Seq from) const;
  // The position of a record that is no longer held, where the floor still has it.
  [[nodiscard]] std::optional<Position> known(Seq seq) const;

 private:
  FileSystem& files_;
  const std::string directory_;
  mutable Mutex mutex_;
  Floor floor_ TM_GUARDED_BY(mutex_);
  uint64_t bytes_ TM_GUARDED_BY(mutex_) = 0;
  std::list<std::shared_ptr<Pack>> open_ TM_GUARDED_BY(mutex_);  // most recently used first
};

// Reads an open pack whole: header, table, records. `advance` is called once a record, with its bytes; what it returns, unless ok, ends it.
Status check_pack_content(const Pack& pack, const std::function<void(const LogDamage&)>& report,
                          const std::function<Status(uint64_t bytes)>& advance);

}  // namespace tidemark
