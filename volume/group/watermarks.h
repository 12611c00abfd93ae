// How far each site has come. The replicator writes it; the mount, marks and status read it. In memory only.
#pragma once

#include <tidemark/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/status.h"

namespace tidemark {

struct SiteProgress {
  std::string state;           // pair state, docs/REPLICATION.md: "copying", "duplex" …
  std::string mode;            // "async", "sync"
  std::string fence;           // "never", "data"
  std::string wanted = "run";  // by an operator: "run", "suspended"
  Seq sent;
  Seq received;  // sent ≥ received ≥ durable
  Seq durable;
  bool connected = false;
  bool downstream = false;  // not a pair of ours: a site to which one of ours forwards ("NEAR/FAR")
  bool cut_off = false;     // downstream: the site that told of it is not heard any more, so this is how it was
  bool diverged = false;    // it was found to hold another history
  bool parked = false;      // the log is not kept for it any more: nothing is shipped before `pair resume`
  int64_t since_ns = 0;     // wall time of the newest change of state
  int64_t acked_ns = 0;     // wall time of the newest acknowledgement; 0: none yet
  std::string cause;        // of the newest change of state
  std::string last_error;
  bool waits = false;      // what is to count as durable has to be durable there first (a sync pair)
  bool withholds = false;  // nothing counts as durable until its pair is duplex again (fence=data)
  bool fenced = false;     // and writes are refused until then: the site was lost
  // Of a copy or resynchronisation on its way: bytes of log it began with, and when (wall time). 0: none.
  uint64_t copy_bytes = 0;
  int64_t copy_since_ns = 0;
  uint64_t shipped_bytes = 0;         // that the site has taken since this process began to ship, each record once
  uint64_t resent_bytes = 0;          // of records that this process had sent before
  std::optional<uint64_t> lag_bytes;  // of log not durable there; unknown before the first session
};

class Watermarks {
 public:
  // Whoever changes something, here or with remove() or refuse_writes(), calls tell() once it holds no lock (WatermarkNews).
  void update(const std::string& site, const SiteProgress& progress);
  void remove(const std::string& site);
  [[nodiscard]] std::map<std::string, SiteProgress> snapshot() const;
  // True where `who` is "", "local", a site that has a pair, or "all" and there is one.
  [[nodiscard]] bool knows(const std::string& who) const;
  // Waits until `seq` is durable at `who`: "" or "local" at once; a site's name; "all" sites that have a pair.
  // kNotFound: no such site, or none at all. kTimeout: not in time; the text names who is missing.
  // Sites that only get what another one forwards are no part of "all".
  Status wait_durable(const std::string& who, Seq seq, std::chrono::milliseconds timeout);

  // --- sync pairs: what counts as durable, and whether anything may be written ---------------------------------------------
  // Newest seq that is durable at every site that waits, withholds or fences; kLatest where none does.
  [[nodiscard]] Seq copied() const;
  // Records up to `upto` may count as durable: copied() ≥ upto, and no pair withholds.
  [[nodiscard]] bool may_acknowledge(Seq upto) const;
  // What may be answered by now to whoever waits until `upto` counts as durable: ok, or kReadOnly as wait_copied(). None: nothing yet.
  [[nodiscard]] std::optional<Status> answer(Seq upto) const;
  // Returns once may_acknowledge(upto). kReadOnly: writes are refused meanwhile. kTimeout: a bound of last resort; a pair that gets no
  // answer gives up long before.
  Status wait_copied(Seq upto);
  Status wait_copied(Seq upto, std::chrono::steady_clock::time_point deadline);
  // ok, or kReadOnly: which site's loss fences the group, and what to do; or what refuse_writes() said. Quick.
  [[nodiscard]] Status may_write() const;
  // From now on, as long as this process lives, nothing may be written. `why` says what to do. Whoever waits is answered so.
  void refuse_writes(std::string why);

  // `changed` is called by tell() where something has changed, on its thread. One at most; null: none. On return the one before is not
  // called any more.
  void on_change(std::function<void()> changed);
  void tell() TM_EXCLUDES(mutex_);

 private:
  static constexpr std::chrono::seconds kCopiedMax{60};
  void refresh() TM_REQUIRES(mutex_);
  [[nodiscard]] Status refusal() const TM_REQUIRES(mutex_);
  [[nodiscard]] bool has_pair() const TM_REQUIRES(mutex_);
  [[nodiscard]] std::optional<Status> answer_now(Seq upto) const TM_REQUIRES(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  std::map<std::string, SiteProgress> sites_ TM_GUARDED_BY(mutex_);
  Seq copied_ TM_GUARDED_BY(mutex_) = kLatest;
  bool withheld_ TM_GUARDED_BY(mutex_) = false;
  std::string fencing_ TM_GUARDED_BY(mutex_);  // the site that fences; "": none
  std::string refused_ TM_GUARDED_BY(mutex_);  // why nothing may be written for good; "": it may
  std::atomic<bool> fenced_{false};
  std::function<void()> on_change_ TM_GUARDED_BY(mutex_);
  bool untold_ TM_GUARDED_BY(mutex_) = false;
  size_t telling_ TM_GUARDED_BY(mutex_) = 0;
};

// Tells what has changed when its scope ends: made before the lock under which something may change.
class WatermarkNews {
 public:
  explicit WatermarkNews(Watermarks& watermarks) : watermarks_(watermarks) {}
  ~WatermarkNews() { watermarks_.tell(); }
  WatermarkNews(const WatermarkNews&) = delete;
  WatermarkNews& operator=(const WatermarkNews&) = delete;

 private:
  Watermarks& watermarks_;
};

}  // namespace tidemark
