// The groups of a site, by name.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "replicator/replica_host.h"
#include "replicator/site.h"

namespace tidemark {

inline constexpr size_t kGroupsMax = 256;

class SiteGroups {
 public:
  SiteGroups(const SiteOptions& options, Outbox& outbox) : options_(options), outbox_(outbox) {}

  // Makes the directory if need be and opens every replica in it. A group that does not open is reported and kept closed; one
  // that is a primary's is left alone.
  Status open_all();
  // Closes all; the first failure.
  Status close_all();

  [[nodiscard]] ReplicaHost* find(const std::string& name);
  // kInvalid, kLimit, kExists (the id is held here under another name). Makes no directory yet.
  Result<ReplicaHost*> find_or_add(const std::string& name, const GroupId& id);
  [[nodiscard]] std::vector<std::string> names();  // of the open ones

  // As SiteOptions::prune; kBusy: one at a time at a site, so that reading goes on.
  Result<PruneReport> prune(ReplicaHost& host, Seq to, bool dry_run);
  void drop_idle_views();  // ReplicaHost's, of all
  void stop_pruning();     // ends what is going on; nothing begins afterwards

  // `callback` is told once of every group that is open now and that opens from now on.
  void announce(std::function<void(Group&)> callback);
  void stop_announcing();  // on return nobody is being told, nor will be

 private:
  std::unique_ptr<ReplicaHost> make_host(const std::string& name);
  void tell(Group& group);

  const SiteOptions options_;
  Outbox& outbox_;
  Mutex mutex_;
  std::map<std::string, std::unique_ptr<ReplicaHost>> hosts_ TM_GUARDED_BY(mutex_);
  std::atomic<bool> pruning_{false};
  Mutex callback_mutex_;  // not held while somebody is told
  CondVar told_one_;
  std::function<void(Group&)> callback_ TM_GUARDED_BY(callback_mutex_);
  std::set<Group*> told_ TM_GUARDED_BY(callback_mutex_);
  size_t telling_ TM_GUARDED_BY(callback_mutex_) = 0;
};

}  // namespace tidemark
