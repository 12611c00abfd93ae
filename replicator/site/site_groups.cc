#include "replicator/site/site_groups.h"

#include <algorithm>
#include <thread>

#include "base/logging.h"
#include "replicator/source/pair_history.h"
#include "replicator/wire/endpoint.h"

namespace tidemark {

namespace {

// job(0), job(1) … job(count - 1), in any order, on a few threads.
void side_by_side(size_t count, const std::function<void(size_t)>& job) {
  std::atomic<size_t> next{0};
  const auto do_some = [&] {
    for (size_t i = next++; i < count; i = next++) job(i);
  };
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < std::min(kOpenersMax, count); ++i) helpers.emplace_back(do_some);
  do_some();
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace

SiteGroups::SiteGroups(const SiteOptions& options, Outbox& outbox)
    : options_(options), outbox_(outbox), quota_(options.key_bytes_max) {
  GroupOptions& group = options_.group;
  group.index_write_buffer_bytes = std::min(group.index_write_buffer_bytes, kGroupBufferBytes);
  group.hot_rows = kGroupHotRows;
  group.log.commit_interval =
      std::chrono::milliseconds(0);  // a host syncs what it has taken: a timer would be a thread for nothing
}

std::unique_ptr<ReplicaHost> SiteGroups::make_host(const std::string& name) {
  GroupOptions group = options_.group;
  if (group.purpose.empty()) group.purpose = "site";
  if (options_.adjust) options_.adjust(name, group);
  HostLimits limits;
  if (options_.group_bytes_max) limits.bytes_max = options_.group_bytes_max(name);
  limits.reader_hold = options_.reader_hold;
  limits.quota = &quota_;
  return std::make_unique<ReplicaHost>(name, options_.directory + "/" + name, group, limits, outbox_,
                                       [this](Group& group_opened) { tell(group_opened); });
}

Result<std::vector<std::string>> SiteGroups::find_groups() const {
  FileSystem& files = *options_.group.files;
  TM_ASSIGN(std::vector<std::string> names, files.list(options_.directory));
  std::erase_if(names, [&](const std::string& name) {
    if (!check_peer_name(name, "group").ok()) return true;
    const Result<bool> is_group = files.exists(options_.directory + "/" + name + "/group.json");
    return !is_group.ok() || !*is_group;
  });
  return names;
}

void SiteGroups::open_one(const std::string& name) {
  const std::string directory = options_.directory + "/" + name;
  Result<GroupIdentity> identity = Group::identify(directory, *options_.group.files);
  if (identity.ok() && identity->role == Role::kPrimary) {
    log_warning(directory + " is a primary, not a replica: it is not served");
    return;
  }
  std::unique_ptr<ReplicaHost> host = make_host(name);
  Status status = identity.ok() ? host->open_existing() : identity.status();
  if (!status.ok()) log_error(directory + ": " + status.text() + "; the other groups are served");
  MutexLock lock(mutex_);
  hosts_.emplace(name, std::move(host));
}

Status SiteGroups::open_all() {
  FileSystem& files = *options_.group.files;
  if (Status made = files.make_directory(options_.directory); !made.ok() && made.code() != Code::kExists) {
    return made.within("the site's directory");
  }
  TM_ASSIGN(const std::vector<std::string> names, find_groups());
  if (names.size() > kGroupsMax) return Status(Code::kLimit, options_.directory + " holds more than 256 groups");
  side_by_side(names.size(), [&](size_t i) { open_one(names[i]); });
  return Status();
}

Status SiteGroups::close_all() {
  MutexLock lock(mutex_);
  std::vector<ReplicaHost*> hosts;
  for (auto& [name, host] : hosts_) hosts.push_back(host.get());
  std::vector<Status> closed(hosts.size());
  side_by_side(hosts.size(), [&](size_t i) { closed[i] = hosts[i]->close().within("group " + hosts[i]->name()); });
  for (const Status& status : closed) TM_TRY(status);
  return Status();
}

ReplicaHost* SiteGroups::find(const std::string& name) {
  MutexLock lock(mutex_);
  auto found = hosts_.find(name);
  return found == hosts_.end() ? nullptr : found->second.get();
}

Result<ReplicaHost*> SiteGroups::find_or_add(const std::string& name, const GroupId& id, const Claimant& who,
                                             const std::function<bool(const std::string& name)>& may_know) {
  TM_TRY(check_peer_name(name, "group"));
  if (id == GroupId{}) return Status(Code::kInvalid, "a group's id is missing");
  MutexLock lock(mutex_);
  size_t owned = 0;
  for (auto& [other, host] : hosts_) {
    Group* group = host->group();
    owned += !who.key.empty() && host->owner() == who.key;
    if (group != nullptr && other != name && group->identity().id == id) {
      return Status(Code::kExists, "the site holds this group already, under " +
                                       (may_know(other) ? "the name '" + other + "'" : "another name"));
    }
  }
  auto found = hosts_.find(name);
  if (found != hosts_.end()) return found->second.get();
  if (!who.may_create) return no_right_to_create(name);
  if (owned >= kGroupsPerKeyMax) return Status(Code::kLimit, "this key has reached its limit of 128 groups at the site");
  if (hosts_.size() >= kGroupsMax) return Status(Code::kLimit, "the site has reached its limit of 256 groups");
  return hosts_.emplace(name, make_host(name)).first->second.get();
}

std::vector<std::string> SiteGroups::names() {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (auto& [name, host] : hosts_) {
    if (host->group() != nullptr) names.push_back(name);
  }
  return names;
}

namespace {

Result<PruneReport> prune_now(Group& group, Shipper& shipper, Seq to, bool dry_run) {
  PruneRequest request;
  TM_ASSIGN(request.to, group.resolve(to));
  request.dry_run = dry_run;
  keep_what_pairs_need(request, group, shipper.list());
  return group.prune(request);
}

}  // namespace

Result<PruneReport> SiteGroups::prune(ReplicaHost& host, Seq to, bool dry_run) {
  Shipper* shipper = host.shipper();
  if (shipper == nullptr) return Status(Code::kIo, "the pairs of this group could not be read; the site's log says why");
  if (pruning_.exchange(true)) return Status(Code::kBusy, "another prune is running at the site; try again later");
  Result<PruneReport> report = prune_now(*host.group(), *shipper, to, dry_run);
  pruning_ = false;
  return report;
}

void SiteGroups::expire_views() {
  MutexLock lock(mutex_);
  for (auto& [name, host] : hosts_) host->views().expire();
}

void SiteGroups::stop_pruning() {
  MutexLock lock(mutex_);
  for (auto& [name, host] : hosts_) {
    if (Group* group = host->group(); group != nullptr) group->stop_pruning();
  }
}

void SiteGroups::stop_healing() {
  MutexLock lock(mutex_);
  for (auto& [name, host] : hosts_) host->stop_healing();
}

void SiteGroups::announce(std::function<void(Group&)> callback) {
  {
    MutexLock lock(callback_mutex_);
    callback_ = std::move(callback);
    told_.clear();
  }
  for (const std::string& name : names()) {
    Group* group = find(name)->group();
    if (group != nullptr) tell(*group);
  }
}

void SiteGroups::stop_announcing() {
  MutexLock lock(callback_mutex_);
  callback_ = nullptr;
  while (telling_ > 0) told_one_.wait(callback_mutex_);
}

void SiteGroups::tell(Group& group) {
  std::function<void(Group&)> callback;
  {
    MutexLock lock(callback_mutex_);
    if (!callback_ || !told_.insert(&group).second) return;
    callback = callback_;
    ++telling_;
  }
  callback(group);
  MutexLock lock(callback_mutex_);
  --telling_;
  told_one_.notify_all();
}

}  // namespace tidemark
