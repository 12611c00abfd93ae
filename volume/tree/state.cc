#include "volume/tree/state.h"

#include <algorithm>

#include "base/hash.h"

namespace tidemark {
namespace {

constexpr int kStepsBeforeSeek = 8;  // older rows of one subject that are stepped over before seeking past them

}  // namespace

TreeState::TreeState(std::unique_ptr<Index> index, const HotRows& hot)
    : index_(std::move(index)), inodes_(hot.inodes), chunks_(hot.chunks) {
  auto stored = index_->get(kMetaKey);
  loaded_ = stored.status();
  if (stored.ok() && stored->has_value()) {
    auto decoded = decode_meta(**stored);
    loaded_ = decoded.status();
    if (decoded.ok()) next_meta_ = *decoded;
  } else if (IndexScan rows = index_->scan(); stored.ok()) {
    rows.seek("");
    loaded_ = rows.status();
    if (rows.valid()) loaded_ = Status(Code::kCorrupt, "the index has rows and no position: making it was interrupted");
  }
  MutexLock lock(meta_mutex_);
  meta_ = next_meta_;
}

Meta TreeState::meta() const {
  MutexLock lock(meta_mutex_);
  return meta_;
}

Result<std::optional<Attr>> TreeState::inode(Ino ino, Seq at) {
  decltype(inodes_)::Ticket ticket;
  if (at == kLatest) {
    if (auto hot = inodes_.get(ino, ticket)) return *hot;
  }
  TM_ASSIGN(auto row, index_->newest(inode_subject(ino), at));
  std::optional<Attr> found;
  if (row && !row->value.empty()) {
    TM_ASSIGN(found, decode_inode_row(ino, row->seq, row->value));
  }
  if (at == kLatest) inodes_.put_found(ino, found, ticket);
  return found;
}

Result<std::optional<NameRow>> TreeState::name(Ino parent, std::string_view name, Seq at) {
  TM_ASSIGN(auto row, index_->newest(name_subject(parent, name), at));
  if (!row || row->value.empty()) return std::optional<NameRow>();
  TM_ASSIGN(auto decoded, decode_name_row(row->value));
  return std::optional<NameRow>(decoded);
}

Result<ChunkMapPtr> TreeState::chunk(Ino ino, uint64_t chunk, Seq at) {
  if (at != kLatest) return read_chunk(ino, chunk, at);
  const ChunkKey key{ino, chunk};
  decltype(chunks_)::Ticket ticket;
  if (auto hot = chunks_.get(key, ticket)) return *hot;
  TM_ASSIGN(auto found, read_chunk(ino, chunk, at));
  chunks_.put_found(key, found, ticket);
  return found;
}

// The deltas since the newest keyframe at or before `at`, then those again from the oldest: at most kDeltasMax + 1 rows.
Result<ChunkMapPtr> TreeState::read_chunk(Ino ino, uint64_t chunk, Seq at) {
  const std::string subject = extent_subject(ino, chunk);
  IndexScan rows = index_->scan_subject();
  std::vector<ExtentRow> newest_first;
  for (rows.seek(as_of_key(subject, at)); rows.valid() && subject_of(rows.key()) == subject; rows.next()) {
    TM_ASSIGN(auto row, decode_extent_row(rows.value()));
    newest_first.push_back(std::move(row));
    if (newest_first.back().keyframe) break;
  }
  TM_TRY(rows.status());
  return ChunkMapPtr(std::make_shared<ChunkMap>(fold_extent_rows(newest_first)));
}

Result<std::vector<uint64_t>> TreeState::chunks(Ino ino, uint64_t first, Seq at, size_t max) {
  std::vector<uint64_t> found;
  const std::string prefix = numbered_key('E', ino.value());
  IndexScan rows = index_->scan();
  rows.seek(extent_subject(ino, first));
  while (found.size() < max && rows.valid() && rows.key().starts_with(prefix)) {
    const uint64_t chunk = load_be64(rows.key().data() + prefix.size());
    if (seq_of(rows.key()) > at) {  // younger rows come first: look for one that is old enough
      const std::string wanted = as_of_key(extent_subject(ino, chunk), at);
      rows.seek(wanted);
      continue;
    }
    found.push_back(chunk);
    if (chunk == UINT64_MAX) break;
    rows.seek(extent_subject(ino, chunk + 1));
  }
  TM_TRY(rows.status());
  return found;
}

// Calls visit(name, value) for the newest row at or before `at` of every name after `after`, tombstones left out, until it returns
// false.
Status TreeState::scan_names(char kind, Ino ino, std::string_view after, Seq at,
                             const std::function<bool(std::string_view, std::string_view)>& visit) {
  const std::string prefix = numbered_key(kind, ino.value());
  IndexScan rows = index_->scan();
  // The subject of "after" ends in 00; everything that sorts behind it and its rows begins with a greater byte there.
  std::string start = prefix;
  if (!after.empty()) start.append(after).push_back('\x01');
  rows.seek(start);
  std::string subject;  // the one whose row was decided
  int steps = 0;
  while (rows.valid() && rows.key().starts_with(prefix)) {
    const std::string_view current = subject_of(rows.key());
    if (current == subject) {
      if (++steps < kStepsBeforeSeek) {
        rows.next();
      } else {
        rows.seek(as_of_key(subject, Seq(0)).append(1, '\0'));
      }
      continue;
    }
    if (seq_of(rows.key()) > at) {
      const std::string wanted = as_of_key(std::string(current), at);
      rows.seek(wanted);
      continue;
    }
    subject.assign(current);
    steps = 0;
    if (!rows.value().empty() && !visit(name_of(subject), rows.value())) return Status();
    rows.next();
  }
  return rows.status();
}

Result<std::vector<DirEntry>> TreeState::list(Ino directory, std::string_view after, size_t max, Seq at) {
  std::vector<DirEntry> entries;
  Status decoded;
  if (max == 0) return entries;
  TM_TRY(scan_names('D', directory, after, at, [&](std::string_view name, std::string_view value) {
    auto row = decode_name_row(value);
    if (!row.ok()) {
      decoded = row.status();
      return false;
    }
    entries.push_back({std::string(name), row->ino, row->mode});
    return entries.size() < max;
  }));
  TM_TRY(decoded);
  return entries;
}

Result<std::optional<std::string>> TreeState::xattr(Ino ino, std::string_view name, Seq at) {
  TM_ASSIGN(auto row, index_->newest(xattr_subject(ino, name), at));
  if (!row || row->value.empty()) return std::optional<std::string>();
  TM_ASSIGN(auto value, decode_xattr_row(row->value));
  return std::optional<std::string>(std::move(value));
}

Result<std::vector<std::string>> TreeState::list_xattr(Ino ino, Seq at) {
  std::vector<std::string> names;
  TM_TRY(scan_names('X', ino, "", at, [&](std::string_view name, std::string_view) {
    names.emplace_back(name);
    return true;
  }));
  return names;
}

Result<std::optional<std::string>> TreeState::symlink(Ino ino) { return index_->get(symlink_key(ino)); }

Result<std::vector<Ino>> TreeState::unnamed(size_t max) {
  std::vector<Ino> found;
  IndexScan rows = index_->scan();
  for (rows.seek("O"); rows.valid() && rows.key()[0] == 'O' && found.size() < max; rows.next()) {
    found.push_back(Ino(load_be64(rows.key().data() + 1)));
  }
  TM_TRY(rows.status());
  return found;
}

Result<std::optional<Mark>> TreeState::mark(std::string_view name) {
  TM_ASSIGN(auto id, index_->get(mark_name_key(name)));
  if (!id) return std::optional<Mark>();
  if (id->size() != sizeof(uint64_t))
    return Status(Code::kCorrupt, "the index holds a damaged mark; remove DIR/index to have it rebuilt");
  TM_ASSIGN(auto row, index_->get(mark_key(MarkId(load_be64(id->data())))));
  if (!row) return Status(Code::kCorrupt, "the index lacks a mark's row; remove DIR/index to have it rebuilt");
  TM_ASSIGN(auto decoded, decode_mark_row(*row));
  return std::optional<Mark>(std::move(decoded));
}

Result<std::vector<Mark>> TreeState::marks(MarkId after, size_t max) {
  std::vector<Mark> found;
  IndexScan rows = index_->scan();
  for (rows.seek(mark_key(after.next())); rows.valid() && rows.key()[0] == 'K' && found.size() < max; rows.next()) {
    TM_ASSIGN(auto decoded, decode_mark_row(rows.value()));
    found.push_back(std::move(decoded));
  }
  TM_TRY(rows.status());
  return found;
}

Result<uint64_t> TreeState::fingerprint() {
  IndexScan rows = index_->scan();
  uint64_t sum = 0;
  for (rows.seek(""); rows.valid(); rows.next()) {
    std::string value(rows.value());
    if (rows.key()[0] == 'E') {
      TM_ASSIGN(auto row, decode_extent_row(value));
      value = portable_extent_row(row);
    }
    sum = hash64(as_bytes(rows.key()), sum);
    sum = hash64(as_bytes(value), sum);
  }
  TM_TRY(rows.status());
  return sum;
}

Status TreeState::look_anew() {
  TM_ASSIGN(const auto stored, index_->get(kMetaKey));
  if (!stored) return Status(Code::kCorrupt, "the index has lost its position");
  TM_ASSIGN(next_meta_, decode_meta(*stored));
  inodes_.clear();
  chunks_.clear();
  MutexLock lock(meta_mutex_);
  meta_ = next_meta_;
  return Status();
}

Status TreeState::write() {
  if (next_meta_.applied == meta().applied) return Status();
  batch_.put(kMetaKey, encode_meta(next_meta_));
  TM_TRY(index_->write(batch_));
  batch_.clear();
  inodes_.all_written();
  chunks_.all_written();
  MutexLock lock(meta_mutex_);
  meta_ = next_meta_;
  return Status();
}

}  // namespace tidemark
