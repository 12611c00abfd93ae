// Who may make marks through a mount, and how many: a mark's name stays for as long as the history it names.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/mutex.h"
#include "fs/options.h"
#include "volume/group/group.h"

namespace tidemark::fs {

// Thread-safe. Root, and whoever mounted, are admitted always.
class MarkGate {
 public:
  // `group`: of options.marks where that says kGroup.
  MarkGate(Group& group, MarkRight right) : group_(group), right_(right) {}

  // Counts a mark that `uid` wants to make. `in_group`: whether he is in the group of the option. kPermission: not he; kBusy: not so
  // fast; kLimit: users have made as many as they may.
  Status admit(uint32_t uid, bool in_group);

 private:
  static constexpr uint64_t kUserMarksMax = 10'000;  // of one volume, by all who are not privileged
  static constexpr double kPerSecond = 2, kBurst = 20;
  static constexpr std::chrono::seconds kRecount{10};
  Status count_locked() TM_REQUIRES(mutex_);

  Group& group_;
  const MarkRight right_;
  Mutex mutex_;
  double tokens_ TM_GUARDED_BY(mutex_) = kBurst;
  std::chrono::steady_clock::time_point refilled_ TM_GUARDED_BY(mutex_) = std::chrono::steady_clock::now();
  std::optional<uint64_t> user_marks_ TM_GUARDED_BY(mutex_);  // about
  std::chrono::steady_clock::time_point counted_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark::fs
