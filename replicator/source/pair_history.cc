#include "replicator/source/pair_history.h"

#include <algorithm>

#include "base/logging.h"

namespace tidemark {
namespace {

// Newest seq known to be durable at the site; 0: nothing is known.
Seq durable_there(Group& group, const Pair& pair) {
  const auto progress = group.watermarks().snapshot();
  const auto known = progress.find(pair.config.site);
  return std::max(pair.status.durable, known == progress.end() ? Seq() : known->second.durable);
}

// Saved as dropped, and logged, before it returns: nothing is pruned that a pair counts on.
bool drop_most_behind(Group& group, Shipper& shipper) {
  const std::vector<Pair> pairs = shipper.list();
  const Pair* last = nullptr;
  for (const Pair& pair : pairs) {
    if (pair.status.parked) continue;
    if (last == nullptr || durable_there(group, pair) < durable_there(group, *last)) last = &pair;
  }
  if (last == nullptr) return false;
  const std::string needs = std::to_string(durable_there(group, *last).next().value());
  const std::string cause = "dropped by the log limit: it needs records from seq " + needs + " on, and the log has " +
                            std::to_string(group.log().bytes() >> 20) + " MiB of " +
                            std::to_string(group.log_limit().max_bytes >> 20);
  const Status parked = shipper.park(last->config.site, cause);
  if (!parked.ok()) log_error("group " + group.identity().name + ": a pair cannot be dropped: " + parked.text());
  return parked.ok();
}

}  // namespace

void keep_what_pairs_need(PruneRequest& request, Group& group, const std::vector<Pair>& pairs) {
  for (const Pair& pair : pairs) {
    const Seq durable = durable_there(group, pair);
    request.tombstones_from = std::min(request.tombstones_from, durable);
    request.copy_ends.emplace_back(durable, std::max(durable, pair.status.reached));
    if (pair.status.parked) continue;
    const std::string who = "the pair with site '" + pair.config.site + "', ";
    if (durable == Seq()) {
      request.keep.push_back({group.base(), who + "whose position is not known until it connects"});
    } else {
      request.keep.push_back({durable.next(), who + "which has records up to " + std::to_string(durable.value())});
    }
  }
}

HistoryKeeperOptions history_options_with_pairs(Group& group, std::function<Shipper*()> shipper) {
  HistoryKeeperOptions options;
  options.needs = [&group, shipper](PruneRequest& request) {
    Shipper* found = shipper();
    if (found != nullptr) return keep_what_pairs_need(request, group, found->list());
    request.keep.push_back({group.base(), "its pairs, which could not be read"});
  };
  options.give_up_one = [&group, shipper] {
    Shipper* found = shipper();
    return found != nullptr && drop_most_behind(group, *found);
  };
  return options;
}

}  // namespace tidemark
