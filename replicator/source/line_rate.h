// How fast a session's line takes what is sent, measured by what the site says it has consumed, and how much should therefore be on
// its way: enough that the line is never empty, so little that a heartbeat sent now gets over within moments. It begins with a few KiB
// and grows with every answer, like TCP, to which it says no more than TCP can carry.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>

#include "replicator/wire/protocol.h"

namespace tidemark {

inline constexpr uint64_t kUnderWayFirst = 16u << 10;  // bytes on their way before anything is known of the line
inline constexpr uint64_t kUnderWayMin = 8u << 10;     // and where it is slowest: a second at 64 kbit/s
inline constexpr size_t kRunMin = 4u << 10;            // bytes of records in one DATA; a longer record goes whole
// What is on its way is what the line carries in this time: three round trips, within these bounds.
inline constexpr std::chrono::milliseconds kUnderWayTimeMin{500};
inline constexpr std::chrono::milliseconds kUnderWayTimeMax{2000};

class LineRate {
 public:
  // An answer that carried nothing took so long.
  void set_round_trip(int64_t ns) { round_trip_ns_ = ns; }
  // `bytes` more are on their way.
  void add(size_t bytes, int64_t now_ns);
  // So many of all that was sent have been consumed.
  void acknowledge(uint64_t consumed, int64_t now_ns);

  // Bytes that should be on their way at most, and bytes of records to send at once.
  [[nodiscard]] uint64_t under_way_max() const;
  [[nodiscard]] size_t run_max() const;
  // True where another run may be sent. One always may where nothing is on its way.
  [[nodiscard]] bool has_room() const;
  // How long what is on its way needs to get over, as far as is known; at most a minute.
  [[nodiscard]] std::chrono::nanoseconds transit() const;

 private:
  // A message that is on its way. Its rate counts from the last answer before it was sent, not from when it was sent: what was under
  // way then may have been nearly over.
  struct Sent {
    uint64_t end = 0;            // of all that was sent, with this message
    uint64_t consumed = 0;       // when it was sent
    int64_t since_ns = 0;        // that much had been consumed
    int64_t sent_ns = 0;         // when it was sent
    int64_t sent_within_ns = 0;  // from when the newest consumed message was sent until this one was
  };
  void measure(double bytes_per_second, int64_t now_ns);
  [[nodiscard]] double rate() const { return std::max(newest_, before_); }
  [[nodiscard]] uint64_t under_way() const { return sent_ - consumed_; }

  std::deque<Sent> messages_;  // on their way; the window bounds them
  uint64_t sent_ = 0;
  uint64_t consumed_ = 0;
  int64_t consumed_ns_ = 0;  // when that grew, or when the first of what is on its way was sent
  int64_t newest_consumed_sent_ns_ = 0;
  int64_t round_trip_ns_ = 0;
  // The fastest of the measurements of a while, and of the while before: bytes a second. 0: none.
  double newest_ = 0;
  double before_ = 0;
  int64_t newest_since_ns_ = 0;
};

}  // namespace tidemark
