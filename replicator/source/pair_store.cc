#include "replicator/source/pair_store.h"

namespace tidemark {

Result<std::unique_ptr<PairStore>> PairStore::open(const std::string& directory) {
  std::unique_ptr<PairStore> store(new PairStore(directory));
  MutexLock lock(store->mutex_);
  TM_ASSIGN(store->pairs_, load_pairs(directory));
  return store;
}

std::vector<Pair> PairStore::list() const {
  MutexLock lock(mutex_);
  return pairs_;
}

Status PairStore::edit(const std::function<Status(std::vector<Pair>&)>& change) {
  MutexLock lock(mutex_);
  std::vector<Pair> wanted = pairs_;
  TM_TRY(change(wanted));
  TM_TRY(save_pairs(directory_, wanted));
  pairs_ = std::move(wanted);
  return Status();
}

Status PairStore::set_status(const std::string& site, const PairStatus& status) {
  return edit([&](std::vector<Pair>& pairs) {
    for (Pair& pair : pairs) {
      if (pair.config.site != site) continue;
      pair.status = status;
      return Status();
    }
    return Status(Code::kNotFound, "there is no longer a pair with site '" + site + "'");
  });
}

}  // namespace tidemark
