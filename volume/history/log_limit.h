// The log limit: how much history may pile up (because a site lags, or nobody prunes), and what happens then.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidemark {

enum class OnFull {
  kSuspendPair,  // whoever keeps the log from being pruned is dropped: its pair is suspended
  kBlockWrites,  // new data is refused with kNoSpace; deleting and pruning go on
};

struct LogLimit {
  uint64_t max_bytes = 0;  // of all segments; 0: no limit
  OnFull on_full = OnFull::kSuspendPair;
  bool operator==(const LogLimit&) const = default;
};

enum class LogPressure { kOk, kAlert /* 80 % and more */, kFull };

// `before` gives each step a hysteresis: an alert ends below 75 %, "full" below 95 %, so that nobody is told twice a second.
[[nodiscard]] constexpr LogPressure log_pressure(uint64_t bytes, const LogLimit& limit,
                                                 LogPressure before = LogPressure::kOk) {
  if (limit.max_bytes == 0) return LogPressure::kOk;
  const uint64_t twentieth = limit.max_bytes / 20;
  const uint64_t full = before == LogPressure::kFull ? twentieth * 19 : limit.max_bytes;
  const uint64_t alert = before == LogPressure::kOk ? twentieth * 16 : twentieth * 15;
  return bytes >= full ? LogPressure::kFull : bytes >= alert ? LogPressure::kAlert : LogPressure::kOk;
}

[[nodiscard]] constexpr std::string_view log_pressure_name(LogPressure pressure) {
  return pressure == LogPressure::kOk ? "ok" : pressure == LogPressure::kAlert ? "alert" : "full";
}

}  // namespace tidemark
