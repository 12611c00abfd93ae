#include "volume/difference/difference_check.h"

#include <sys/stat.h>

#include "volume/tree/chunk_map.h"
#include "volume/tree/record_check.h"

namespace tidemark {
namespace {

constexpr size_t kBatchBytes = size_t{1} << 20;
constexpr int kSubjectsPerScan = 16'384;  // a scan keeps what it saw in memory
constexpr size_t kDepthMax = 1'000'000;   // as in record_check.cc
// Beside the rows themselves, whose keys begin with capitals.
constexpr char kCountKind = 'c';
constexpr char kSeenKind = 's';
constexpr char kMarkNameKind = 'm';
constexpr char kRecordKind = 'r';

Ino ino_of(std::string_view key) { return Ino(load_be64(key.data() + 1)); }

std::string scratch_path(const std::string& directory) { return directory + "/index.incoming"; }

Status refuse(Ino ino, std::string_view what) {
  return Status(Code::kCorrupt,
                "the difference is not accepted: inode " + std::to_string(ino.value()) + ": " + std::string(what));
}

std::string number_value(uint64_t number) {
  std::string value;
  append_be64(value, number);
  return value;
}

}  // namespace

Status DifferenceCheck::clean(const std::string& directory) { return Index::destroy(scratch_path(directory)); }

Result<std::unique_ptr<DifferenceCheck>> DifferenceCheck::open(const std::string& directory, TreeState& state,
                                                               const DifferenceOffer& offer) {
  TM_TRY(clean(directory));
  std::unique_ptr<DifferenceCheck> made(new DifferenceCheck(directory, state, offer));
  IndexOptions options;
  options.memory = std::make_shared<IndexMemory>(kCheckMemoryBytes, kCheckRowBytes);
  options.write_buffer_bytes = kCheckBufferBytes;
  TM_ASSIGN(made->scratch_, Index::open(scratch_path(directory), options));
  return made;
}

DifferenceCheck::~DifferenceCheck() {
  scratch_.reset();
  (void)clean(directory_);
}

Status DifferenceCheck::write_batch(size_t least) {
  if (batch_.bytes() < least) return Status();
  TM_TRY(scratch_->write(batch_));
  batch_.clear();
  return Status();
}

Status DifferenceCheck::add(std::string_view key, std::string_view value) {
  if (key[0] == 'L') return check_symlink(key, value);
  if (key[0] == 'K') return check_mark(value);
  batch_.put(key, value);
  return write_batch(kBatchBytes);
}

Status DifferenceCheck::finish() {
  TM_TRY(write_batch(0));
  TM_TRY(
      each_subject('D', [&](const std::string& subject, std::string_view value) { return check_name_row(subject, value); }));
  TM_TRY(each_subject('X', [&](const std::string& subject, std::string_view value) { return check_xattr(subject, value); }));
  TM_TRY(
      each_subject('E', [&](const std::string& subject, std::string_view value) { return check_extent(subject, value); }));
  TM_TRY(spill_counts());
  TM_TRY(each_subject('I', [&](const std::string& subject, std::string_view value) { return check_inode(subject, value); }));
  // What was counted of inodes without a row of their own must come to nothing.
  IndexScan counts = scratch_->scan();
  for (counts.seek(std::string(1, kCountKind)); counts.valid() && counts.key()[0] == kCountKind; counts.next()) {
    TM_TRY(check_counts(Ino(load_be64(counts.key().data() + 2))));
  }
  TM_TRY(counts.status());
  // Symbolic links came before all inodes were known.
  IndexScan links = scratch_->scan();
  for (links.seek("L"); links.valid() && links.key()[0] == 'L'; links.next()) {
    TM_ASSIGN(const auto attr, after(ino_of(links.key())));
    if (!attr || !S_ISLNK(attr->mode))
      return refuse(ino_of(links.key()), "a target of an inode that is not a symbolic link");
  }
  TM_TRY(links.status());
  TM_ASSIGN(const auto root, after(kRootIno));
  if (!root || !S_ISDIR(root->mode) || root->nlink == 0) return refuse(kRootIno, "there is no root directory");
  return Status();
}

Status DifferenceCheck::each_subject(
    char kind, const std::function<Status(const std::string& subject, std::string_view value)>& visit) {
  std::string from(1, kind);
  for (bool more = true; more;) {
    IndexScan rows = scratch_->scan();
    rows.seek(from);
    more = false;
    for (int count = 0; rows.valid() && rows.key()[0] == kind; ++count) {
      const std::string subject(subject_of(rows.key()));
      if (count == kSubjectsPerScan) {
        from = subject;
        more = true;
        break;
      }
      TM_TRY(visit(subject, rows.value()));
      while (rows.valid() && subject_of(rows.key()) == subject) rows.next();
    }
    TM_TRY(rows.status());
  }
  return Status();
}

// --- counting

Status DifferenceCheck::count(Count what, Ino ino, int64_t more) {
  if (more == 0) return Status();
  counts_[{what, ino}] += more;
  return counts_.size() < kCheckCountsMax ? Status() : spill_counts();
}

namespace {

std::string count_key(char what, Ino ino) {
  std::string key{kCountKind, what};
  append_be64(key, ino.value());
  return key;
}

}  // namespace

Status DifferenceCheck::spill_counts() {
  for (const auto& [key, more] : counts_) {
    TM_ASSIGN(const int64_t before, counted(key.first, key.second));
    batch_.put(count_key(static_cast<char>(key.first), key.second), number_value(static_cast<uint64_t>(before + more)));
  }
  counts_.clear();
  return write_batch(0);
}

Result<int64_t> DifferenceCheck::counted(Count what, Ino ino) {
  TM_ASSIGN(const auto value, scratch_->get(count_key(static_cast<char>(what), ino)));
  return value ? static_cast<int64_t>(load_be64(value->data())) : int64_t{0};
}

// --- the tree, without and with the difference

Result<std::optional<Attr>> DifferenceCheck::before(Ino ino) { return state_.inode(ino, offer_.from.seq); }

Result<std::optional<Attr>> DifferenceCheck::after(Ino ino) {
  TM_ASSIGN(const auto row, scratch_->newest(inode_subject(ino), offer_.target.base.seq));
  if (!row) return before(ino);
  if (row->value.empty()) return std::optional<Attr>();
  TM_ASSIGN(Attr attr, decode_inode_row(ino, row->seq, row->value));
  return std::optional<Attr>(std::move(attr));
}

Status DifferenceCheck::check_name_row(const std::string& subject, std::string_view value) {
  const Ino parent = ino_of(subject);
  TM_ASSIGN(const auto old, state_.name(parent, name_of(subject), offer_.from.seq));
  if (old) {
    TM_TRY(count(Count::kNames, old->ino, -1));
    if (S_ISDIR(old->mode)) TM_TRY(count(Count::kDirectories, parent, -1));
  }
  if (value.empty()) return Status();
  TM_ASSIGN(const NameRow now, decode_name_row(value));
  TM_ASSIGN(const auto named, after(now.ino));
  if (!named || named->nlink == 0 || ((named->mode ^ now.mode) & S_IFMT) != 0)
    return refuse(now.ino, "a name of an inode that is missing or of another type");
  TM_ASSIGN(const auto directory, after(parent));
  if (!directory || !S_ISDIR(directory->mode) || directory->nlink == 0)
    return refuse(parent, "a name in an inode that is not a directory");
  TM_TRY(count(Count::kNames, now.ino, 1));
  if (!S_ISDIR(now.mode)) return Status();
  if (named->parent != parent || now.ino == kRootIno) return refuse(now.ino, "a directory that is named where it is not");
  return count(Count::kDirectories, parent, 1);
}

Status DifferenceCheck::check_xattr(const std::string& subject, std::string_view value) {
  const Ino ino = ino_of(subject);
  TM_ASSIGN(const auto there, after(ino));
  if (!there) return value.empty() ? Status() : refuse(ino, "an extended attribute of a missing inode");
  TM_ASSIGN(const auto old, state_.xattr(ino, name_of(subject), offer_.from.seq));
  return count(Count::kXattrs, ino, (value.empty() ? 0 : 1) - (old ? 1 : 0));
}

Status DifferenceCheck::check_extent(const std::string& subject, std::string_view value) {
  const Ino ino = ino_of(subject);
  TM_ASSIGN(const auto there, after(ino));
  if (!there || !S_ISREG(there->mode)) return refuse(ino, "content of an inode that is not a file");
  TM_ASSIGN(const auto old, state_.chunk(ino, load_be64(subject.data() + 9), offer_.from.seq));
  TM_ASSIGN(const ExtentRow row, decode_extent_row(value));
  int64_t mapped = 0;
  for (const ChunkRun& run : row.runs) mapped += run.count;
  return count(Count::kBlocks, ino, mapped - static_cast<int64_t>(old->mapped()));
}

Status DifferenceCheck::check_inode(const std::string& subject, std::string_view value) {
  const Ino ino = ino_of(subject);
  if (ino >= offer_.target.next_ino) return refuse(ino, "its number was not used yet");
  TM_ASSIGN(const auto old, before(ino));
  if (value.empty()) return check_counts(ino);
  TM_ASSIGN(const auto now, after(ino));
  if (!old && ino < next_ino_ && offer_.from.seq != Seq()) return refuse(ino, "its number was used before");
  if (old && ((old->mode ^ now->mode) & S_IFMT) != 0) return refuse(ino, "it became something else");
  if (S_ISDIR(now->mode) && now->nlink > 0) TM_TRY(check_way_up(ino));
  return check_counts(ino);
}

// Names, entries, attributes and blocks are as many as the inode says.
Status DifferenceCheck::check_counts(Ino ino) {
  TM_ASSIGN(const auto old, before(ino));
  TM_ASSIGN(const auto now, after(ino));
  TM_ASSIGN(const int64_t names, counted(Count::kNames, ino));
  const bool directory = now ? S_ISDIR(now->mode) : old && S_ISDIR(old->mode);
  const auto names_of = [&](const std::optional<Attr>& attr) -> int64_t {
    if (!attr || attr->nlink == 0) return 0;
    if (directory) return ino == kRootIno ? 0 : 1;
    return attr->nlink;
  };
  if (names_of(old) + names != names_of(now)) return refuse(ino, "it has another number of names than it says");
  if (!now) return Status();
  if (directory && now->nlink > 0) {
    if (old && old->nlink == 0) return refuse(ino, "a directory that was removed is there again");
    TM_ASSIGN(const int64_t directories, counted(Count::kDirectories, ino));
    if ((old ? int64_t{old->nlink} : 2) + directories != int64_t{now->nlink})
      return refuse(ino, "it has another number of directories than it says");
  }
  TM_ASSIGN(const int64_t xattrs, counted(Count::kXattrs, ino));
  if ((old ? int64_t{old->xattr_count} : 0) + xattrs != int64_t{now->xattr_count})
    return refuse(ino, "it has another number of extended attributes than it says");
  TM_ASSIGN(const int64_t blocks, counted(Count::kBlocks, ino));
  const auto blocks_of = [](const std::optional<Attr>& attr) { return attr ? static_cast<int64_t>(attr->blocks) : 0; };
  if (S_ISREG(now->mode) && blocks_of(old) + blocks != blocks_of(now))
    return refuse(ino, "it has another number of blocks than it says");
  return Status();
}

// --- circles

Result<bool> DifferenceCheck::seen(Ino directory) {
  if (seen_.contains(directory.value())) return true;
  TM_ASSIGN(const auto found, scratch_->get(numbered_key(kSeenKind, directory.value())));
  return found.has_value();
}

Status DifferenceCheck::see(const std::vector<Ino>& directories) {
  for (const Ino ino : directories) {
    seen_.insert(ino.value());
    if (seen_.size() < kCheckCountsMax) continue;
    for (const uint64_t each : seen_) batch_.put(numbered_key(kSeenKind, each), "");
    seen_.clear();
    TM_TRY(write_batch(0));
  }
  return Status();
}

// Every directory is gone through once, whoever comes from below it.
Status DifferenceCheck::check_way_up(Ino directory) {
  std::vector<Ino> way;
  for (Ino at = directory; at != kRootIno;) {
    TM_ASSIGN(const bool known, seen(at));
    if (known) break;
    TM_ASSIGN(const auto attr, after(at));
    if (!attr || !S_ISDIR(attr->mode)) return refuse(directory, "a directory that is nowhere in the tree");
    way.push_back(at);
    if (way.size() > kDepthMax) return refuse(directory, "a directory that comes below itself, or too deep");
    at = attr->parent;
  }
  return see(way);
}

// --- rows that are not as-of: they must not change the past

Status DifferenceCheck::check_symlink(std::string_view key, std::string_view value) {
  const Ino ino = ino_of(key);
  if (ino < next_ino_ && offer_.from.seq != Seq()) {
    TM_ASSIGN(const auto own, state_.symlink(ino));
    return own && *own == value ? Status() : refuse(ino, "another target of a symbolic link that was there before");
  }
  batch_.put(key, value);
  return write_batch(kBatchBytes);
}

Status DifferenceCheck::check_mark(std::string_view value) {
  TM_ASSIGN(Mark mark, decode_mark_row(value));
  const auto refused = [&](std::string_view what) {
    return Status(Code::kCorrupt,
                  "the difference is not accepted: mark " + std::to_string(mark.id.value()) + ": " + std::string(what));
  };
  TM_ASSIGN(const auto own, state_.marks(mark.id.prev(), 1));
  if (!own.empty() && own.front().id == mark.id) {
    mark.held = own.front().held;
    return encode_mark_row(mark) == encode_mark_row(own.front()) ? Status() : refused("another one than was there before");
  }
  if (mark.seq <= offer_.from.seq) return refused("it is older than what is here, and not here");
  TM_ASSIGN(const auto named, state_.mark(mark.name));
  TM_TRY(write_batch(0));
  const std::string key = std::string(1, kMarkNameKind) + mark.name;
  TM_ASSIGN(const auto also, scratch_->get(key));
  if (named || also) return refused("there is such a mark already");
  batch_.put(key, number_value(mark.id.value()));
  return Status();
}

// --- records of the past

Status DifferenceCheck::remember(Seq record, const Location& place) {
  std::string value = number_value(place.segment);
  append_be64(value, place.offset);
  batch_.put(numbered_key(kRecordKind, record.value()), value);
  return write_batch(kBatchBytes);
}

Result<std::optional<Location>> DifferenceCheck::remembered(Seq record) {
  TM_TRY(write_batch(0));
  TM_ASSIGN(const auto value, scratch_->get(numbered_key(kRecordKind, record.value())));
  if (!value) return std::optional<Location>();
  return std::optional(Location{load_be64(value->data()), static_cast<uint32_t>(load_be64(value->data() + 8))});
}

}  // namespace tidemark
