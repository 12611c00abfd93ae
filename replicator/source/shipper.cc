// The pairs of a group: one link each, and, where there is one, a thread that keeps heartbeats going.
#include <map>
#include <set>

#include "base/descriptors.h"
#include "base/logging.h"
#include "replicator/source/pair_link.h"
#include "replicator/source/pair_store.h"

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kBeatsEvery{200};
constexpr std::chrono::milliseconds kDrainStep{5};
constexpr size_t kPairDescriptors = 12;  // before its first line: what wakes its thread, and libzmq's own

class ShipperImpl final : public Shipper {
 public:
  ShipperImpl(Group& group, std::unique_ptr<PairStore> store) : group_(group), store_(std::move(store)) {}
  ~ShipperImpl() override { stop(); }

  void start();
  std::vector<Pair> list() const override { return store_->list(); }
  Status create(const PairConfig& pair) override;
  Status remove(const std::string& site) override;
  Status suspend(const std::string& site) override;
  Status resume(const std::string& site) override;
  Status park(const std::string& site, const std::string& cause) override;
  Status drain(std::chrono::milliseconds timeout) override;
  void stop() override;

 private:
  void beat();
  // Whatever is wrong with the pair's keys or address shows in its progress, and goes away when it is put right.
  void run(const Pair& pair) TM_REQUIRES(mutex_);
  // Commands are given without the table's lock: one that has to wait keeps nobody else from anything.
  Result<std::shared_ptr<PairLink>> find(const std::string& site) TM_EXCLUDES(mutex_);
  std::vector<std::shared_ptr<PairLink>> links() TM_EXCLUDES(mutex_);
  // Names of those that lag behind `seq`; `hopeful`: only those that may still catch up.
  std::string lagging(Seq seq, bool hopeful) TM_REQUIRES(mutex_);

  Group& group_;
  std::unique_ptr<PairStore> store_;
  const std::shared_ptr<ZmqContext> context_ = ZmqContext::of_this_process();
  Mutex mutex_;
  CondVar stopped_;
  CondVar removed_;
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
  std::set<std::string> removing_
      TM_GUARDED_BY(mutex_);  // their links are ending, and may still write what they have to say
  std::map<std::string, std::shared_ptr<PairLink>> links_ TM_GUARDED_BY(mutex_);
  std::thread beats_ TM_GUARDED_BY(mutex_);                                   // from the first pair on
  Mutex poked_mutex_;                                                         // a leaf
  std::vector<std::shared_ptr<PairLink>> poked_ TM_GUARDED_BY(poked_mutex_);  // whom the log wakes: all that are in links_
};

void ShipperImpl::start() {
  // On the thread that syncs the log: one more between it and the link's would cost as much as a quick disk's sync.
  group_.log().on_progress([this](LogProgress progress) {
    MutexLock lock(poked_mutex_);
    for (const auto& link : poked_) link->poke(progress);
  });
  MutexLock lock(mutex_);
  for (const Pair& pair : store_->list()) run(pair);
}

void ShipperImpl::beat() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (!stopping_) stopped_.wait_for(mutex_, kBeatsEvery);
      if (stopping_) return;
    }
    for (const auto& link : links()) link->beat();
  }
}

void ShipperImpl::run(const Pair& pair) {
  // Under the lock, which comes before that of the watermarks: nobody sees a pair that remove() does not find.
  auto persist = [this, site = pair.config.site](const PairStatus& status) { return store_->set_status(site, status); };
  auto link = std::make_shared<PairLink>(group_, pair, *context_, persist);
  {
    MutexLock lock(poked_mutex_);
    poked_.push_back(link);
  }
  link->poke(LogProgress::kSyncing);  // what came before it was on the list
  link->poke(LogProgress::kDurable);
  links_.emplace(pair.config.site, std::move(link));
  if (!beats_.joinable()) beats_ = std::thread([this] { beat(); });
}

std::vector<std::shared_ptr<PairLink>> ShipperImpl::links() {
  std::vector<std::shared_ptr<PairLink>> all;
  MutexLock lock(mutex_);
  for (const auto& [site, link] : links_) all.push_back(link);
  return all;
}

Result<std::shared_ptr<PairLink>> ShipperImpl::find(const std::string& site) {
  MutexLock lock(mutex_);
  auto found = links_.find(site);
  if (found != links_.end()) return found->second;
  return Status(Code::kNotFound, "there is no pair with site '" + site + "'");
}

Status ShipperImpl::create(const PairConfig& config) {
  MutexLock lock(mutex_);
  while (removing_.contains(config.site)) removed_.wait(mutex_);
  if (stopping_) return Status(Code::kInterrupted, "shipping has stopped");
  TM_TRY(check_descriptors(kPairDescriptors, "a pair"));
  TM_TRY(store_->edit([&](std::vector<Pair>& pairs) { return add_pair(pairs, config); }));
  run({config, {}});
  return Status();
}

Status ShipperImpl::remove(const std::string& site) {
  std::shared_ptr<PairLink> link;
  {
    MutexLock lock(mutex_);
    TM_TRY(store_->edit([&](std::vector<Pair>& pairs) { return remove_pair(pairs, site); }));
    auto found = links_.find(site);
    if (found != links_.end()) {
      link = std::move(found->second);
      links_.erase(found);
    }
    removing_.insert(site);
  }
  {
    MutexLock lock(poked_mutex_);
    std::erase(poked_, link);
  }
  if (link != nullptr) link->end();  // outside the lock: it waits for the thread
  group_.watermarks().remove(site);
  group_.watermarks().tell();
  MutexLock lock(mutex_);
  removing_.erase(site);
  removed_.notify_all();
  return Status();
}

Status ShipperImpl::suspend(const std::string& site) {
  TM_ASSIGN(const std::shared_ptr<PairLink> link, find(site));
  return link->suspend();
}

Status ShipperImpl::resume(const std::string& site) {
  TM_ASSIGN(const std::shared_ptr<PairLink> link, find(site));
  return link->resume();
}

Status ShipperImpl::park(const std::string& site, const std::string& cause) {
  TM_ASSIGN(const std::shared_ptr<PairLink> link, find(site));
  return link->park(cause);
}

std::string ShipperImpl::lagging(Seq seq, bool hopeful) {
  std::string names;
  for (auto& [site, link] : links_) {
    PairLink::Standing standing = link->standing();
    if (standing.durable >= seq || (hopeful && standing.hopeless)) continue;
    names += (names.empty() ? "" : ", ") + site;
    if (!hopeful && !standing.last_error.empty()) names += " (" + standing.last_error + ")";
  }
  return names;
}

Status ShipperImpl::drain(std::chrono::milliseconds timeout) {
  // What was written in the last moment is to go over as well.
  if (Status synced = group_.log().sync(kLatest); !synced.ok()) log_warning(synced.text());
  const Seq goal = group_.settled();
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
  std::map<std::string, std::shared_ptr<PairLink>> links;
  std::thread beats;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    links.swap(links_);
    beats.swap(beats_);
    stopped_.notify_all();
  }
  group_.log().on_progress(nullptr);
  for (auto& [site, link] : links) link->stop();
  for (auto& [site, link] : links) link->end();
  if (beats.joinable()) beats.join();
}

}  // namespace

Result<std::unique_ptr<Shipper>> Shipper::start(Group& group) {
  TM_ASSIGN(std::unique_ptr<PairStore> store, PairStore::open(group.directory()));
  TM_TRY(check_descriptors(kPairDescriptors * (store->list().size() + 1), "shipping to the pairs"));
  auto shipper = std::make_unique<ShipperImpl>(group, std::move(store));
  shipper->start();
  return std::unique_ptr<Shipper>(std::move(shipper));
}

}  // namespace tidemark
