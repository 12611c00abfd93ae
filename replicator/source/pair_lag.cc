#include "replicator/source/pair_lag.h"

#include <chrono>

namespace tidemark {
namespace {

constexpr std::chrono::nanoseconds kMeasureEvery = std::chrono::milliseconds(200);

// Bytes of log from `from` on.
uint64_t bytes_behind(const std::vector<SegmentInfo>& segments, const Location& from) {
  uint64_t bytes = 0;
  for (const SegmentInfo& segment : segments) {
    if (segment.first_seq.value() > from.segment) bytes += segment.bytes;
    if (segment.first_seq.value() == from.segment && segment.bytes > from.offset) bytes += segment.bytes - from.offset;
  }
  return bytes;
}

}  // namespace

void PairLag::measure(const Log& log, const SitePosition& site, int64_t now_ns) {
  if (site.durable >= log.durable()) {
    bytes_ = 0;
  } else if (site.difference_bytes_left) {
    bytes_ = *site.difference_bytes_left + log.bytes();
  } else if (!site.durable_end) {
    bytes_.reset();
  } else if (now_ns - measured_ns_ >= kMeasureEvery.count() || bytes_.value_or(0) == 0) {
    measured_ns_ = now_ns;
    bytes_ = bytes_behind(log.segments(), *site.durable_end);
  }
}

void PairLag::show(SiteProgress& shown, bool copying, int64_t wall_ns) {
  shown.lag_bytes = bytes_;
  if (!copying) return;
  if (copy_bytes_ == 0 && bytes_.value_or(0) > 0) {
    copy_bytes_ = *bytes_;
    copy_since_ns_ = wall_ns;
  }
  shown.copy_bytes = copy_bytes_;
  shown.copy_since_ns = copy_since_ns_;
}

}  // namespace tidemark
