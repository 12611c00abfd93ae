// What history is kept: the rule that moves the base. Pure functions on data; Group::prune carries out what they decide.
#pragma once

#include <tidemark/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "log/log.h"
#include "volume/history/point.h"

namespace tidemark {

// Both fields zero: everything is kept. With both set, what either of them lets go goes.
struct RetentionPolicy {
  std::chrono::seconds age{0};  // every moment younger than this can be restored; 0: however old
  uint64_t log_bytes = 0;       // segments together take at most about this much; 0: however much
  [[nodiscard]] bool keeps_everything() const { return age.count() == 0 && log_bytes == 0; }
  bool operator==(const RetentionPolicy&) const = default;
};

// Something that needs every point from `seq` on: the base never moves above it.
struct BaseLimit {
  Seq seq;
  std::string what;  // "the held mark 'before-upgrade'"
};

struct RetentionState {
  Seq base;                           // now; 0 or 1 where nothing was pruned yet
  Seq to;                             // a base somebody asks for; 0: none, the policy alone decides
  Seq at_age;                         // the newest record that is at least policy.age old; 0: there is none
  std::vector<SegmentInfo> segments;  // all there are, rising
  std::vector<Gap> gaps;              // likewise: no base lies within one
  std::vector<BaseLimit> limits;
};

struct BasePlan {
  Seq base;                    // the new one; state.base where nothing is to be done
  Seq wanted;                  // where it would be without limits
  std::string stopped_by;      // the limit that kept it from `wanted`; "" where none did
  size_t segments = 0;         // that go
  uint64_t segment_bytes = 0;  // in them; what is still needed of these moves into packs
};
// The base goes as far as `to` and the policy want, and no further than the lowest limit; never backwards.
BasePlan plan_base(const RetentionPolicy& policy, const RetentionState& state);

// What Group::prune is asked, and what it answers.
struct PruneRequest {
  Seq to;                  // the base wanted; 0: the policy alone decides
  RetentionPolicy policy;  // beside `to`: the farther of them counts
  // What somebody else still needs, and who: the base does not move above it.
  std::vector<BaseLimit> keep;
  // Tombstones of newer records than this stay in the index and the base image: whoever has a copy up to there, and no longer the
  // records after it, must hear what was deleted since. kLatest: nobody needs any.
  Seq tombstones_from = kLatest;
  // Where copies elsewhere may end that are not up to here, both ends included: these positions can be compared with afterwards, too.
  std::vector<std::pair<Seq, Seq>> copy_ends;
  uint64_t bytes_per_second = 0;  // of records moved; 0: as fast as the disk
  bool dry_run = false;
  bool without_copies = false;  // dry run: as if no difference were being read by anybody
};

struct PruneReport {
  Seq base_before;
  Seq base;
  Seq wanted;              // where the base would be if nothing had stopped it
  std::string stopped_by;  // what did; "" where nothing did
  size_t segments = 0;     // that go, or went
  uint64_t segment_bytes = 0;
  uint64_t log_bytes = 0;   // afterwards; in a dry run: before
  uint64_t pack_bytes = 0;  // likewise
  std::vector<Mark> marks;  // that can no longer be restored; at most 1,000
  uint64_t rows_removed = 0;
};

}  // namespace tidemark
