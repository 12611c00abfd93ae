#include "volume/watermarks.h"

namespace tidemark {

void Watermarks::update(const std::string& site, const SiteProgress& progress) {
  MutexLock lock(mutex_);
  sites_[site] = progress;
  changed_.notify_all();
}

void Watermarks::remove(const std::string& site) {
  MutexLock lock(mutex_);
  sites_.erase(site);
  changed_.notify_all();
}

std::map<std::string, SiteProgress> Watermarks::snapshot() const {
  MutexLock lock(mutex_);
  return sites_;
}

bool Watermarks::knows(const std::string& who) const {
  if (who.empty() || who == "local" || who == "all") return true;
  MutexLock lock(mutex_);
  return sites_.contains(who);
}

Status Watermarks::wait_durable(const std::string& who, Seq seq, std::chrono::milliseconds timeout) {
  if (who.empty() || who == "local") return Status();
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  for (;;) {
    if (who != "all" && !sites_.contains(who)) return Status(Code::kNotFound, "there is no pair to a site '" + who + "'");
    std::string missing;
    for (const auto& [site, progress] : sites_) {
      if ((who == "all" || who == site) && progress.durable < seq) missing += (missing.empty() ? "" : ", ") + site;
    }
    if (missing.empty()) return Status();
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) {
      return Status(Code::kTimeout, "record " + std::to_string(seq.value()) + " is not yet durable at: " + missing);
    }
    changed_.wait_for(mutex_, left);
  }
}

}  // namespace tidemark
