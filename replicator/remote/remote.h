// Reading from a site: tcp://HOST:PORT/GROUP[@POINT] as a tree, its marks and where it stands.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "replicator/wire/endpoint.h"
#include "volume/history/point.h"
#include "volume/history/retention.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

struct RemoteOptions {
  std::string server_key;  // as in PairConfig
  std::string own_key;
  std::chrono::milliseconds timeout{10000};  // for each answer
};

struct RemoteGroupInfo {
  GroupId id{};
  std::string name;
  Position newest;
  Seq base;
  Seq durable;
  int64_t newest_time_ns = 0;
  uint64_t log_bytes = 0;
};

inline constexpr std::chrono::minutes kRemotePruneMax{9};  // how long one is waited for

struct SiteReport;  // replicator/wire/status_protocol.h

struct RemotePrune {
  PruneReport report;
  int64_t base_time_ns = 0;  // wall time of the base's record; 0 where nothing was ever pruned
};

// Thread-safe: each thread that calls uses a connection of its own. It has threads: connect after the last fork().
class RemoteGroup {
 public:
  // kUnreachable, kTimeout, kNotFound (no such group there), kNotAuthorised.
  static Result<std::unique_ptr<RemoteGroup>> connect(const RemoteAddress& address, const RemoteOptions& options);
  virtual ~RemoteGroup() = default;
  virtual Result<RemoteGroupInfo> info() = 0;
  // How it stands there, as far as the site knows.
  virtual Result<SiteReport> report() = 0;
  virtual Result<Seq> resolve(std::string_view point) = 0;
  virtual Result<std::vector<Mark>> list_marks(MarkId after, size_t max) = 0;
  // The tree at `point`; may outlive this object. Every answer carries checksums, verified here.
  virtual Result<std::shared_ptr<TreeView>> view(Seq point) = 0;
  // Stored records from `next` on: whole records, unverified order (use walk_records). Empty at the newest.
  virtual Result<std::string> read_log(Seq next, size_t bytes_max) = 0;
  // Of pruned segments, what is still needed, from `from` on: whole records, not each follows the one before. Empty: none.
  virtual Result<std::string> read_packed(Seq from, size_t bytes_max) = 0;
  // Lets go of the history before `to` there, for which the site must have given our key the right; not repeated if the answer is
  // lost. kBusy: another prune is going on; kTimeout: it takes longer than kRemotePruneMax, and goes on without us.
  virtual Result<RemotePrune> prune(Seq to, bool dry_run) = 0;
};

// Names of the groups the site at `endpoint` holds. Fails as RemoteGroup::connect.
Result<std::vector<std::string>> list_remote_groups(const std::string& endpoint, const RemoteOptions& options);

}  // namespace tidemark
