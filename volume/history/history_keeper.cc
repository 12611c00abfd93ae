#include "volume/history/history_keeper.h"

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "base/pinned.h"
#include "volume/group/housekeeping.h"

namespace tidemark {
namespace {

// A prune walks over the index: it is not begun for less than this share of the log.
constexpr uint64_t kWorthwhileShare = 16;

constexpr uint64_t kFarBytes = uint64_t{2} << 30;  // more than is written until the next look
constexpr std::chrono::milliseconds kFarLook{1'000};

}  // namespace

HistoryKeeper::HistoryKeeper(Group& group, HistoryKeeperOptions options)
    : group_(group), options_(std::move(options)), next_prune_(std::chrono::steady_clock::now() + options_.prune_every) {
  task_ = TaskPool::add(housekeeping(), until_look(), [this] { return run(); });
}

HistoryKeeper::~HistoryKeeper() {
  stopping_ = true;
  group_.stop_pruning();
  task_.reset();
}

std::optional<std::chrono::nanoseconds> HistoryKeeper::run() {
  if (stopping_) return std::nullopt;
  const bool risen = look();
  if (risen || std::chrono::steady_clock::now() >= next_prune_) {
    const bool moved = prune();
    const bool full = pressure_ == LogPressure::kFull;
    next_prune_ = std::chrono::steady_clock::now() + (!full   ? options_.prune_every
                                                      : moved ? options_.look_every
                                                              : options_.retry_every);
  }
  return until_look();
}

// Far from the limit there is time: a site may have hundreds of groups.
std::chrono::milliseconds HistoryKeeper::until_look() const {
  const uint64_t limit = group_.log_limit().max_bytes;
  const uint64_t bytes = limit == 0 ? 0 : group_.log().bytes();
  const bool far = limit == 0 || (bytes < limit && limit - bytes > kFarBytes);
  return far ? std::max(options_.look_every, std::min(options_.prune_every, kFarLook)) : options_.look_every;
}

// True: the pressure has risen.
bool HistoryKeeper::look() {
  const LogLimit& limit = group_.log_limit();
  const uint64_t bytes = group_.log().bytes();
  const LogPressure now = log_pressure(bytes, limit, pressure_);
  if (now == pressure_) return false;
  const bool risen = now > pressure_;
  pressure_ = now;
  const std::string text = where_now(group_.directory()) + ": the log has " + std::to_string(bytes >> 20) + " MiB, " +
                           std::to_string(bytes / std::max<uint64_t>(1, limit.max_bytes / 100)) + " % of its limit";
  if (now == LogPressure::kOk) {
    log_info(text + ": the alert has ended");
  } else {
    log_warning(text + (now == LogPressure::kFull ? ": it is full" : ""));
  }
  if (options_.on_pressure) options_.on_pressure(now);
  return risen;
}

bool HistoryKeeper::must_make_room() const {
  return pressure_ == LogPressure::kFull && group_.log_limit().on_full == OnFull::kSuspendPair;
}

RetentionPolicy HistoryKeeper::policy() const {
  RetentionPolicy policy = group_.retention();
  if (policy.keeps_everything() && must_make_room()) policy.log_bytes = group_.log_limit().max_bytes / 4 * 3;
  return policy;
}

// What others need is their own affair, unless nothing else keeps the log full.
Result<PruneReport> HistoryKeeper::plan(PruneRequest& request) {
  request.keep.clear();
  if (options_.needs) options_.needs(request);
  request.dry_run = true;
  TM_ASSIGN(PruneReport planned, group_.prune(request));
  if (!must_make_room() || !options_.give_up_one || request.keep.empty()) return planned;
  const uint64_t left = planned.log_bytes - planned.segment_bytes;
  if (log_pressure(left, group_.log_limit(), LogPressure::kFull) != LogPressure::kFull) return planned;
  PruneRequest alone = request;
  alone.keep.clear();
  alone.without_copies = true;  // a difference that is being sent ends with its pair
  TM_ASSIGN(const PruneReport without, group_.prune(alone));
  if (without.segments == planned.segments || !options_.give_up_one()) return planned;
  return plan(request);
}

// True: the base has moved.
bool HistoryKeeper::prune() {
  PruneRequest request;
  request.policy = policy();
  if (request.policy.keeps_everything()) return false;
  request.bytes_per_second = pressure_ == LogPressure::kFull ? 0 : options_.bytes_per_second;
  auto plan = this->plan(request);
  if (plan.ok() && (plan->segments == 0 || plan->segment_bytes < plan->log_bytes / kWorthwhileShare)) return false;
  request.dry_run = false;
  if (plan.ok()) plan = group_.prune(request);
  const Code code = plan.status().code();
  if (!plan.ok() && code != Code::kInterrupted && code != Code::kBusy) {
    const std::string text = where_now(group_.directory()) + " could not be pruned: " + plan.status().text();
    if (std::exchange(told_, text) != text) log_warning(text);
  }
  if (!plan.ok() || plan->base == plan->base_before) return false;
  log_info(where_now(group_.directory()) + ": the base has moved to seq " + std::to_string(plan->base.value()) + ", " +
           std::to_string(plan->segments) + " segments were removed");
  return true;
}

}  // namespace tidemark
