#include "volume/group/watermarks.h"

#include <algorithm>
#include <utility>

namespace tidemark {

void Watermarks::update(const std::string& site, const SiteProgress& progress) {
  MutexLock lock(mutex_);
  sites_[site] = progress;
  refresh();
}

void Watermarks::remove(const std::string& site) {
  MutexLock lock(mutex_);
  sites_.erase(site);
  std::erase_if(sites_, [&](const auto& entry) { return entry.second.downstream && entry.first.starts_with(site + "/"); });
  refresh();
}

void Watermarks::refresh() {
  copied_ = kLatest;
  withheld_ = false;
  fencing_.clear();
  for (const auto& [site, progress] : sites_) {
    if (progress.waits || progress.withholds || progress.fenced) copied_ = std::min(copied_, progress.durable);
    withheld_ = withheld_ || progress.withholds;
    if (progress.fenced) fencing_ = site;
  }
  fenced_.store(!fencing_.empty() || !refused_.empty(), std::memory_order_release);
  untold_ = true;
  changed_.notify_all();
}

void Watermarks::tell() {
  std::function<void()> changed;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(untold_, false) || !on_change_) return;
    changed = on_change_;
    ++telling_;
  }
  changed();
  MutexLock lock(mutex_);
  --telling_;
  changed_.notify_all();
}

void Watermarks::on_change(std::function<void()> changed) {
  MutexLock lock(mutex_);
  on_change_ = std::move(changed);
  while (telling_ > 0) changed_.wait(mutex_);
}

std::map<std::string, SiteProgress> Watermarks::snapshot() const {
  MutexLock lock(mutex_);
  return sites_;
}

bool Watermarks::knows(const std::string& who) const {
  if (who.empty() || who == "local") return true;
  MutexLock lock(mutex_);
  return who == "all" ? has_pair() : sites_.contains(who);
}

bool Watermarks::has_pair() const {
  return std::any_of(sites_.begin(), sites_.end(), [](const auto& site) { return !site.second.downstream; });
}

Status Watermarks::wait_durable(const std::string& who, Seq seq, std::chrono::milliseconds timeout) {
  if (who.empty() || who == "local") return Status();
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  for (;;) {
    if (who == "all" && !has_pair())
      return Status(Code::kNotFound, "this volume has no pair, so no site can confirm anything");
    if (who != "all" && !sites_.contains(who)) return Status(Code::kNotFound, "there is no pair with site '" + who + "'");
    std::string missing;
    for (const auto& [site, progress] : sites_) {
      bool meant = who == "all" ? !progress.downstream : who == site;
      if (meant && progress.durable < seq) missing += (missing.empty() ? "" : ", ") + site;
    }
    if (missing.empty()) return Status();
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) {
      return Status(Code::kTimeout, "record " + std::to_string(seq.value()) + " is not yet durable at: " + missing);
    }
    changed_.wait_for(mutex_, left);
  }
}

Seq Watermarks::copied() const {
  MutexLock lock(mutex_);
  return copied_;
}

bool Watermarks::may_acknowledge(Seq upto) const {
  MutexLock lock(mutex_);
  return copied_ >= upto && !withheld_;
}

std::optional<Status> Watermarks::answer(Seq upto) const {
  MutexLock lock(mutex_);
  return answer_now(upto);
}

std::optional<Status> Watermarks::answer_now(Seq upto) const {
  Status refused = refusal();  // first: a pair that fences waits for nothing any more
  if (!refused.ok() || (copied_ >= upto && !withheld_)) return refused;
  return {};
}

Status Watermarks::wait_copied(Seq upto) { return wait_copied(upto, std::chrono::steady_clock::now() + kCopiedMax); }

Status Watermarks::wait_copied(Seq upto, std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  for (;;) {
    if (const std::optional<Status> answer = answer_now(upto)) return *answer;
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) {
      return Status(Code::kTimeout,
                    "record " + std::to_string(upto.value()) + " is durable here, but not at a site that must have it too");
    }
    changed_.wait_for(mutex_, left);
  }
}

Status Watermarks::may_write() const {
  if (!fenced_.load(std::memory_order_acquire)) return Status();
  MutexLock lock(mutex_);
  return refusal();
}

void Watermarks::refuse_writes(std::string why) {
  MutexLock lock(mutex_);
  refused_ = std::move(why);
  refresh();
}

Status Watermarks::refusal() const {
  if (!refused_.empty()) return Status(Code::kReadOnly, refused_);
  if (fencing_.empty()) return Status();
  return Status(Code::kReadOnly, "site '" + fencing_ +
                                     "' is lost and its pair has fence=data, so writes are refused until it is back; "
                                     "`tidemark pair suspend` allows writes without it");
}

}  // namespace tidemark
