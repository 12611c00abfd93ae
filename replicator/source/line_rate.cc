#include "replicator/source/line_rate.h"

#include <algorithm>

namespace tidemark {
namespace {

// A measurement counts so long. A line that has become slower is known as such after twice that.
constexpr std::chrono::nanoseconds kRemembered = std::chrono::seconds(5);
constexpr std::chrono::nanoseconds kTransitMax = std::chrono::minutes(1);
// Each message takes so much of what may be on its way, so that the next is ready before the line is empty.
constexpr uint64_t kRunsUnderWay = 4;

}  // namespace

void LineRate::add(size_t bytes, int64_t now_ns) {
  if (messages_.empty()) consumed_ns_ = newest_consumed_sent_ns_ = now_ns;
  sent_ += bytes;
  messages_.push_back({sent_, consumed_, consumed_ns_, now_ns, now_ns - newest_consumed_sent_ns_});
}

void LineRate::acknowledge(uint64_t consumed, int64_t now_ns) {
  if (consumed > consumed_) consumed_ns_ = now_ns;
  consumed_ = consumed;
  while (!messages_.empty() && messages_.front().end <= consumed) {
    const Sent& message = messages_.front();
    const auto bytes = static_cast<double>(consumed - message.consumed);
    // Not faster than it was sent, either: answers that were held up come close together.
    const int64_t took = std::max<int64_t>({now_ns - message.since_ns, message.sent_within_ns, 1});
    measure(bytes * 1e9 / static_cast<double>(took), now_ns);
    newest_consumed_sent_ns_ = message.sent_ns;
    messages_.pop_front();
  }
}

void LineRate::measure(double bytes_per_second, int64_t now_ns) {
  if (now_ns - newest_since_ns_ > kRemembered.count()) {
    before_ = newest_;
    newest_ = 0;
    newest_since_ns_ = now_ns;
  }
  newest_ = std::max(newest_, bytes_per_second);
}

uint64_t LineRate::under_way_max() const {
  if (rate() == 0) return kUnderWayFirst;
  const auto trips = std::chrono::nanoseconds(3 * round_trip_ns_);
  const auto time = std::clamp<std::chrono::nanoseconds>(trips, kUnderWayTimeMin, kUnderWayTimeMax);
  const double bytes = std::min<double>(rate() * static_cast<double>(time.count()) / 1e9, kWindowBytes);
  return std::max<uint64_t>(static_cast<uint64_t>(bytes), kUnderWayMin);
}

size_t LineRate::run_max() const { return std::clamp<size_t>(under_way_max() / kRunsUnderWay, kRunMin, kRunMax); }

bool LineRate::has_room() const { return under_way() == 0 || under_way() + run_max() <= under_way_max(); }

std::chrono::nanoseconds LineRate::transit() const {
  const double bytes_per_second = rate() == 0 ? static_cast<double>(kUnderWayMin) : rate();
  const double ns = static_cast<double>(under_way()) * 1e9 / bytes_per_second;
  return std::chrono::nanoseconds(static_cast<int64_t>(std::min<double>(ns, static_cast<double>(kTransitMax.count()))));
}

}  // namespace tidemark
