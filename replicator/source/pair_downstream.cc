// What a pair's site says of the sites behind it.
#include <algorithm>
#include <set>

#include "replicator/source/pair_core.h"

namespace tidemark {
namespace {

constexpr size_t kPatientDepthMax = 8;

// A site that forwards says so right after BEGIN.
constexpr std::chrono::seconds kDownstreamToldMax{3};

// What a site acknowledges may wait for this one.
bool holds_back(const DownstreamSite& site) {
  const bool away =
      site.state == PairState::kSimplex || site.state == PairState::kSuspended || site.state == PairState::kFailed;
  return site.mode == PairMode::kSync && !away;
}

// How many sites, one behind the other, hold back what a site acknowledges that has these behind it.
size_t waiting_depth(const std::vector<DownstreamSite>& sites) {
  std::set<std::string, std::less<>> waited_for{""};
  size_t depth = 0;
  for (bool more = true; more && depth < kPatientDepthMax; depth += more) {
    std::set<std::string, std::less<>> behind;
    for (const DownstreamSite& site : sites) {
      const size_t slash = site.name.rfind('/');
      const std::string before = slash == std::string::npos ? "" : site.name.substr(0, slash);
      if (holds_back(site) && waited_for.contains(before)) behind.insert(site.name);
    }
    more = !behind.empty();
    waited_for = std::move(behind);
  }
  return depth;
}

}  // namespace

Status PairCore::take_downstream(Bytes body) {
  TM_ASSIGN(std::vector<DownstreamSite> sites, decode_downstream(body));
  std::vector<std::string> names;
  for (const DownstreamSite& site : sites) {
    SiteProgress progress;
    progress.downstream = true;
    progress.state = pair_state_name(site.state);
    progress.mode = pair_mode_name(site.mode);
    progress.connected = site.connected;
    progress.sent = progress.received = progress.durable = site.durable;
    progress.acked_ns = site.acked_ns;
    names.push_back(config_.site + "/" + site.name);
    group_.watermarks().update(names.back(), progress);
  }
  for (const std::string& name : downstream_) {
    if (std::find(names.begin(), names.end(), name) == names.end()) group_.watermarks().remove(name);
  }
  downstream_ = std::move(names);
  session_.downstream_told = true;
  const std::chrono::seconds patience = kSyncStallMax * static_cast<int64_t>(1 + waiting_depth(sites));
  if (patience < session_.stall_max) session_.progress_ns = now();  // one of them was given up: what waited for it comes now
  session_.stall_max = patience;
  return Status();
}

void PairCore::cut_off_downstream() {
  const auto known = group_.watermarks().snapshot();
  for (const std::string& name : downstream_) {
    auto found = known.find(name);
    if (found == known.end() || found->second.cut_off) continue;
    SiteProgress progress = found->second;
    progress.cut_off = true;
    progress.connected = false;
    group_.watermarks().update(name, progress);
  }
}

void PairCore::drop_untold_downstream() {
  if (session_.downstream_told || downstream_.empty() ||
      now() - session_.begun_ns < std::chrono::nanoseconds(kDownstreamToldMax).count())
    return;
  for (const std::string& name : downstream_) group_.watermarks().remove(name);
  downstream_.clear();
}

}  // namespace tidemark
