#include "fs/cache/inode_table.h"

#include <algorithm>

namespace tidemark::fs {

void InodeTable::add(Ino ino, uint64_t lookups) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  s.entries[ino].lookups += lookups;
}

bool InodeTable::forget(Ino ino, uint64_t lookups) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found == s.entries.end()) return false;
  Entry& entry = found->second;
  entry.lookups -= std::min(lookups, entry.lookups);
  if (entry.lookups > 0) return false;
  const bool free_it = entry.naming != Naming::kNamed;
  if (entry.writers == 0) s.entries.erase(found);
  return free_it;
}

bool InodeTable::unlinked(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found == s.entries.end() || found->second.lookups == 0) return true;
  found->second.naming = Naming::kUnlinked;
  return false;
}

void InodeTable::born_unnamed(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  s.entries[ino].naming = Naming::kBornUnnamed;
}

void InodeTable::got_name(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found != s.entries.end()) found->second.naming = Naming::kNamed;
}

bool InodeTable::is_unlinked(Ino ino) const {
  const Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  return found != s.entries.end() && found->second.naming == Naming::kUnlinked;
}

void InodeTable::read_into_cache(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found != s.entries.end()) found->second.cached = true;
}

bool InodeTable::may_be_cached(Ino ino) const {
  const Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  return found != s.entries.end() && found->second.cached;
}

bool InodeTable::opened_for_write(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  Entry& entry = s.entries[ino];
  if (++entry.writers > 1) return false;
  s.writing.insert(ino);
  entry.emptied = true;  // where it is empty: nobody can have changed a page yet
  return entry.told_blocks == 0 && entry.ask_again();
}

bool InodeTable::released_after_write(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found == s.entries.end() || found->second.writers == 0) return false;
  Entry& entry = found->second;
  if (--entry.writers > 0) return false;
  s.writing.erase(ino);
  if (entry.lookups == 0) return s.entries.erase(found), false;
  return entry.guessed && entry.ask_again();
}

std::vector<Ino> InodeTable::open_for_write() const {
  std::vector<Ino> found;
  for (const Shard& s : shards_) {
    MutexLock lock(s.mutex);
    found.insert(found.end(), s.writing.begin(), s.writing.end());
  }
  return found;
}

// False where it was told already, and nobody has heard anything since.
bool InodeTable::Entry::ask_again() {
  if (!told) return false;
  told = guessed = false;
  ++version;
  return true;
}

InodeTable::Telling InodeTable::telling(Ino ino, uint64_t blocks) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found == s.entries.end()) return {true, 0};
  Entry& entry = found->second;
  const bool sure = entry.told && entry.told_blocks == blocks;
  entry.told = true;
  if (!sure) entry.told_blocks = kUnknown;
  return {sure, entry.version};
}

InodeTable::Told InodeTable::told(Ino ino, uint32_t version, uint64_t size, uint64_t blocks, bool write_follows) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found == s.entries.end()) return {blocks, true};
  Entry& entry = found->second;
  if (write_follows) entry.emptied = false;
  const bool clean = entry.writers == 0 || blocks > 0;
  const bool empty = entry.emptied && size == 0;
  Told told{clean || empty ? blocks : 1, clean || !empty};
  if (entry.version == version) {
    entry.told_blocks = told.keep ? told.blocks : kUnknown;
    entry.guessed = told.blocks != blocks;
  }
  return told;
}

bool InodeTable::blocks_changed(Ino ino, uint64_t blocks) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found == s.entries.end()) return false;
  Entry& entry = found->second;
  return (entry.guessed || entry.told_blocks != blocks) && entry.ask_again();
}

bool InodeTable::emptied(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found == s.entries.end()) return false;
  found->second.emptied = true;
  return found->second.ask_again();
}

}  // namespace tidemark::fs
