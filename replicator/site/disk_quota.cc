#include "replicator/site/disk_quota.h"

namespace tidemark {

void DiskQuota::set(const std::string& group, const std::string& key, uint64_t bytes) {
  MutexLock lock(mutex_);
  Use& use = groups_[group];
  keys_[use.key] -= use.bytes;
  if (use.key != key && keys_[use.key] == 0) keys_.erase(use.key);
  use = {key, bytes};
  keys_[key] += bytes;
}

Status DiskQuota::may_grow(const std::string& group, uint64_t group_bytes_max) const {
  MutexLock lock(mutex_);
  const auto found = groups_.find(group);
  if (found == groups_.end()) return Status();
  const Use& use = found->second;
  constexpr std::string_view kWhatToDo = "; prune history there, or ask the site's operator to raise the limit";
  if (group_bytes_max != 0 && use.bytes >= group_bytes_max) {
    return Status(Code::kNoSpace, "the site holds " + std::to_string(use.bytes >> 20) + " MiB of group '" + group +
                                      "'; the limit is " + std::to_string(group_bytes_max >> 20) + " MiB (max_group_bytes)" +
                                      std::string(kWhatToDo));
  }
  if (key_bytes_max_ == 0 || use.key.empty()) return Status();
  const uint64_t of_key = keys_.at(use.key);
  if (of_key < key_bytes_max_) return Status();
  return Status(Code::kNoSpace, "the site holds " + std::to_string(of_key >> 20) +
                                    " MiB of this key's groups; the limit is " + std::to_string(key_bytes_max_ >> 20) +
                                    " MiB (max_key_bytes)" + std::string(kWhatToDo));
}

}  // namespace tidemark
