// Questions about the tree's whole history, for messages and reports: slow, and asked seldom.
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "volume/group/group.h"
#include "volume/tree/state.h"

namespace tidemark {
namespace {

constexpr size_t kPathDepthMax = 4096;
constexpr size_t kShownMax = 10'000;
constexpr size_t kShownPathsMax =
    100;  // further ones are told by their inode alone: each path may take a walk over all names

// What one chunk of a file showed over time.
class ChunkHistory {
 public:
  ChunkHistory(Ino ino, uint64_t chunk, const std::unordered_set<Seq>& records)
      : ino_(ino), chunk_(chunk), records_(records) {}

  void apply(Seq at, const ExtentRow& row) {
    if (row.keyframe) map_ = ChunkMap();
    for (const ChunkRun& run : row.runs) {
      if (row.hole) {
        map_.erase(run.first, run.count);
      } else {
        map_.assign(run.first, run.count, run.extent);
      }
    }
    look(at);
  }

  // What is still shown stays open: until kLatest.
  std::vector<ShownDamage> take() {
    for (auto& [seq, shown] : open_) closed_.push_back(shown);
    return std::move(closed_);
  }

 private:
  void look(Seq at) {
    std::map<Seq, std::pair<uint64_t, uint64_t>> now;  // record → blocks [first, end) of the file
    for (const ChunkRun& run : map_.runs()) {
      if (!records_.contains(run.extent.seq)) continue;
      const uint64_t first = chunk_ * kChunkBlocks + run.first;
      auto [found, added] = now.try_emplace(run.extent.seq, first, first + run.count);
      if (!added) found->second = {std::min(found->second.first, first), std::max(found->second.second, first + run.count)};
    }
    for (auto each = open_.begin(); each != open_.end();) {
      if (now.contains(each->first)) {
        ++each;
        continue;
      }
      each->second.until = at;
      closed_.push_back(each->second);
      each = open_.erase(each);
    }
    for (const auto& [seq, blocks] : now) {
      ShownDamage shown{seq, ino_, "", blocks.first * kBlockSize, (blocks.second - blocks.first) * kBlockSize, at, kLatest};
      open_.try_emplace(seq, shown);
    }
  }

  const Ino ino_;
  const uint64_t chunk_;
  const std::unordered_set<Seq>& records_;
  ChunkMap map_;
  std::map<Seq, ShownDamage> open_;
  std::vector<ShownDamage> closed_;
};

// One line for each file and record: from the first to the last point and block.
void merge(std::vector<ShownDamage>& all, const ShownDamage& one) {
  for (ShownDamage& known : all) {
    if (known.ino != one.ino || known.record != one.record) continue;
    const uint64_t end = std::max(known.at + known.bytes, one.at + one.bytes);
    known.at = std::min(known.at, one.at);
    known.bytes = end - known.at;
    known.from = std::min(known.from, one.from);
    known.until = std::max(known.until, one.until);
    return;
  }
  if (all.size() < kShownMax) all.push_back(one);
}

}  // namespace

Result<std::optional<std::pair<Ino, std::string>>> TreeState::find_name(const std::string& prefix, Ino ino, Seq at,
                                                                        size_t& rows_left) {
  using Found = std::optional<std::pair<Ino, std::string>>;
  IndexScan rows = index_->scan();
  std::string decided;
  for (rows.seek(prefix); rows.valid() && rows.key().starts_with(prefix); rows.next()) {
    if (rows_left == 0) return Found();
    --rows_left;
    const std::string_view subject = subject_of(rows.key());
    if (subject == decided || seq_of(rows.key()) > at) continue;
    decided.assign(subject);
    if (rows.value().empty()) continue;
    TM_ASSIGN(const NameRow row, decode_name_row(rows.value()));
    if (row.ino == ino) return Found({Ino(load_be64(subject.data() + 1)), std::string(name_of(subject))});
  }
  TM_TRY(rows.status());
  return Found();
}

Result<std::string> TreeState::find_name(Ino directory, const std::function<bool(std::string_view)>& is_it) {
  const std::string prefix = numbered_key('D', directory.value());
  IndexScan rows = index_->scan();
  std::string decided;
  std::optional<std::string> found;
  for (rows.seek(prefix); rows.valid() && rows.key().starts_with(prefix); rows.next()) {
    const std::string_view subject = subject_of(rows.key());
    if (subject == decided) continue;
    decided.assign(subject);
    if (is_it(name_of(subject))) found = std::string(name_of(subject));
  }
  TM_TRY(rows.status());
  if (!found) return Status(Code::kNotFound, "the directory has and had no such name");
  return *found;
}

Result<std::optional<std::string>> TreeState::path_of(Ino ino, Seq at) {
  std::string path;
  size_t rows_left = kPathRowsMax;
  for (size_t depth = 0; ino != kRootIno; ++depth) {
    if (depth == kPathDepthMax) return std::optional<std::string>();
    TM_ASSIGN(const auto attr, inode(ino, at));
    if (!attr) return std::optional<std::string>();
    // A directory knows its parent; of a file every name has to be looked at.
    const std::string prefix = S_ISDIR(attr->mode) ? numbered_key('D', attr->parent.value()) : std::string("D");
    TM_ASSIGN(const auto found, find_name(prefix, ino, at, rows_left));
    if (!found) return std::optional<std::string>();
    path = path.empty() ? found->second : found->second + "/" + path;
    ino = found->first;
  }
  return std::optional<std::string>(std::move(path));
}

Result<std::vector<ShownDamage>> TreeState::where_shown(const std::vector<Seq>& records, Seq base) {
  std::vector<ShownDamage> all;
  const std::unordered_set<Seq> wanted(records.begin(), records.end());
  if (wanted.empty()) return all;
  IndexScan rows = index_->scan();
  rows.seek("E");
  while (rows.valid() && rows.key()[0] == 'E') {
    const std::string subject(subject_of(rows.key()));
    std::vector<std::pair<Seq, ExtentRow>> newest_first;
    bool concerned = false;
    for (; rows.valid() && is_as_of(rows.key()) && subject_of(rows.key()) == subject; rows.next()) {
      TM_ASSIGN(ExtentRow row, decode_extent_row(rows.value()));
      for (const ChunkRun& run : row.runs) concerned = concerned || (!row.hole && wanted.contains(run.extent.seq));
      newest_first.emplace_back(seq_of(rows.key()), std::move(row));
    }
    if (!concerned) continue;
    ChunkHistory history(Ino(load_be64(subject.data() + 1)), load_be64(subject.data() + 9), wanted);
    std::for_each(newest_first.rbegin(), newest_first.rend(),
                  [&](const auto& row) { history.apply(row.first, row.second); });
    for (const ShownDamage& one : history.take()) merge(all, one);
  }
  TM_TRY(rows.status());
  for (ShownDamage& shown : all) {
    TM_ASSIGN(const auto newest, index_->newest(inode_subject(shown.ino), kLatest));
    if (newest && newest->value.empty()) shown.until = std::min(shown.until, newest->seq);  // the file is gone since then
    shown.from = std::max(shown.from, base);                                                // nothing older can be shown
  }
  std::erase_if(all, [](const ShownDamage& shown) { return shown.until <= shown.from; });
  for (ShownDamage& shown : all) {
    if (&shown - all.data() >= static_cast<ptrdiff_t>(kShownPathsMax)) continue;
    TM_ASSIGN(auto path, path_of(shown.ino, shown.from));
    if (path) shown.path = std::move(*path);
  }
  return all;
}

}  // namespace tidemark
