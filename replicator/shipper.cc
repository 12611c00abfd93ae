// The pairs of a group: one link each, and one thread that tells them when more is durable.
#include <map>

#include "base/logging.h"
#include "replicator/pair_link.h"

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kWatchMax{200};
constexpr std::chrono::milliseconds kDrainStep{5};
constexpr size_t kLinksMax = 64;

class ShipperImpl final : public Shipper {
 public:
  explicit ShipperImpl(Group& group) : group_(group) {
    watcher_ = std::thread([this] { watch(); });
  }
  ~ShipperImpl() override { stop(); }

  // Whatever is wrong with the pair's keys or address shows in its progress, and goes away when it is put right.
  Status add_unchecked(const PairConfig& pair);
  Status add(const PairConfig& pair) override {
    TM_TRY(check_pair(pair));
    return add_unchecked(pair);
  }
  Status remove(const std::string& site) override;
  Status drain(std::chrono::milliseconds timeout) override;
  void stop() override;

 private:
  void watch();
  // Names of those that lag behind `seq`; `hopeful`: only those that may still catch up.
  std::string lagging(Seq seq, bool hopeful) TM_REQUIRES(mutex_);

  Group& group_;
  ZmqContext context_;
  Mutex mutex_;
  CondVar stopped_;
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::unique_ptr<PairLink>> links_ TM_GUARDED_BY(mutex_);
  std::thread watcher_;
};

void ShipperImpl::watch() {
  Seq known = group_.log().durable();
  for (;;) {
    bool more = group_.log().wait_durable(known, kWatchMax);
    bool failed = !more && !group_.log().health().ok();
    if (more) known = group_.log().durable();
    MutexLock lock(mutex_);
    if (stopping_) return;
    if (failed) stopped_.wait_for(mutex_, kWatchMax);  // it answers at once, every time
    if (!more) continue;
    for (auto& [site, link] : links_) link->poke();
  }
}

Status ShipperImpl::add_unchecked(const PairConfig& pair) {
  MutexLock lock(mutex_);
  if (stopping_) return Status(Code::kInterrupted, "shipping has stopped");
  if (links_.contains(pair.site)) return Status(Code::kExists, "there is a pair with site '" + pair.site + "' already");
  if (links_.size() >= kLinksMax) return Status(Code::kLimit, "a group can have at most 64 pairs");
  // Under the lock, which comes before that of the watermarks: nobody sees a pair that remove() does not find.
  links_.emplace(pair.site, std::make_unique<PairLink>(group_, pair, context_));
  return Status();
}

Status ShipperImpl::remove(const std::string& site) {
  std::unique_ptr<PairLink> link;
  {
    MutexLock lock(mutex_);
    auto found = links_.find(site);
    if (found == links_.end()) return Status(Code::kNotFound, "there is no pair with site '" + site + "'");
    link = std::move(found->second);
    links_.erase(found);
  }
  link.reset();  // outside the lock: it waits for the thread
  group_.watermarks().remove(site);
  return Status();
}

std::string ShipperImpl::lagging(Seq seq, bool hopeful) {
  std::string names;
  for (auto& [site, link] : links_) {
    if (link->durable() >= seq || (hopeful && link->refused())) continue;
    names += (names.empty() ? "" : ", ") + site;
    if (std::string why = link->last_error(); !hopeful && !why.empty()) names += " (" + why + ")";
  }
  return names;
}

Status ShipperImpl::drain(std::chrono::milliseconds timeout) {
  Seq goal = group_.log().durable();
  auto deadline = std::chrono::steady_clock::now() + timeout;
  std::string late;
  {
    MutexLock lock(mutex_);
    while (!stopping_ && !lagging(goal, true).empty() && std::chrono::steady_clock::now() < deadline) {
      stopped_.wait_for(mutex_, kDrainStep);
    }
    late = lagging(goal, false);
  }
  stop();
  if (late.empty()) return Status();
  return Status(Code::kTimeout, "not everything up to seq " + std::to_string(goal.value()) + " is durable at: " + late);
}

void ShipperImpl::stop() {
  std::map<std::string, std::unique_ptr<PairLink>> links;
  bool first = false;
  {
    MutexLock lock(mutex_);
    first = !std::exchange(stopping_, true);
    links.swap(links_);
    stopped_.notify_all();
  }
  for (auto& [site, link] : links) link->stop();
  links.clear();
  if (first) watcher_.join();
}

}  // namespace

std::unique_ptr<Shipper> Shipper::start(Group& group, const std::vector<PairConfig>& pairs) {
  auto shipper = std::make_unique<ShipperImpl>(group);
  for (const PairConfig& pair : pairs) {
    if (Status status = shipper->add_unchecked(pair); !status.ok()) log_error("pair '" + pair.site + "': " + status.text());
  }
  return shipper;
}

}  // namespace tidemark
