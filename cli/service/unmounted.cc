#include "cli/service/unmounted.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "cli/service/closing.h"

namespace tidemark::cli {
namespace {

using Deadline = UnmountedVolume::Deadline;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookEvery{10};
constexpr const char* kPurpose = "marking";  // by which such commands know one another

std::chrono::milliseconds left_until(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
  return std::max(left, std::chrono::milliseconds{0});
}

// False at the deadline.
bool pause_until(Deadline deadline) {
  const auto left = left_until(deadline);
  std::this_thread::sleep_for(std::min(left, kLookEvery));
  return left.count() > 0;
}

bool is_wanted(const Pair& pair) {
  return pair.config.mode == PairMode::kSync && pair.status.wanted == PairWanted::kRun && !pair.status.parked;
}

Result<std::unique_ptr<Group>> open_group(const std::string& directory, Deadline deadline) {
  GroupOptions options;
  options.purpose = kPurpose;
  TM_TRY(wait_until_closed(directory));
  for (;;) {
    auto group = Group::open(directory, OpenMode::kPrimary, options);
    if (group.ok() || group.status().code() != Code::kBusy) return group;
    TM_ASSIGN(const std::optional<Holder> holder, lock_holder(directory));
    // A holder that has not yet written who it is may be another of ours.
    const bool other = holder && !holder->purpose.empty() && holder->purpose != kPurpose;
    if (other || !pause_until(deadline)) return group;
  }
}

struct Missing {
  std::string sites;  // "" : none
  bool fences = false;
};

// The pairs that have to have what is written next and are not there yet.
Missing missing_of(const std::vector<Pair>& pairs, const std::map<std::string, SiteProgress>& progress) {
  Missing missing;
  for (const Pair& pair : pairs) {
    if (!is_wanted(pair)) continue;
    const auto found = progress.find(pair.config.site);
    if (found != progress.end() && found->second.connected && found->second.state == "duplex") continue;
    missing.sites += (missing.sites.empty() ? "'" : ", '") + pair.config.site + "'";
    if (found != progress.end() && !found->second.last_error.empty()) missing.sites += " (" + found->second.last_error + ")";
    missing.fences = missing.fences || pair.config.fence == PairFence::kData;
  }
  return missing;
}

}  // namespace

Result<std::unique_ptr<UnmountedVolume>> UnmountedVolume::open(const std::string& directory, const std::string& wait,
                                                               Deadline deadline) {
  TM_ASSIGN(std::unique_ptr<Group> group, open_group(directory, deadline));
  std::unique_ptr<UnmountedVolume> volume(new UnmountedVolume(std::move(group), wait == "local" ? "" : wait));
  TM_ASSIGN(const std::vector<Pair> pairs, load_pairs(directory));
  const bool sync =
      std::any_of(pairs.begin(), pairs.end(), [](const Pair& pair) { return pair.config.mode == PairMode::kSync; });
  if (sync || !volume->wait_.empty()) {
    TM_ASSIGN(volume->shipper_, Shipper::start(*volume->group_));
  }
  return volume;
}

Status UnmountedVolume::check_wait(Deadline deadline) {
  Watermarks& marks = group_->watermarks();
  // A site behind one of ours is known once that one has told of it.
  const bool behind = marks.knows(wait_.substr(0, wait_.find('/'))) && wait_.find('/') != std::string::npos;
  while (!marks.knows(wait_)) {
    if (behind && pause_until(deadline)) continue;
    return Status(Code::kNotFound, wait_ == "all" ? "this volume has no pair, so no site can confirm anything"
                                                  : "there is no pair with site '" + wait_ + "'");
  }
  return Status();
}

Status UnmountedVolume::connect(Deadline deadline) {
  if (shipper_ == nullptr) return Status();
  TM_TRY(check_wait(deadline));
  for (;;) {
    const Missing missing = missing_of(shipper_->list(), group_->watermarks().snapshot());
    if (missing.sites.empty()) return Status();
    if (pause_until(deadline)) continue;
    if (!missing.fences) return Status();
    return Status(Code::kTimeout, "not in duplex in time: " + missing.sites +
                                      "; nothing was changed (fence=data): bring the site back, or run "
                                      "`tidemark pair suspend` to continue without it");
  }
}

Status UnmountedVolume::wait_for_sites(Seq seq, Deadline deadline) {
  if (shipper_ == nullptr) return Status();
  std::string late;
  for (const Pair& pair : shipper_->list()) {
    if (!is_wanted(pair)) continue;
    const std::string& site = pair.config.site;
    Status there = group_->watermarks().wait_durable(site, seq, left_until(deadline));
    if (there.code() == Code::kTimeout) late += (late.empty() ? "'" : ", '") + site + "'";
  }
  if (!late.empty()) return Status(Code::kTimeout, "it is not yet durable at: " + late);
  return group_->watermarks().wait_durable(wait_, seq, left_until(deadline));
}

Status UnmountedVolume::close() {
  if (shipper_ != nullptr) shipper_->stop();
  shipper_.reset();
  return group_->close();
}

}  // namespace tidemark::cli
