// Content, size and attributes of files in the live tree.
#include <sys/stat.h>

#include <algorithm>

#include "volume/tree/live_volume.h"

namespace tidemark {
namespace {

constexpr uint64_t kRecordBytes = uint64_t{kDataBlocksMax} * kBlockSize;
constexpr size_t kCopyBytes = 1 << 20;

constexpr uint64_t round_up(uint64_t bytes) { return (bytes + kBlockSize - 1) / kBlockSize * kBlockSize; }

Status check_extent(uint64_t at, uint64_t size) {
  if (at > kFileSizeMax || size > kFileSizeMax - at) return Status(Code::kTooLarge, "a file has at most 2^63 - 1 bytes");
  return Status();
}

RecordDraft allocate_draft(Ino ino, uint64_t at, uint64_t size, bool keep_size) {
  const uint64_t first = at / kBlockSize;
  const AllocateBody body{first, round_up(at + size) / kBlockSize - first, keep_size ? 0 : at + size};
  return make_draft(RecordType::kAllocate, kFirstVolume, ino, encode_allocate(body));
}

// Two stripes in the order of their addresses (so that nobody waits in a circle), or one where both are the same.
class TwoStripes {
 public:
  TwoStripes(Stripe& a, Stripe& b) : first_(&a < &b ? a : b), second_(&a < &b ? b : a) {
    first_.lock();
    if (&first_ != &second_) second_.lock();
  }
  ~TwoStripes() {
    if (&first_ != &second_) second_.unlock();
    first_.unlock();
  }
  TwoStripes(const TwoStripes&) = delete;
  TwoStripes& operator=(const TwoStripes&) = delete;

 private:
  Stripe& first_;
  Stripe& second_;
};

}  // namespace

Result<Attr> LiveVolume::regular_file(Ino ino) {
  TM_ASSIGN(Attr attr, node(ino));
  if (S_ISDIR(attr.mode)) return Status(Code::kIsDirectory, "this is a directory");
  if (!S_ISREG(attr.mode)) return Status(Code::kInvalid, "this is not a regular file");
  return attr;
}

// No lock: a write's blocks are visible before the size that covers them, so a reader sees the old end or the new content.
Result<size_t> LiveVolume::read(Ino ino, uint64_t at, MutableBytes out) { return reader_.read(ino, at, out); }

// A block of which `data` (lying at byte `at` of the file) covers a part; the rest is what is there now.
Status LiveVolume::fill_block(Ino ino, uint64_t block, uint64_t at, Bytes data, std::byte* out) {
  const uint64_t begin = block * kBlockSize;
  const uint64_t from = std::max(begin, at);
  const uint64_t to = std::min(begin + kBlockSize, at + data.size());
  TM_ASSIGN(Attr attr, node(ino));
  const bool covered = from == begin && (to == begin + kBlockSize || to >= attr.size);
  if (covered || begin >= attr.size) {
    std::memset(out, 0, kBlockSize);
  } else {
    TM_TRY(reader_.read_blocks(ino, block, {out, kBlockSize}));
  }
  std::memcpy(out + (from - begin), data.data() + (from - at), to - from);
  return Status();
}

Result<std::vector<RecordDraft>> LiveVolume::data_drafts(Ino ino, uint64_t at, Bytes data, bool keep_times) {
  const uint64_t end = at + data.size();
  std::vector<RecordDraft> drafts;
  drafts.reserve((round_up(end) - at) / kRecordBytes + 2);
  Buffer scratch;
  // Records begin at multiples of 64 KiB of the file, so that none crosses a chunk.
  for (uint64_t begin = at / kBlockSize * kBlockSize; begin < end;) {
    const uint64_t stop = std::min(round_up(end), (begin / kRecordBytes + 1) * kRecordBytes);
    const uint64_t size_after = std::min(stop, end);
    Bytes blocks;
    if (begin >= at && stop <= end) {
      blocks = data.subspan(begin - at, stop - begin);
    } else {
      if (scratch.size() == 0) scratch = Buffer(kRecordBytes);
      const uint64_t whole_begin = std::max(begin, round_up(at));
      const uint64_t whole_end = std::min(stop, end / kBlockSize * kBlockSize);
      if (whole_begin < whole_end) {
        std::memcpy(scratch.data() + (whole_begin - begin), data.data() + (whole_begin - at), whole_end - whole_begin);
      }
      if (begin < at) TM_TRY(fill_block(ino, begin / kBlockSize, at, data, scratch.data()));
      const uint64_t last = stop - kBlockSize;
      if (stop > end && (begin >= at || last > begin)) {
        TM_TRY(fill_block(ino, last / kBlockSize, at, data, scratch.data() + (last - begin)));
      }
      blocks = scratch.bytes().first(stop - begin);
    }
    drafts.push_back(make_data_draft(kFirstVolume, ino, begin / kBlockSize, size_after, keep_times, blocks));
    begin = stop;
  }
  return drafts;
}

Result<Attr> LiveVolume::commit_data(Ino ino, std::span<const RecordDraft> drafts) {
  MutexLock lock(committer_.mutex);
  TM_TRY(regular_file(ino).status());
  TM_TRY(committer_.commit(drafts));
  return node(ino);
}

Result<Attr> LiveVolume::write(Ino ino, uint64_t at, Bytes data, bool keep_times) {
  TM_TRY(check_extent(at, data.size()));
  if (data.empty()) return node(ino);
  if (data.size() > kRecordBytes * 512) return Status(Code::kTooLarge, "a write has at most 32 MiB");
  if (at % kBlockSize == 0 && data.size() % kBlockSize == 0) {
    TM_ASSIGN(auto drafts, data_drafts(ino, at, data, keep_times));  // compressed and summed outside every lock
    std::shared_lock whole_blocks(stripe(ino));
    return commit_data(ino, drafts);
  }
  std::unique_lock part_of_a_block(stripe(ino));
  TM_TRY(regular_file(ino).status());
  TM_ASSIGN(auto drafts, data_drafts(ino, at, data, keep_times));
  return commit_data(ino, drafts);
}

Result<RecordDraft> LiveVolume::truncate_draft(Ino ino, uint64_t size) {
  TruncateBody body;
  body.size = size;
  std::array<std::byte, kBlockSize> block;
  const uint64_t cut = size % kBlockSize;
  if (cut != 0) {
    const uint64_t begin = size - cut;
    TM_ASSIGN(auto data, reader_.data_ranges(ino, begin, begin + kBlockSize, 1));
    if (!data.empty()) {
      TM_TRY(reader_.read_blocks(ino, begin / kBlockSize, block));
      std::memset(block.data() + cut, 0, kBlockSize - cut);
      body.last_block = block;
    }
  }
  return make_draft(RecordType::kTruncate, kFirstVolume, ino, encode_truncate(body));
}

Result<Attr> LiveVolume::set_attr(Ino ino, const SetAttr& change) {
  constexpr uint32_t kNanoseconds = 1'000'000'000;
  if (change.atime.nanoseconds >= kNanoseconds || change.mtime.nanoseconds >= kNanoseconds ||
      change.ctime.nanoseconds >= kNanoseconds) {
    return Status(Code::kInvalid, "a second has 999,999,999 nanoseconds at most");
  }
  SetAttr rest = change;
  rest.mode &= 07777;
  std::vector<RecordDraft> drafts;
  const bool resize = (change.mask & kSetSize) != 0;
  if (resize) TM_TRY(check_extent(change.size, 0));
  if (!resize) rest.size = 0;
  // Alone: nobody may write between the look at the last block and the cut.
  std::unique_lock<Stripe> alone;
  if (resize) alone = std::unique_lock(stripe(ino));
  if (resize) {
    TM_ASSIGN(Attr attr, regular_file(ino));
    const bool beyond = attr.preallocation.end() > round_up(change.size) / kBlockSize;
    if (change.size < attr.size || (change.size == attr.size && beyond)) {
      TM_ASSIGN(auto draft, truncate_draft(ino, change.size));
      drafts.push_back(std::move(draft));
      rest.mask &= ~static_cast<uint32_t>(kSetSize);
    }
  }
  if (rest.mask != 0) drafts.push_back(make_draft(RecordType::kSetAttr, kFirstVolume, ino, encode_set_attr(rest)));
  if (drafts.empty()) return node(ino);
  MutexLock lock(committer_.mutex);
  TM_TRY(node(ino).status());
  TM_TRY(committer_.commit(drafts));
  return node(ino);
}

Result<Attr> LiveVolume::set_attr_with(Ino ino, const SetAttr& change, const XattrChange& xattr) {
  CHECK_INVARIANT((change.mask & kSetSize) == 0);
  TM_TRY(check_xattr(xattr.name, xattr.value.value_or("")));
  MutexLock lock(committer_.mutex);
  TM_TRY(node(ino).status());
  std::vector<RecordDraft> drafts;
  if (xattr.value) {
    const std::string body = encode_xattr({xattr.name, *xattr.value});
    drafts.push_back(make_draft(RecordType::kSetXattr, kFirstVolume, ino, body));
  } else {
    TM_ASSIGN(auto before, state_.xattr(ino, xattr.name, kLatest));
    if (before) drafts.push_back(make_draft(RecordType::kRemoveXattr, kFirstVolume, ino, encode_xattr({xattr.name, {}})));
  }
  SetAttr rest = change;
  rest.mode &= 07777;
  rest.size = 0;
  if (rest.mask != 0) drafts.push_back(make_draft(RecordType::kSetAttr, kFirstVolume, ino, encode_set_attr(rest)));
  if (!drafts.empty()) TM_TRY(committer_.commit(drafts));
  return node(ino);
}

// Zeros over a part of one block, where there is anything to clear.
Status LiveVolume::add_zeros(Ino ino, uint64_t at, uint64_t size, std::vector<RecordDraft>& drafts) {
  if (size == 0) return Status();
  TM_ASSIGN(auto data, reader_.data_ranges(ino, at, at + size, 1));
  if (data.empty()) return Status();
  const std::array<std::byte, kBlockSize> zeros{};
  TM_ASSIGN(auto more, data_drafts(ino, at, Bytes(zeros).first(size), false));
  for (RecordDraft& draft : more) drafts.push_back(std::move(draft));
  return Status();
}

Result<std::vector<RecordDraft>> LiveVolume::punch_drafts(const Attr& attr, uint64_t at, uint64_t size) {
  std::vector<RecordDraft> drafts;
  const uint64_t end = std::min(at + size, attr.size);
  if (at >= end) return drafts;
  // Nothing lies behind the end of the file: its last block may go whole.
  const uint64_t whole_begin = round_up(at);
  const uint64_t whole_end = end == attr.size ? round_up(end) : end / kBlockSize * kBlockSize;
  if (whole_begin >= whole_end) {  // within one block, or across the edge of two
    const uint64_t edge = std::min(end, whole_begin);
    TM_TRY(add_zeros(attr.ino, at, edge - at, drafts));
    TM_TRY(add_zeros(attr.ino, edge, end - edge, drafts));
    return drafts;
  }
  TM_TRY(add_zeros(attr.ino, at, whole_begin - at, drafts));
  if (end > whole_end) TM_TRY(add_zeros(attr.ino, whole_end, end - whole_end, drafts));
  const PunchBody body{whole_begin / kBlockSize, (whole_end - whole_begin) / kBlockSize};
  drafts.push_back(make_draft(RecordType::kPunch, kFirstVolume, attr.ino, encode_punch(body)));
  return drafts;
}

Status LiveVolume::punch(Ino ino, uint64_t at, uint64_t size) {
  TM_TRY(check_extent(at, size));
  std::unique_lock alone(stripe(ino));
  TM_ASSIGN(Attr attr, regular_file(ino));
  TM_ASSIGN(const auto drafts, punch_drafts(attr, at, size));
  return drafts.empty() ? Status() : commit_data(ino, drafts).status();
}

Status LiveVolume::zero(Ino ino, uint64_t at, uint64_t size, bool keep_size) {
  TM_TRY(check_extent(at, size));
  std::unique_lock alone(stripe(ino));
  TM_ASSIGN(Attr attr, regular_file(ino));
  if (size == 0) return Status();
  TM_ASSIGN(auto drafts, punch_drafts(attr, at, size));
  drafts.push_back(allocate_draft(ino, at, size, keep_size));
  return commit_data(ino, drafts).status();
}

Status LiveVolume::allocate(Ino ino, uint64_t at, uint64_t size, bool keep_size) {
  TM_TRY(check_extent(at, size));
  std::unique_lock alone(stripe(ino));
  TM_TRY(regular_file(ino).status());
  if (size == 0) return Status();
  const RecordDraft draft = allocate_draft(ino, at, size, keep_size);
  return commit_data(ino, {&draft, 1}).status();
}

// Shares whole blocks; both offsets are block-aligned. What is left at the end (less than a block) is not covered. Returns bytes.
Result<uint64_t> LiveVolume::clone_blocks(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size) {
  TwoStripes alone(stripe(source), stripe(target));
  TM_ASSIGN(Attr from, regular_file(source));
  TM_ASSIGN(Attr to, regular_file(target));
  if (source_at >= from.size) return uint64_t{0};
  size = std::min(size, from.size - source_at);
  // The source's last block may go whole if it becomes the target's last: zeros follow its end in both.
  const bool to_the_end = source_at + size == from.size && target_at + size >= to.size;
  const uint64_t shared = to_the_end ? size : size / kBlockSize * kBlockSize;
  for (uint64_t done = 0; done < shared;) {
    const uint64_t part = std::min(shared - done, kCloneBlocksMax * kBlockSize);
    CloneBody body;
    body.source = source;
    body.source_block = (source_at + done) / kBlockSize;
    body.target_block = (target_at + done) / kBlockSize;
    body.count = round_up(part) / kBlockSize;
    body.size_after = target_at + done + part;
    const RecordDraft draft = make_draft(RecordType::kClone, kFirstVolume, target, encode_clone(body));
    TM_TRY(commit_data(target, {&draft, 1}).status());
    done += part;
  }
  return shared;
}

Status LiveVolume::copy_bytes(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size) {
  Buffer buffer(static_cast<size_t>(std::min<uint64_t>(size, kCopyBytes)));
  for (uint64_t done = 0; done < size;) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(size - done, kCopyBytes));
    TM_ASSIGN(size_t got, read(source, source_at + done, buffer.span().first(wanted)));
    if (got == 0) return Status();
    TM_TRY(write(target, target_at + done, buffer.bytes().first(got), false).status());
    done += got;
  }
  return Status();
}

Result<uint64_t> LiveVolume::copy_range(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size) {
  TM_TRY(check_extent(source_at, size));
  TM_TRY(check_extent(target_at, size));
  TM_ASSIGN(Attr from, regular_file(source));
  TM_TRY(regular_file(target).status());
  if (source_at >= from.size) return uint64_t{0};
  size = std::min(size, from.size - source_at);
  if (source == target && source_at < target_at + size && target_at < source_at + size) {
    return Status(Code::kInvalid, "source and target overlap");
  }
  uint64_t shared = 0;
  if (source_at % kBlockSize == 0 && target_at % kBlockSize == 0) {
    TM_ASSIGN(shared, clone_blocks(source, source_at, target, target_at, size));
  }
  if (shared < size) TM_TRY(copy_bytes(source, source_at + shared, target, target_at + shared, size - shared));
  return size;
}

}  // namespace tidemark
