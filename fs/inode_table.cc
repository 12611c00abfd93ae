#include "fs/inode_table.h"

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

void InodeTable::opened_for_write(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  ++s.entries[ino].writers;
}

void InodeTable::released_after_write(Ino ino) {
  Shard& s = shard(ino);
  MutexLock lock(s.mutex);
  auto found = s.entries.find(ino);
  if (found == s.entries.end() || found->second.writers == 0) return;
  if (--found->second.writers == 0 && found->second.lookups == 0) s.entries.erase(found);
}

std::vector<Ino> InodeTable::open_for_write() const {
  std::vector<Ino> found;
  for (const Shard& s : shards_) {
    MutexLock lock(s.mutex);
    for (const auto& [ino, entry] : s.entries) {
      if (entry.writers > 0) found.push_back(ino);
    }
  }
  return found;
}

}  // namespace tidemark::fs
