// How far each site has come. The replicator writes it; the mount, marks and status read it. In memory only: a pair's durable
// truth is at its target.
#pragma once

#include <tidemark/types.h>

#include <chrono>
#include <map>
#include <string>

#include "base/mutex.h"
#include "base/status.h"

namespace tidemark {

struct SiteProgress {
  std::string state;  // pair state, docs/REPLICATION.md: "copying", "duplex" …
  Seq sent;
  Seq received;  // sent ≥ received ≥ durable
  Seq durable;
  bool connected = false;
  int64_t since_ns = 0;  // wall time of the newest change of state
  int64_t acked_ns = 0;  // wall time of the newest acknowledgement; 0: none yet
  std::string last_error;
};

class Watermarks {
 public:
  void update(const std::string& site, const SiteProgress& progress);
  void remove(const std::string& site);
  [[nodiscard]] std::map<std::string, SiteProgress> snapshot() const;
  // True where `who` is "", "local", "all" or a site that has a pair.
  [[nodiscard]] bool knows(const std::string& who) const;
  // Waits until `seq` is durable at `who`: "" or "local" at once; a site's name; "all" sites that have a pair.
  // kNotFound: no such site. kTimeout: not in time; the text names who is missing.
  Status wait_durable(const std::string& who, Seq seq, std::chrono::milliseconds timeout);

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<std::string, SiteProgress> sites_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark
