// A difference, held against the tree before it becomes a part of it: the rows of a difference are another site's word, as records are
// (record_check.h), and what would make a tree that no file system has must not get in.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "volume/difference/difference.h"
#include "volume/tree/state.h"

namespace tidemark {

// Memory of a check, however large the difference is: what is more goes to a scratch index, DIR/index.incoming, which ends with it.
inline constexpr uint64_t kCheckMemoryBytes = uint64_t{24} << 20;  // of its own: whoever sends it takes nothing from others
inline constexpr uint64_t kCheckRowBytes = uint64_t{16} << 20;     // of that, for rows that are not on disk yet
inline constexpr uint64_t kCheckBufferBytes = uint64_t{8} << 20;
inline constexpr size_t kCheckCountsMax = 100'000;  // counts, and directories seen, in memory

class DifferenceCheck {
 public:
  // `state`: the copy's tree, at offer.from.
  static Result<std::unique_ptr<DifferenceCheck>> open(const std::string& directory, TreeState& state,
                                                       const DifferenceOffer& offer);
  ~DifferenceCheck();  // removes the scratch index
  DifferenceCheck(const DifferenceCheck&) = delete;
  DifferenceCheck& operator=(const DifferenceCheck&) = delete;

  // Every row once, each checked by itself already.
  Status add(std::string_view key, std::string_view value);
  // After the last one. kCorrupt: what the rows contradict.
  Status finish();

  // Records up to the copy's position and where they lie here, for whoever has to look for them.
  Status remember(Seq record, const Location& place);
  Result<std::optional<Location>> remembered(Seq record);

  // Removes what an interruption left.
  static Status clean(const std::string& directory);

 private:
  enum class Count : char { kNames = 'n', kDirectories = 'd', kXattrs = 'x', kBlocks = 'b' };
  using CountKey = std::pair<Count, Ino>;
  struct CountKeyHash {
    size_t operator()(const CountKey& key) const noexcept {
      return static_cast<size_t>(key.second.value() * 0x9e3779b97f4a7c15u) ^ static_cast<size_t>(key.first);
    }
  };

  DifferenceCheck(std::string directory, TreeState& state, const DifferenceOffer& offer)
      : directory_(std::move(directory)), state_(state), offer_(offer), next_ino_(state.meta().next_ino) {}

  Status write_batch(size_t least);
  Status count(Count what, Ino ino, int64_t more);
  Status spill_counts();
  Result<int64_t> counted(Count what, Ino ino);
  // Each subject of a kind with its newest row.
  Status each_subject(char kind, const std::function<Status(const std::string& subject, std::string_view value)>& visit);
  Result<std::optional<Attr>> before(Ino ino);  // at the copy's position
  Result<std::optional<Attr>> after(Ino ino);   // with the difference
  Status check_name_row(const std::string& subject, std::string_view value);
  Status check_xattr(const std::string& subject, std::string_view value);
  Status check_extent(const std::string& subject, std::string_view value);
  Status check_inode(const std::string& subject, std::string_view value);
  Status check_counts(Ino ino);
  Status check_symlink(std::string_view key, std::string_view value);
  Status check_mark(std::string_view value);
  Status check_way_up(Ino directory);
  Result<bool> seen(Ino directory);
  Status see(const std::vector<Ino>& directories);

  const std::string directory_;
  TreeState& state_;
  const DifferenceOffer& offer_;
  const Ino next_ino_;
  std::unique_ptr<Index> scratch_;
  IndexBatch batch_;
  std::unordered_map<CountKey, int64_t, CountKeyHash> counts_;
  std::unordered_set<uint64_t> seen_;
};

}  // namespace tidemark
