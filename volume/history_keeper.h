// Looks after a group's history in the background: prunes by the group's policy, watches the log limit.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "volume/group.h"

namespace tidemark {

struct HistoryKeeperOptions {
  // What others still need; asked before each prune, on the keeper's thread.
  std::function<std::vector<BaseLimit>()> keep;
  // The log has come under another pressure. On the keeper's thread. kFull with OnFull::kSuspendPair: suspend whoever lags.
  std::function<void(LogPressure now)> on_pressure;
  std::chrono::milliseconds prune_every{60'000};   // also at once when the pressure rises
  std::chrono::milliseconds look_every{1'000};     // at the pressure
  uint64_t bytes_per_second = uint64_t{64} << 20;  // of records that a prune moves
};

// Policy and limit are those of the group's options. The group must outlive it.
class HistoryKeeper {
 public:
  static std::unique_ptr<HistoryKeeper> start(Group& group, HistoryKeeperOptions options);
  virtual ~HistoryKeeper() =
      default;  // a prune that is going on is given up, and none begins until the group is opened anew
};

}  // namespace tidemark
