// One group at a site: takes what its shipper sends, makes it durable, says so; and the views readers ask for.
//
// Two threads, from the first HELLO on: the ingestion verifies, appends and applies in order (ReplicaCore); the committer syncs
// behind it, so that a sync does not hold up what arrives meanwhile, and tells the shipper what became of it. A little that nothing follows
// is synced by the ingestion itself. Exactly one session ships at a time: the newest whose BEGIN fits.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "replicator/site/disk_quota.h"
#include "replicator/site/outbox.h"
#include "replicator/site/reader_views.h"
#include "replicator/site/replica_core.h"
#include "replicator/site/session_source.h"
#include "replicator/source/pair.h"
#include "replicator/source/shipper.h"
#include "replicator/wire/socket.h"
#include "volume/group/group.h"

namespace tidemark {

// What a copy may cost the site.
struct HostLimits {
  uint64_t bytes_max = 0;  // on disk; 0: no limit
  std::chrono::nanoseconds reader_hold = kReaderHoldDefault;
  DiskQuota* quota = nullptr;  // outlives the host
};

class ReplicaHost {
 public:
  // `opened` is called once the group is open, on the thread that opened it.
  ReplicaHost(std::string name, std::string directory, GroupOptions options, const HostLimits& limits, Outbox& outbox,
              std::function<void(Group&)> opened);
  ~ReplicaHost();  // stops and closes
  ReplicaHost(const ReplicaHost&) = delete;
  ReplicaHost& operator=(const ReplicaHost&) = delete;

  // Opens what the directory holds. Before any other call; without it the first HELLO makes the replica.
  Status open_existing();
  // Close reports what the destructor could not.
  Status close();

  [[nodiscard]] const std::string& name() const { return name_; }
  // The open group, or null; once not null it stays.
  [[nodiscard]] Group* group() const { return core_.group(); }
  // Why there is no group; ok where nobody has tried yet.
  [[nodiscard]] Status open_status() const { return core_.open_status(); }
  // What is known of the pair this copy is the target of.
  [[nodiscard]] std::optional<SourceRecord> source() const { return core_.source(); }
  // The pairs this site forwards the group to; null before there is a group.
  [[nodiscard]] Shipper* shipper() const { return open_shipper_.load(std::memory_order_acquire); }
  // The key that owns the group; "": none.
  [[nodiscard]] std::string owner() const { return core_.owner(); }
  // The tree at `point`, for a reader with that key.
  Result<std::shared_ptr<TreeView>> view(const std::string& key, Seq point);
  [[nodiscard]] ReaderViews& views() { return views_; }

  // From the router thread. None of them waits for work. False: too much is waiting.
  bool post_hello(std::shared_ptr<ShipSession> session, Hello hello, Claimant who);
  bool post_begin(std::shared_ptr<ShipSession> session, uint64_t request, Position agreed);
  // DATA or DIFFERENCE. Its size counts against the session's window and is given back when the message was dealt with. The window
  // bounds the queue.
  void post_data(std::shared_ptr<ShipSession> session, Message message);
  bool post_offer(std::shared_ptr<ShipSession> session, const DifferenceOffer& offer);
  void post_news(std::shared_ptr<ShipSession> session, PairNews news);
  // The shipper says what is durable there.
  void told(const std::shared_ptr<ShipSession>& session, Seq durable);
  // The shipper of an active session was heard; `newest`: as in ReplicaCore::heard().
  void heard(const ShipSession& session, Seq newest);
  // About once a second: how the active session's connection is, and what was heard is written down.
  void tick(const ShipSession& session, bool connected);
  // The answer to what was asked with FETCH. kInvalid: nobody has asked for it.
  Status fetched(const ShipSession& session, uint64_t request, std::string run);
  // Nobody waits for records from elsewhere any more, nor will.
  void stop_healing() { healing_->stop(); }
  // The session is over; what is queued of it is dropped unseen. `orderly`: the shipper said so.
  void forget(const std::shared_ptr<ShipSession>& session, bool orderly);

 private:
  struct Item {
    enum class Kind { kHello, kBegin, kOffer, kData, kNews, kLost } kind = Kind::kData;
    std::shared_ptr<ShipSession> session;
    Hello hello;
    Claimant who;
    uint64_t request = 0;
    Position agreed;
    DifferenceOffer offer;
    Message message;
    PairNews news;
    bool orderly = false;
  };

  void start_threads() TM_REQUIRES(mutex_);
  static bool is_limited(Item::Kind kind);
  bool post(Item item);
  void run_ingest();
  void run_commit();
  void handle(Item item);
  void handle_hello(const Item& item);
  void post_welcome(const ShipSession& session, const Welcome& welcome);
  void handle_begin(const Item& item);
  // kNoSpace: it has what it may have.
  [[nodiscard]] Status may_grow();
  void end_older(const std::shared_ptr<ShipSession>& newer);
  void handle_offer(const Item& item);
  void handle_data(Item item);
  // DATA that came over several lines is taken in the order of its seqs: true where this has to wait for what comes before it, or is
  // here already.
  bool put_in_order(Item& item);
  void take_data(const Item& item);
  static void count_consumed(const Item& item);
  void fail_session(const std::shared_ptr<ShipSession>& session, const Status& status, Retry retry);
  void opened(Group& group);
  // What is here becomes durable, and the shipper is told. Of whoever has set committing_. True where there was something to tell.
  bool commit_once();
  bool acknowledge();
  void note_heard();
  // Tells the shipper how far the sites have come to which this one forwards. Returns when to be asked again; 0: when it changes.
  std::chrono::nanoseconds report_downstream();

  const std::string name_;
  Clock& clock_;
  Outbox& outbox_;
  const HostLimits limits_;
  const std::function<void(Group&)> opened_;
  ReplicaCore core_;
  const std::shared_ptr<SessionSource> healing_;  // what is damaged here, from the source
  std::unique_ptr<Shipper> shipper_;              // set once, before open_shipper_
  std::atomic<Shipper*> open_shipper_{nullptr};

  Mutex mutex_;
  CondVar work_;    // the ingestion waits here
  CondVar commit_;  // the committer
  std::deque<Item> queue_ TM_GUARDED_BY(mutex_);
  size_t hellos_ TM_GUARDED_BY(mutex_) = 0;  // limited items in the queue
  bool stopping_ TM_GUARDED_BY(mutex_) = false;
  bool unsynced_ TM_GUARDED_BY(mutex_) = false;
  int64_t unsynced_since_ns_ TM_GUARDED_BY(mutex_) = 0;
  bool committing_ TM_GUARDED_BY(mutex_) = false;  // one of the two threads is
  std::shared_ptr<ShipSession> active_ TM_GUARDED_BY(mutex_);
  bool progressed_ TM_GUARDED_BY(mutex_) = false;  // the sites behind this one have
  bool heard_ TM_GUARDED_BY(mutex_) = false;       // the source was, since it was last written down
  std::thread ingest_thread_ TM_GUARDED_BY(mutex_);
  std::thread commit_thread_ TM_GUARDED_BY(mutex_);

  // Of the ingestion: DATA of the active session that came too early, by first seq. Bounded by its window.
  std::map<Seq, Item> early_;

  std::vector<DownstreamSite> reported_;  // of the commit thread, as is the next
  uint64_t reported_to_ = 0;              // session
  int64_t reported_ns_ = 0;
  bool note_failed_ = false;  // likewise

  ReaderViews views_;
};

}  // namespace tidemark
