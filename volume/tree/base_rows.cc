#include "volume/tree/base_rows.h"

#include <algorithm>

#include "volume/tree/chunk_map.h"

namespace tidemark {
namespace {

// A scan keeps what it saw in the index's memory: a new one now and then.
constexpr int kSubjectsPerScan = 16'384;

Ino ino_of(std::string_view key) { return Ino(load_be64(key.data() + 1)); }

// The first key behind every row of a subject.
std::string behind(const std::string& subject) { return as_of_key(subject, Seq(0)).append(1, '\0'); }

}  // namespace

Result<bool> BaseRows::alive(Ino ino) {
  if (last_alive_ && last_alive_->first == ino) return last_alive_->second;
  TM_ASSIGN(const auto row, index_.newest(inode_subject(ino), rule_.base));
  last_alive_ = {ino, row && !row->value.empty()};
  return last_alive_->second;
}

Status BaseRows::walk(const BaseVisitor& visitor) {
  for (const char kind : {'D', 'E', 'X'}) TM_TRY(walk_kind(kind, visitor));
  TM_TRY(walk_symlinks(visitor));
  return walk_kind('I', visitor);
}

Status BaseRows::walk_kind(char kind, const BaseVisitor& visitor) {
  std::string from(1, kind);
  for (;;) {
    IndexScan rows = index_.scan();
    rows.seek(from);
    for (int count = 0; rows.valid() && rows.key()[0] == kind && count < kSubjectsPerScan; ++count) {
      TM_TRY(subject(rows, visitor));
    }
    TM_TRY(rows.status());
    if (!rows.valid() || rows.key()[0] != kind) return Status();
    from = rows.key();
  }
}

// At the first row of a subject; leaves at the first row of the next.
Status BaseRows::subject(IndexScan& rows, const BaseVisitor& visitor) {
  const std::string subject(subject_of(rows.key()));
  const char kind = subject[0];
  const auto same = [&] { return rows.valid() && subject_of(rows.key()) == subject; };
  if (seq_of(rows.key()) > rule_.base) rows.seek(as_of_key(subject, rule_.base));
  if (!same()) return rows.status();
  const std::string newest(rows.key());
  std::string value(rows.value());
  std::vector<std::string> older;  // rows a chunk's map is made of
  bool changed = false;
  bool dead = value.empty();
  if (kind == 'E') {
    std::vector<ExtentRow> newest_first;
    for (; same(); rows.next()) {
      if (rows.key() != newest) older.emplace_back(rows.key());
      TM_ASSIGN(auto row, decode_extent_row(rows.value()));
      newest_first.push_back(std::move(row));
      if (newest_first.back().keyframe) break;
    }
    TM_TRY(rows.status());
    const ChunkMap map = fold_extent_rows(newest_first);
    std::string folded = encode_extent_base(map);
    changed = folded != value;
    value = std::move(folded);
    dead = map.mapped() == 0;
  }
  if (same()) rows.next();
  bool keep = !dead || seq_of(newest) > rule_.tombstones_from;
  if (kind == 'E' || kind == 'X') {
    TM_ASSIGN(const bool there, alive(ino_of(subject)));
    keep = keep && there;
  }
  if (kind == 'I') next_ino_ = std::max(next_ino_, ino_of(subject).next());
  if (keep) TM_TRY(visitor.keep(newest, value, changed));
  if (!visitor.drop) {
    if (same()) rows.seek(behind(subject));
    return rows.status();
  }
  for (const std::string& key : older) TM_TRY(visitor.drop(key));
  for (; same(); rows.next()) TM_TRY(visitor.drop(rows.key()));
  TM_TRY(rows.status());
  return keep ? Status() : visitor.drop(newest);
}

// Not as-of: written once, with the inode. One that was made after the base is neither kept nor dropped.
Status BaseRows::walk_symlinks(const BaseVisitor& visitor) {
  IndexScan rows = index_.scan();
  for (rows.seek("L"); rows.valid() && rows.key()[0] == 'L'; rows.next()) {
    const Ino ino = ino_of(rows.key());
    TM_ASSIGN(const auto row, index_.newest(inode_subject(ino), rule_.base));
    if (row && !row->value.empty()) {
      TM_TRY(visitor.keep(rows.key(), rows.value(), false));
      continue;
    }
    if (!visitor.drop) continue;
    TM_ASSIGN(const auto later, index_.newest(inode_subject(ino), kLatest));
    if (row || !later) TM_TRY(visitor.drop(rows.key()));
  }
  return rows.status();
}

}  // namespace tidemark
