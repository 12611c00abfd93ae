#include "replicator/site/strikes.h"

#include <algorithm>

namespace tidemark {

StrikeBook::Strikes StrikeBook::add(const std::string& routing_id, int fd, uint64_t connection, int64_t now_ns,
                                    const IsOpen& is_open) {
  if (peers_.size() >= kStrikesKeptMax && !peers_.contains(routing_id)) make_room(is_open);
  Strikes& strikes = peers_[routing_id];
  if (++strikes.count == 1) {
    strikes.fd = fd;
    strikes.connection = connection;
  }
  strikes.newest_ns = now_ns;
  return strikes;
}

void StrikeBook::make_room(const IsOpen& is_open) {
  std::erase_if(peers_, [&](const auto& peer) { return !is_open(peer.second.fd, peer.second.connection); });
  if (peers_.size() < kStrikesKeptMax) return;
  peers_.erase(std::min_element(peers_.begin(), peers_.end(), [](const auto& one, const auto& other) {
    return one.second.newest_ns < other.second.newest_ns;
  }));
}

}  // namespace tidemark
