#include "replicator/source/rate_limit.h"

#include <algorithm>
#include <utility>

namespace tidemark {

size_t RateLimit::share() const {
  constexpr double kSharesASecond = 8;
  return limits() ? static_cast<size_t>(rate_ / kSharesASecond) + 1 : SIZE_MAX;
}

void RateLimit::restart(int64_t now_ns) {
  saved_ = 0;
  counted_ns_ = now_ns;
}

bool RateLimit::allows(int64_t now_ns) {
  if (!limits()) return true;
  const double seconds = static_cast<double>(now_ns - std::exchange(counted_ns_, now_ns)) / 1e9;
  saved_ = std::min(saved_ + seconds * rate_, rate_);
  return saved_ > 0;
}

}  // namespace tidemark
