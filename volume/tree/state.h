// The tree as rows: reading any point of it, and applying records to its newest one. Reading is thread-safe; apply() and write()
// are for one thread at a time (the group's commit lock).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "log/log.h"
#include "volume/index/hot_cache.h"
#include "volume/index/index.h"
#include "volume/index/rows.h"
#include "volume/tree/chunk_map.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

struct ShownDamage;  // volume/group/group.h

// For messages: a search that would look at more rows is given up.
inline constexpr size_t kPathRowsMax = 1'000'000;

// How many of the newest rows are kept at hand, beside the index.
struct HotRows {
  size_t inodes = 64 * 1024;  // about 16 MiB
  size_t chunks = 32 * 1024;  // the maps of 4 GiB of files, at most about 40 MiB
};

using ChunkMapPtr = std::shared_ptr<const ChunkMap>;

class TreeState {
 public:
  explicit TreeState(std::unique_ptr<Index> index, const HotRows& hot = {});

  // --- reading, at any seq; kLatest goes through the hot rows -------------------------------------------------------------
  Result<std::optional<Attr>> inode(Ino ino, Seq at);
  Result<std::optional<NameRow>> name(Ino parent, std::string_view name, Seq at);
  Result<ChunkMapPtr> chunk(Ino ino, uint64_t chunk, Seq at);  // an empty map where nothing is
  // Numbers of the chunks of `ino` from `first` on that have rows at or before `at`; at most `max`.
  Result<std::vector<uint64_t>> chunks(Ino ino, uint64_t first, Seq at, size_t max);
  Result<std::vector<DirEntry>> list(Ino directory, std::string_view after, size_t max, Seq at);
  Result<std::optional<std::string>> xattr(Ino ino, std::string_view name, Seq at);
  Result<std::vector<std::string>> list_xattr(Ino ino, Seq at);
  Result<std::optional<std::string>> symlink(Ino ino);
  Result<std::vector<Ino>> unnamed(size_t max);
  Result<std::optional<Mark>> mark(std::string_view name);
  Result<std::vector<Mark>> marks(MarkId after, size_t max);
  [[nodiscard]] Meta meta() const;  // as of the newest write()
  Result<uint64_t> fingerprint();
  // ok, or why what the index says of itself could not be read.
  [[nodiscard]] const Status& loaded() const { return loaded_; }
  // history.cc. A path of `ino` at `at`; nothing where it has none, or where it takes more than kPathRowsMax rows to find out.
  Result<std::optional<std::string>> path_of(Ino ino, Seq at);
  // Volume::find_name().
  Result<std::string> find_name(Ino directory, const std::function<bool(std::string_view)>& is_it);
  Result<std::vector<ShownDamage>> where_shown(const std::vector<Seq>& records, Seq base);
  Status flush() { return index_->flush(); }
  Result<bool> flush_soon() { return index_->flush_soon(); }
  Result<std::vector<std::string>> check_tables() { return index_->check_tables(false); }
  [[nodiscard]] Status writable() const { return index_->writable(); }
  [[nodiscard]] Index& index() { return *index_; }  // for what concerns all rows: base images and sweeps

  // --- changing ---------------------------------------------------------------------------------------------------------------
  // Adds the rows of one record to the batch. Records come in order of seq. kCorrupt: the record contradicts the tree (then the
  // state is unusable until reopened: the log has what the index lacks). kNoSpace: the index's disk is full, and nothing of this record
  // was done; write() and then the same record again.
  Status apply(const RecordHeader& header, Bytes payload, const Location& location);
  // Makes the batch visible to readers of the index. Its last record's position becomes meta().applied. On kNoSpace the batch is
  // kept: the next write() tries again.
  Status write();
  // Takes the records above `to` out again, as if they had never been applied; on disk on return. They are still in `log`. ok or not:
  // all of it was done or nothing.
  Status undo(Log& log, const Position& to);
  // The index was changed by other means, and nothing is in the batch: forget what was known of it.
  Status look_anew();
  // Bytes in the batch: a bound for the caller.
  [[nodiscard]] size_t batch_bytes() const { return batch_.bytes(); }

 private:
  friend class Applier;
  struct ChunkKey {
    Ino ino;
    uint64_t chunk;
    bool operator==(const ChunkKey&) const = default;
  };
  struct ChunkKeyHash {
    size_t operator()(const ChunkKey& key) const noexcept {
      return static_cast<size_t>(key.ino.value() * 0x9e3779b97f4a7c15u ^ key.chunk * 0xc2b2ae3d27d4eb4fu);
    }
  };
  struct InoHash {
    size_t operator()(const Ino& ino) const noexcept { return static_cast<size_t>(ino.value() * 0xff51afd7ed558ccdu); }
  };

  Result<ChunkMapPtr> read_chunk(Ino ino, uint64_t chunk, Seq at);
  Result<std::optional<std::pair<Ino, std::string>>> find_name(const std::string& prefix, Ino ino, Seq at,
                                                               size_t& rows_left);
  Status scan_names(char kind, Ino ino, std::string_view after, Seq at,
                    const std::function<bool(std::string_view name, std::string_view value)>& visit);

  std::unique_ptr<Index> index_;
  Status loaded_;
  HotCache<Ino, std::optional<Attr>, InoHash> inodes_;
  HotCache<ChunkKey, ChunkMapPtr, ChunkKeyHash> chunks_;
  IndexBatch batch_;
  Meta next_meta_;  // of the batch; the commit lock's
  mutable Mutex meta_mutex_;
  Meta meta_ TM_GUARDED_BY(meta_mutex_);
};

}  // namespace tidemark
