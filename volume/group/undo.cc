// Taking the newest records out of the tree again. Nearly every row has its seq in its key, so that undoing is removing; the few that
// have not follow from what is left.
#include <sys/stat.h>

#include <set>

#include "log/format/record_walker.h"
#include "log/read/cursor.h"
#include "volume/tree/state.h"

namespace tidemark {
namespace {

constexpr size_t kUndoRunBytes = size_t{4} << 20;

// What the records that go have changed.
struct Changed {
  std::set<Ino> inodes;           // attributes, names in it, extended attributes or content
  std::set<Ino> made;             // of those
  std::vector<std::string> gone;  // keys without a seq that they wrote
  std::optional<MarkId> first_mark;
  std::map<MarkId, bool> held;  // marks that were held or released, and how they were before

  Status note(const RecordView& record);
};

// A mark's change is only logged where it is one: before, it was the other way.
Status Changed::note(const RecordView& record) {
  if (record.header.ino != Ino(0)) inodes.insert(record.header.ino);
  switch (record.header.type) {
    case RecordType::kMakeNode: {
      TM_ASSIGN(const auto body, decode_make_node(record.payload));
      made.insert(record.header.ino);
      if (!body.name.empty()) inodes.insert(body.parent);
      if (S_ISLNK(body.mode)) gone.push_back(symlink_key(record.header.ino));
      return Status();
    }
    case RecordType::kLink:
    case RecordType::kUnlink: {
      TM_ASSIGN(const auto body, decode_link(record.payload));
      inodes.insert(body.parent);
      return Status();
    }
    case RecordType::kRename: {
      TM_ASSIGN(const auto body, decode_rename(record.payload));
      for (const Ino ino : {body.from_parent, body.to_parent, body.replaced, body.whiteout}) {
        if (ino != Ino(0)) inodes.insert(ino);
      }
      if (body.whiteout != Ino(0)) made.insert(body.whiteout);
      return Status();
    }
    case RecordType::kFree: {
      TM_ASSIGN(const auto freed, decode_free(record.payload));
      inodes.insert(freed.begin(), freed.end());
      return Status();
    }
    case RecordType::kMark: {
      TM_ASSIGN(const auto body, decode_mark(record.payload));
      if (!first_mark) first_mark = body.id;
      gone.push_back(mark_key(body.id));
      gone.push_back(mark_name_key(body.name));
      return Status();
    }
    case RecordType::kMarkChange: {
      TM_ASSIGN(const auto body, decode_mark_change(record.payload));
      held.try_emplace(body.id, !body.held);
      return Status();
    }
    default: return Status();
  }
}

Result<Changed> read_changed(Log& log, Position position) {
  Changed changed;
  LogCursor cursor(log, position.seq.next());
  while (cursor.next() <= log.appended()) {
    TM_ASSIGN(const LogCursor::Run run, cursor.read(kUndoRunBytes, log.appended()));
    TM_TRY(walk_records(run.bytes, position, [&](const RecordView& record) { return changed.note(record); }));
  }
  return changed;
}

// Rows about `ino` that are younger than `to`.
Status remove_younger(Index& index, Ino ino, Seq to, IndexBatch& batch) {
  for (const char kind : {'I', 'D', 'X', 'E'}) {
    const std::string prefix = numbered_key(kind, ino.value());
    IndexScan rows = index.scan();
    for (rows.seek(prefix); rows.valid() && rows.key().starts_with(prefix); rows.next()) {
      if (seq_of(rows.key()) > to) batch.remove(rows.key());
    }
    TM_TRY(rows.status());
  }
  return Status();
}

}  // namespace

Status TreeState::undo(Log& log, const Position& to) {
  TM_TRY(write());
  TM_ASSIGN(const Changed changed, read_changed(log, to));
  Meta before = meta();
  before.applied = to;
  if (!changed.made.empty()) before.next_ino = *changed.made.begin();
  if (changed.first_mark) before.next_mark = *changed.first_mark;
  IndexBatch batch;
  for (const auto& [id, held] : changed.held) {
    TM_ASSIGN(const auto row, index_->get(mark_key(id)));
    if (!row) continue;
    TM_ASSIGN(Mark mark, decode_mark_row(*row));
    mark.held = held;
    batch.put(mark_key(id), encode_mark_row(mark));
  }
  for (const std::string& key : changed.gone) batch.remove(key);
  for (const Ino ino : changed.inodes) {
    TM_TRY(remove_younger(*index_, ino, to.seq, batch));
    TM_ASSIGN(const auto is, inode(ino, kLatest));
    TM_ASSIGN(const auto was, inode(ino, to.seq));
    before.inodes += static_cast<uint64_t>(was.has_value()) - static_cast<uint64_t>(is.has_value());
    if (was && was->nlink == 0) {
      batch.put(unnamed_key(ino), "");
    } else {
      batch.remove(unnamed_key(ino));
    }
  }
  batch.put(kMetaKey, encode_meta(before));
  TM_TRY(index_->write(batch));
  TM_TRY(look_anew());
  return index_->flush();
}

}  // namespace tidemark
