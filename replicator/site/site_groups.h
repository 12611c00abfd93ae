// The groups of a site, by name.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "replicator/site/replica_host.h"
#include "replicator/site/site.h"

namespace tidemark {

inline constexpr size_t kGroupsMax = 256;
inline constexpr size_t kOpenersMax = 8;  // threads that open groups at the start, and close them at the end
// Of each of hundreds: rows of an index that are not on disk yet, and the newest at hand.
inline constexpr uint64_t kGroupBufferBytes = uint64_t{16} << 20;
inline constexpr HotRows kGroupHotRows{4 * 1024, 4 * 1024};
inline constexpr size_t kGroupsPerKeyMax = 128;  // that one key owns, so that none takes all

class SiteGroups {
 public:
  SiteGroups(const SiteOptions& options, Outbox& outbox);

  // Makes the directory if need be and opens every replica in it. A group that does not open is reported and kept closed; one
  // that is a primary's is left alone.
  Status open_all();
  // Closes all; the first failure.
  Status close_all();

  [[nodiscard]] ReplicaHost* find(const std::string& name);
  // kInvalid, kLimit, kNotAuthorised (it is not here, and `who` may not make it), kExists (the id is held here under another name, which
  // is said where `may_know`). Makes no directory yet.
  Result<ReplicaHost*> find_or_add(const std::string& name, const GroupId& id, const Claimant& who,
                                   const std::function<bool(const std::string& name)>& may_know);
  [[nodiscard]] std::vector<std::string> names();  // of the open ones

  // Lets go of the history before `to`, but leaves what the pairs of the group need. kBusy: one at a time at a site, so that reading
  // goes on. kNoSuchPoint.
  Result<PruneReport> prune(ReplicaHost& host, Seq to, bool dry_run);
  void expire_views();  // of all
  void stop_pruning();  // ends what is going on; nothing begins afterwards
  void stop_healing();  // nobody waits for records from a source any more, nor will

  // `callback` is told once of every group that is open now and that opens from now on.
  void announce(std::function<void(Group&)> callback);
  void stop_announcing();  // on return nobody is being told, nor will be

 private:
  std::unique_ptr<ReplicaHost> make_host(const std::string& name);
  Result<std::vector<std::string>> find_groups() const;  // names of the directories that hold a group
  void open_one(const std::string& name);
  void tell(Group& group);

  SiteOptions options_;  // as given, but for what all groups share
  Outbox& outbox_;
  DiskQuota quota_;  // outlives the hosts
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
