// One link for each pair, and, where there is one, a thread that keeps heartbeats going.
#include "replicator/source/shipper.h"

#include "base/descriptors.h"
#include "base/logging.h"
#include "log/write/writer.h"
#include "replicator/source/pair_link.h"
#include "replicator/source/pair_store.h"

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kBeatsEvery{200};
constexpr std::chrono::milliseconds kDrainStep{5};
constexpr size_t kPairDescriptors = 12;  // before its first line: what wakes its thread, and libzmq's own

}  // namespace

Shipper::Shipper(Group& group, std::unique_ptr<PairStore> store)
    : group_(group), store_(std::move(store)), context_(ZmqContext::of_this_process()) {}

Shipper::~Shipper() { stop(); }

std::vector<Pair> Shipper::list() const { return store_->list(); }

void Shipper::begin() {
  // On the thread that syncs the log: one more between it and the link's would cost as much as a quick disk's sync.
  group_.log_writer().on_progress([this](LogProgress progress) {
    MutexLock lock(poked_mutex_);
    for (const auto& link : poked_) link->poke(progress);
  });
  MutexLock lock(mutex_);
  for (const Pair& pair : store_->list()) run(pair);
}

void Shipper::beat() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (!stopping_) stopped_.wait_for(mutex_, kBeatsEvery);
      if (stopping_) return;
    }
    for (const auto& link : links()) link->beat();
  }
}

void Shipper::run(const Pair& pair) {
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

std::vector<std::shared_ptr<PairLink>> Shipper::links() {
  std::vector<std::shared_ptr<PairLink>> all;
  MutexLock lock(mutex_);
  for (const auto& [site, link] : links_) all.push_back(link);
  return all;
}

Result<std::shared_ptr<PairLink>> Shipper::find(const std::string& site) {
  MutexLock lock(mutex_);
  auto found = links_.find(site);
  if (found != links_.end()) return found->second;
  return Status(Code::kNotFound, "there is no pair with site '" + site + "'");
}

Status Shipper::create(const PairConfig& config) {
  MutexLock lock(mutex_);
  while (removing_.contains(config.site)) removed_.wait(mutex_);
  if (stopping_) return Status(Code::kInterrupted, "shipping has stopped");
  TM_TRY(check_descriptors(kPairDescriptors, "a pair"));
  TM_TRY(store_->edit([&](std::vector<Pair>& pairs) { return add_pair(pairs, config); }));
  run({config, {}});
  return Status();
}

Status Shipper::remove(const std::string& site) {
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

Status Shipper::suspend(const std::string& site) {
  TM_ASSIGN(const std::shared_ptr<PairLink> link, find(site));
  return link->suspend();
}

Status Shipper::resume(const std::string& site) {
  TM_ASSIGN(const std::shared_ptr<PairLink> link, find(site));
  return link->resume();
}

Status Shipper::park(const std::string& site, const std::string& cause) {
  TM_ASSIGN(const std::shared_ptr<PairLink> link, find(site));
  return link->park(cause);
}

std::string Shipper::lagging(Seq seq, bool hopeful) {
  std::string names;
  for (auto& [site, link] : links_) {
    PairLink::Progress progress = link->progress();
    if (progress.durable >= seq || (hopeful && progress.hopeless)) continue;
    names += (names.empty() ? "" : ", ") + site;
    if (!hopeful && !progress.last_error.empty()) names += " (" + progress.last_error + ")";
  }
  return names;
}

Status Shipper::drain(std::chrono::milliseconds timeout) {
  // What was written in the last moment is to go over as well.
  if (Status synced = group_.log_writer().sync(kLatest); !synced.ok()) log_warning(synced.text());
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

void Shipper::stop() {
  std::map<std::string, std::shared_ptr<PairLink>> links;
  std::thread beats;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    links.swap(links_);
    beats.swap(beats_);
    stopped_.notify_all();
  }
  group_.log_writer().on_progress(nullptr);
  for (auto& [site, link] : links) link->stop();
  for (auto& [site, link] : links) link->end();
  if (beats.joinable()) beats.join();
}

Result<std::unique_ptr<Shipper>> Shipper::start(Group& group) {
  TM_ASSIGN(std::unique_ptr<PairStore> store, PairStore::open(group.directory()));
  TM_TRY(check_descriptors(kPairDescriptors * (store->list().size() + 1), "shipping to the pairs"));
  std::unique_ptr<Shipper> shipper(new Shipper(group, std::move(store)));
  shipper->begin();
  return shipper;
}

}  // namespace tidemark
