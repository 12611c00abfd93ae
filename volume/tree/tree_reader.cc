#include "volume/tree/tree_reader.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/hash.h"
#include "volume/tree/block_reader.h"

namespace tidemark {
namespace {

constexpr int kMovedRetries = 3;

}  // namespace

Result<Attr> TreeReader::get_attr(Ino ino) const {
  TM_ASSIGN(auto found, state_.inode(ino, point_));
  if (!found) return Status(Code::kStale, "there is no inode " + std::to_string(ino.value()) + " at this point");
  return *found;
}

Result<Attr> TreeReader::directory(Ino ino) const {
  TM_ASSIGN(Attr attr, get_attr(ino));
  if (!S_ISDIR(attr.mode))
    return Status(Code::kNotDirectory, "inode " + std::to_string(ino.value()) + " is not a directory");
  return attr;
}

Result<Attr> TreeReader::lookup(Ino parent, std::string_view name) const {
  if (name.size() > kNameMax) return Status(Code::kNameTooLong, "a name is at most 255 bytes long");
  TM_ASSIGN(auto found, state_.name(parent, name, point_));
  if (found) return get_attr(found->ino);
  TM_TRY(directory(parent).status());
  return Status(Code::kNotFound, "there is no such name");
}

Result<std::vector<DirEntry>> TreeReader::list(Ino parent, std::string_view after, size_t max) const {
  TM_TRY(directory(parent).status());
  return state_.list(parent, after, max, point_);
}

Result<std::string> TreeReader::read_link(Ino ino) const {
  TM_ASSIGN(Attr attr, get_attr(ino));
  if (!S_ISLNK(attr.mode)) return Status(Code::kInvalid, "this is not a symbolic link");
  TM_ASSIGN(auto target, state_.symlink(ino));
  if (!target)
    return Status(Code::kCorrupt, "the index lacks a symbolic link's target; remove DIR/index to have it rebuilt");
  return *target;
}

// For the operator: which file is damaged, and where in it.
std::string TreeReader::place(Ino ino, uint64_t at) const {
  auto path = state_.path_of(ino, point_);
  const std::string file = path.ok() && *path ? "file '" + **path + "'" : "a file";
  return file + " (inode " + std::to_string(ino.value()) + "), byte " + std::to_string(at);
}

Status TreeReader::read_blocks(Ino ino, uint64_t first, MutableBytes out) const {
  const uint64_t end = first + out.size() / kBlockSize;
  for (uint64_t block = first; block < end;) {
    const uint64_t stop = std::min(end, (block / kChunkBlocks + 1) * kChunkBlocks);
    const MutableBytes part = out.subspan((block - first) * kBlockSize, (stop - block) * kBlockSize);
    Status got = read_in_chunk(ino, block, part);
    // What the newest map points at can be overwritten and pruned while we look: then there is a newer map. A point stays.
    for (int retry = 0; got.code() == Code::kNotFound && point_ == kLatest && retry < kMovedRetries; ++retry) {
      got = read_in_chunk(ino, block, part);
    }
    TM_TRY(got);
    block = stop;
  }
  return Status();
}

// Blocks from `block` on, of one chunk.
Status TreeReader::read_in_chunk(Ino ino, uint64_t block, MutableBytes out) const {
  const uint64_t chunk = block / kChunkBlocks;
  const uint64_t chunk_begin = chunk * kChunkBlocks;
  const uint64_t stop = block + out.size() / kBlockSize;
  TM_ASSIGN(ChunkMapPtr map, state_.chunk(ino, chunk, point_));
  uint64_t done = block;
  for (const ChunkRun& run : map->runs()) {
    const uint64_t from = std::max(chunk_begin + run.first, block);
    const uint64_t to = std::min(chunk_begin + run.first + run.count, stop);
    if (from >= to) continue;
    std::memset(out.data() + (done - block) * kBlockSize, 0, (from - done) * kBlockSize);
    Extent extent = run.extent;
    extent.index = static_cast<uint8_t>(extent.index + (from - chunk_begin - run.first));
    const auto count = static_cast<uint32_t>(to - from);
    Status got = read_run(log_, extent, count, out.subspan((from - block) * kBlockSize, size_t{count} * kBlockSize));
    if (!got.ok()) return got.within(place(ino, from * kBlockSize));
    done = to;
  }
  std::memset(out.data() + (done - block) * kBlockSize, 0, (stop - done) * kBlockSize);
  return Status();
}

Result<size_t> TreeReader::read(Ino ino, uint64_t at, MutableBytes out) const {
  TM_ASSIGN(Attr attr, get_attr(ino));
  if (S_ISDIR(attr.mode)) return Status(Code::kIsDirectory, "this is a directory");
  if (at >= attr.size) return size_t{0};
  const size_t size = static_cast<size_t>(std::min<uint64_t>(out.size(), attr.size - at));
  const uint64_t first = at / kBlockSize;
  const size_t head = at % kBlockSize;
  const size_t blocks = (head + size + kBlockSize - 1) / kBlockSize;
  if (head == 0 && out.size() >= blocks * kBlockSize) {
    TM_TRY(read_blocks(ino, first, out.first(blocks * kBlockSize)));
    return size;
  }
  Buffer whole(blocks * kBlockSize);
  TM_TRY(read_blocks(ino, first, whole.span()));
  std::memcpy(out.data(), whole.data() + head, size);
  return size;
}

Result<std::vector<DataRange>> TreeReader::data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) const {
  TM_ASSIGN(Attr attr, get_attr(ino));
  to = std::min(to, attr.size);
  std::vector<DataRange> ranges;
  uint64_t chunk = from / kChunkBytes;
  constexpr size_t kChunksAtOnce = 1024;
  while (chunk * kChunkBytes < to) {
    TM_ASSIGN(auto found, state_.chunks(ino, chunk, point_, kChunksAtOnce));
    for (uint64_t number : found) {
      if (number * kChunkBytes >= to) return ranges;
      TM_ASSIGN(ChunkMapPtr map, state_.chunk(ino, number, point_));
      for (const ChunkRun& run : map->runs()) {
        const uint64_t begin = std::max(from, number * kChunkBytes + uint64_t{run.first} * kBlockSize);
        const uint64_t end = std::min(to, number * kChunkBytes + (uint64_t{run.first} + run.count) * kBlockSize);
        if (begin >= end) continue;
        if (!ranges.empty() && ranges.back().at + ranges.back().size == begin) {
          ranges.back().size += end - begin;
          continue;
        }
        if (ranges.size() == max) return ranges;
        ranges.push_back({begin, end - begin});
      }
    }
    if (found.size() < kChunksAtOnce) break;
    chunk = found.back() + 1;
  }
  return ranges;
}

Result<std::string> TreeReader::get_xattr(Ino ino, std::string_view name) const {
  TM_ASSIGN(Attr attr, get_attr(ino));
  if (attr.xattr_count > 0) {
    TM_ASSIGN(auto value, state_.xattr(ino, name, point_));
    if (value) return *value;
  }
  return Status(Code::kNoData, "there is no such extended attribute");
}

Result<std::vector<std::string>> TreeReader::list_xattr(Ino ino) const {
  TM_ASSIGN(Attr attr, get_attr(ino));
  if (attr.xattr_count == 0) return std::vector<std::string>();
  return state_.list_xattr(ino, point_);
}

namespace {

class PointView final : public TreeView {
 public:
  // `point` has entered the ledger.
  PointView(std::shared_ptr<GroupCore> core, Seq point, ViewKind kind)
      : core_(std::move(core)), reader_(*core_->log, *core_->state, point), kind_(kind), cuts_(core_->views.cuts()) {}
  ~PointView() override { core_->views.leave(reader_.point(), kind_); }
  PointView(const PointView&) = delete;
  PointView& operator=(const PointView&) = delete;
  [[nodiscard]] Seq point() const override { return reader_.point(); }
  Result<Attr> get_attr(Ino ino) override { return still(reader_.get_attr(ino)); }
  Result<Attr> lookup(Ino directory, std::string_view name) override { return still(reader_.lookup(directory, name)); }
  Result<std::vector<DirEntry>> list(Ino directory, std::string_view after, size_t max) override {
    return still(reader_.list(directory, after, max));
  }
  Result<std::string> read_link(Ino ino) override { return still(reader_.read_link(ino)); }
  Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) override { return still(reader_.read(ino, at, out)); }
  Result<std::vector<DataRange>> data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) override {
    return still(reader_.data_ranges(ino, from, to, max));
  }
  Result<std::string> get_xattr(Ino ino, std::string_view name) override { return still(reader_.get_xattr(ino, name)); }
  Result<std::vector<std::string>> list_xattr(Ino ino) override { return still(reader_.list_xattr(ino)); }

 private:
  // The ledger's floor rises before anything below it goes: an answer that was complete by then is right.
  template <class T>
  Result<T> still(Result<T> answer) const {
    if (kind_ != ViewKind::kPassing) return answer;
    if (core_->views.cuts() != cuts_) return Status(Code::kNoSuchPoint, "this copy has been cut; open the point again");
    if (reader_.point() >= core_->views.floor()) return answer;
    return Status(Code::kNoSuchPoint, "seq:" + std::to_string(reader_.point().value()) + " has been pruned");
  }

  std::shared_ptr<GroupCore> core_;
  TreeReader reader_;
  const ViewKind kind_;
  const uint64_t cuts_;
};

}  // namespace

std::shared_ptr<TreeView> make_point_view(std::shared_ptr<GroupCore> core, Seq point, ViewKind kind) {
  return core->views.enter(point, kind) ? std::make_shared<PointView>(std::move(core), point, kind) : nullptr;
}

Result<std::vector<uint64_t>> TreeView::block_sums(Ino ino, uint64_t at, size_t count) {
  constexpr size_t kBlocksAtOnce = 256;
  std::vector<uint64_t> sums;
  Buffer buffer(std::min(count, kBlocksAtOnce) * kBlockSize);
  while (sums.size() < count) {
    const size_t wanted = std::min(count - sums.size(), kBlocksAtOnce) * kBlockSize;
    TM_ASSIGN(const size_t got, read(ino, at + sums.size() * kBlockSize, buffer.span().first(wanted)));
    for (size_t done = 0; done < got; done += kBlockSize) {
      sums.push_back(hash64(buffer.span().subspan(done, std::min<size_t>(kBlockSize, got - done))));
    }
    if (got < wanted) break;
  }
  return sums;
}

Result<Attr> resolve_path(TreeView& view, std::string_view path) {
  TM_ASSIGN(Attr attr, view.get_attr(view.root()));
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") return Status(Code::kInvalid, "'..' is not followed here");
    TM_ASSIGN(attr, view.lookup(attr.ino, part));
  }
  return attr;
}

}  // namespace tidemark
