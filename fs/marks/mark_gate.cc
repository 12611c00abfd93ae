#include "fs/marks/mark_gate.h"

#include <unistd.h>

#include <algorithm>

namespace tidemark::fs {
namespace {

bool is_privileged(uint32_t uid) { return uid == 0 || uid == geteuid(); }

}  // namespace

Status MarkGate::admit(uint32_t uid, bool in_group) {
  if (is_privileged(uid)) return {};
  if (right_ == MarkRight::kRoot) return {Code::kPermission, "only root may make marks here (-o mark=root)"};
  if (right_ == MarkRight::kGroup && !in_group)
    return {Code::kPermission, "only members of a group may make marks here (-o mark=GROUP)"};
  MutexLock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  tokens_ = std::min(kBurst, tokens_ + kPerSecond * std::chrono::duration<double>(now - refilled_).count());
  refilled_ = now;
  if (tokens_ < 1) return {Code::kBusy, "marks are made too fast; try again later"};
  const bool full = user_marks_ && *user_marks_ >= kUserMarksMax;
  if (!user_marks_ || (full && now - counted_ >= kRecount)) TM_TRY(count_locked());
  if (*user_marks_ >= kUserMarksMax)
    return {Code::kLimit, "users have made 10,000 marks in this volume: prune it, or mark as root"};
  tokens_ -= 1;
  ++*user_marks_;
  return {};
}

// Those below the base are gone.
Status MarkGate::count_locked() {
  constexpr size_t kBatch = 1024;
  uint64_t count = 0;
  for (MarkId after;;) {
    TM_ASSIGN(const std::vector<Mark> marks, group_.list_marks(after, kBatch));
    for (const Mark& mark : marks) count += is_privileged(mark.uid) ? 0 : 1;
    if (marks.size() < kBatch) break;
    after = marks.back().id;
  }
  user_marks_ = count;
  counted_ = std::chrono::steady_clock::now();
  return {};
}

}  // namespace tidemark::fs
