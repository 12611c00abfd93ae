// What is asked of a log, and what it answers.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/format/floor.h"
#include "log/format/record.h"

namespace tidemark {

// A directory that segments may go to where the log's own has no room (log/write/segment_pool).
struct PoolDirectory {
  std::string path;        // absolute
  uint64_t bytes_max = 0;  // of this log's segments there; 0: as many as there is room for
  bool operator==(const PoolDirectory&) const = default;
};
struct PoolUse {
  std::string path;
  uint64_t bytes_max = 0;
  uint64_t segments = 0;   // of this log
  uint64_t available = 0;  // bytes that it may still take
  bool in_use = false;     // the newest segment lies there
};

struct LogOptions {
  uint32_t segment_bytes = 64u << 20;
  // Whatever was appended is durable this much later without anybody asking; 0: only sync() makes durable.
  std::chrono::milliseconds commit_interval{100};
  // Appends are refused with kNoSpace when the disk has less than this free: recovery and the index need room to work. Records
  // that only remove something may use half of it.
  uint64_t reserve_bytes = 64u << 20;
  // Taken into use in this order where the log's own directory has no room for another segment beside the reserve, or holds
  // `own_bytes_max` of them (0: however many). `pool_owner`: the group's id, in the names of the files there.
  std::vector<PoolDirectory> pool;
  uint64_t own_bytes_max = 0;
  std::string pool_owner;
};

// What open() found and did.
struct RecoveryReport {
  Seq last_seq;
  uint64_t torn_bytes = 0;       // cut from the end; 0: the log ended cleanly
  uint64_t unborn_segments = 0;  // removed: they followed a segment that never became durable
  std::string text;              // one line for the operator; "" when there is nothing to say
  bool alarm = false;            // what was durable is damaged: text says what became of it
  Status damage;                 // where a damaged group was opened for salvage: why it does not open otherwise
};

struct Appended {
  RecordHeader header;
  Location location;
};

struct SegmentInfo {
  Seq first_seq;
  uint64_t bytes = 0;         // used, header included
  int64_t first_time_ns = 0;  // of its first record; 0 when it has none
};

// Which records of old segments are still needed: sorted offsets by segment. Complete for segments from the first one asked for up
// to (not including) `end`, which may lie before the one asked for: so memory stays bounded however much there is.
struct LiveWindow {
  std::map<uint64_t, std::vector<uint32_t>> offsets;
  uint64_t end = UINT64_MAX;
};

// Moving the floor up to `base`, which is above the present one and durable; or the present one, where an earlier prune has left segments
// below it (Floor::held_from). Where the disk has not the room for all that moves, this happens in steps, each of which is durable
// and frees what it can before the next: the base has moved with the first. An error after that says so, and what is left is
// made up for by the next order.
struct RetireOrder {
  Seq base;
  std::function<Result<LiveWindow>(uint64_t from_segment, uint64_t end_segment)> live;
  // Where copies elsewhere may end: positions in these ranges (both ends included) stay known though the records go. At most
  // kKnownMax of them, the likeliest ones (log/write/likeliest.h).
  std::vector<std::pair<Seq, Seq>> copy_ends;
  uint64_t bytes_per_second = 0;            // of records copied; 0: as fast as the disk
  const std::atomic<bool>* stop = nullptr;  // set by another thread: give up (kInterrupted)
};
struct RetireReport {
  size_t steps = 0;            // one, where the disk has room
  size_t segments = 0;         // that went
  uint64_t segment_bytes = 0;  // in them
  size_t adopted = 0;          // of them: they stay where they are, and what is not needed of them goes
  uint64_t packs_written = 0;
  uint64_t bytes_written = 0;  // of packs
};

// In what a log has come further: a sync of more has begun, or more is durable or settled.
enum class LogProgress { kSyncing, kDurable };

// At most so many bytes of records are cut: more than a source can have on the way.
inline constexpr size_t kCutMax = size_t{64} << 20;

// Leaving a gap: the log goes on behind record `to`, whose predecessors were not received (Gap in log/format/floor.h).
struct CrossOrder {
  Position to;
  int64_t time_ns = 0;          // of record to.seq
  std::vector<PackInfo> packs;  // what is needed of those before it; in the log's directory, durable
  bool is_base = false;         // `to` becomes the base: nothing older can be shown
};

// What is checked, and repaired, by itself: a segment or a pack.
struct LogPart {
  Seq segment;                   // first seq of the segment …
  std::optional<PackInfo> pack;  // … where it is no pack
};
std::string part_name(const LogPart& part);  // of its file

// A damaged place.
struct LogDamage {
  std::string segment;  // file name
  uint64_t offset = 0;  // byte in it
  Seq seq;              // of the damaged record; 0 where it cannot be told
  Ino ino;              // likewise
  RecordFault fault = RecordFault::kNone;
};

}  // namespace tidemark
