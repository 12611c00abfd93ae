// The digests of a log's sealed parts: what proves that they hold what they held when they were sealed, whoever repaired them since.
// docs/LOG_FORMAT.md, Digests, is the other half of this file.
//
//   byte  size  field
//      0     8  magic    "TIDEDIGE"
//      8     2  version  1
//     10     6           0
//     16    16  group
//     32    24           0
//     56     8  check    XXH3-64 over bytes 0..55
//
// Then entries of 64 bytes, each at a multiple of 64:
//      0     8  first     of the segment, or the pack
//      8     8  made_for  of the pack; 0: a segment
//     16     8  bytes     of the part; of a segment those that are used
//     24    32  digest    BLAKE2b-256; of a segment without its header
//     56     8  check     XXH3-64 over bytes 0..55
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/digest.h"
#include "base/file.h"
#include "log/log_types.h"

namespace tidemark {

inline constexpr uint32_t kDigestEntrySize = 64;
inline constexpr uint16_t kDigestsVersion = 1;

struct PartDigest {
  uint64_t bytes = 0;
  Digest digest{};
  bool operator==(const PartDigest&) const = default;
};

// What stands in place of a part's own bytes.
using Patches = std::map<uint64_t, std::string>;  // by byte in the file

// Reads the file. `packed`: it is a pack, else a segment; `bytes` of it, with the patches laid over them.
Result<Digest> digest_of(File& file, bool packed, uint64_t bytes, const Patches& patches = {});

// The same of the bytes from `from` up to `end`, added to others.
Status add_to_digest(Digester& digester, File& file, uint64_t from, uint64_t end, const Patches& patches = {});

// The file. Not thread-safe.
class DigestBook {
 public:
  // Empty where there is none. What is damaged in it counts as not there. kUnsupported: of a later version.
  static Result<DigestBook> load(FileSystem& files, const std::string& directory, const GroupId& group);

  [[nodiscard]] std::optional<PartDigest> find(const LogPart& part) const;
  // The newest segment that has one; 0: none has.
  [[nodiscard]] Seq newest() const { return newest_; }
  // Durable on return. The one before, if there was one, counts no longer.
  Status add(FileSystem& files, const std::string& directory, const LogPart& part, const PartDigest& digest);
  // Those of segments from `from` on count no longer: they were cut. Durable on return.
  Status forget(FileSystem& files, const std::string& directory, Seq from);
  // Writes the file anew, without parts that are gone, where these are most of it.
  Status tidy(FileSystem& files, const std::string& directory, Seq first, const std::vector<PackInfo>& packs);

 private:
  using Key = std::pair<uint64_t, uint64_t>;  // first, made_for
  static Key key_of(const LogPart& part);
  [[nodiscard]] std::string header() const;
  // The file and what is known of it become `kept`.
  Status replace(FileSystem& files, const std::string& directory, std::map<Key, PartDigest> kept);

  GroupId group_{};
  std::map<Key, PartDigest> entries_;
  Seq newest_;
  uint64_t written_ = 0;  // entries in the file, whole ones and others
};

}  // namespace tidemark
