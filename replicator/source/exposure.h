// Since when there may be data here that a pair's site lacks.
#pragma once

#include <tidemark/types.h>

#include <algorithm>
#include <cstdint>

namespace tidemark {

// Learnt from moments: what was durable here at one of them is looked for in what the site acknowledges, and the next moment begins
// where that has come. No record's time is asked for, so no disk.
class Exposure {
 public:
  // `since_ns`: as it was saved.
  Exposure(int64_t since_ns, Seq durable_here, int64_t wall_ns)
      : since_ns_(since_ns), next_(durable_here), next_wall_ns_(wall_ns) {}

  void note(Seq durable_there, Seq durable_here, int64_t wall_ns) {
    if (durable_there < next_) return;
    since_ns_ = std::max(since_ns_, next_wall_ns_);
    next_ = durable_here;
    next_wall_ns_ = wall_ns;
    if (durable_there >= next_) since_ns_ = next_wall_ns_;
  }
  // Whatever was durable here at this wall time is durable there; 0: not known.
  [[nodiscard]] int64_t since_ns() const { return since_ns_; }

 private:
  int64_t since_ns_;
  Seq next_;  // what was durable here at the next moment to be looked for
  int64_t next_wall_ns_;
};

}  // namespace tidemark
