// The newest rows, in memory, bounded. The writer puts what it has just decided; readers put what they found in the index, but
// never over something newer: a reader's put counts only if nothing changed in its shard since it began to look.
#pragma once

#include <array>
#include <list>
#include <optional>
#include <unordered_map>

#include "base/mutex.h"

namespace tidemark {

template <class Key, class Value, class Hash>
class HotCache {
 public:
  explicit HotCache(size_t entries_max) : shard_max_(entries_max / kShards + 1) {}

  struct Ticket {
    uint64_t generation = 0;
  };

  // The value, or nothing and a ticket for put_found().
  std::optional<Value> get(const Key& key, Ticket& ticket) {
    Shard& shard = shard_of(key);
    MutexLock lock(shard.mutex);
    auto found = shard.entries.find(key);
    if (found == shard.entries.end()) {
      ticket.generation = shard.generation;
      return std::nullopt;
    }
    shard.order.splice(shard.order.begin(), shard.order, found->second);
    return found->second->value;
  }

  // By a reader: what the index said when `ticket` was drawn.
  void put_found(const Key& key, const Value& value, const Ticket& ticket) {
    Shard& shard = shard_of(key);
    MutexLock lock(shard.mutex);
    if (shard.generation != ticket.generation || shard.entries.contains(key)) return;
    insert(shard, key, value, false);
    trim(shard);
  }

  // By the writer: the truth from now on. Stays until all_written(), because the index may not have it yet.
  void put(const Key& key, const Value& value) {
    Shard& shard = shard_of(key);
    MutexLock lock(shard.mutex);
    ++shard.generation;
    auto found = shard.entries.find(key);
    if (found != shard.entries.end()) {
      found->second->value = value;
      if (!found->second->unwritten) shard.unwritten.push_back(found->second);
      found->second->unwritten = true;
      shard.order.splice(shard.order.begin(), shard.order, found->second);
    } else {
      insert(shard, key, value, true);
      shard.unwritten.push_back(shard.order.begin());
    }
  }

  // By the writer: everything put so far is in the index.
  void all_written() {
    for (Shard& shard : shards_) {
      MutexLock lock(shard.mutex);
      if (shard.unwritten.empty()) continue;
      for (auto entry : shard.unwritten) entry->unwritten = false;
      shard.unwritten.clear();
      trim(shard);
    }
  }

  void clear() {
    for (Shard& shard : shards_) {
      MutexLock lock(shard.mutex);
      ++shard.generation;
      shard.unwritten.clear();
      shard.entries.clear();
      shard.order.clear();
    }
  }

 private:
  static constexpr size_t kShards = 16;
  struct Entry {
    Key key;
    Value value;
    bool unwritten;
  };
  using Order = std::list<Entry>;
  struct Shard {
    Mutex mutex;
    Order order;  // most recently used first
    std::unordered_map<Key, typename Order::iterator, Hash> entries;
    std::vector<typename Order::iterator> unwritten;
    uint64_t generation = 0;
  };

  Shard& shard_of(const Key& key) { return shards_[(Hash{}(key)*0x9e3779b97f4a7c15u) >> 60]; }

  void insert(Shard& shard, const Key& key, const Value& value, bool unwritten) {
    shard.order.push_front(Entry{key, value, unwritten});
    shard.entries.emplace(key, shard.order.begin());
  }

  void trim(Shard& shard) {
    while (shard.entries.size() > shard_max_ && !shard.order.back().unwritten) {
      shard.entries.erase(shard.order.back().key);
      shard.order.pop_back();
    }
  }

  const size_t shard_max_;
  std::array<Shard, kShards> shards_;
};

}  // namespace tidemark
