// How much of the log a pair's site lacks, in bytes, as it is shown to people.
#pragma once

#include <cstdint>
#include <optional>

#include "volume/group/group.h"
#include "volume/group/watermarks.h"

namespace tidemark {

class PairLag {
 public:
  // Where the site stands.
  struct SitePosition {
    Seq durable;
    std::optional<Location> durable_end;            // the byte behind that record; nothing where it is not known
    std::optional<uint64_t> difference_bytes_left;  // of a difference that is under way
  };
  // Looks at the log now and then only: walking its segments is too much for each acknowledgement.
  void measure(const Log& log, const SitePosition& site, int64_t now_ns);
  // The pair's state is another one: a copy that is under way begins here.
  void begin_copy() { copy_bytes_ = 0; }
  // `copying`: the pair is on its way to duplex.
  void show(SiteProgress& shown, bool copying, int64_t wall_ns);

 private:
  std::optional<uint64_t> bytes_;
  int64_t measured_ns_ = 0;
  uint64_t copy_bytes_ = 0;
  int64_t copy_since_ns_ = 0;
};

}  // namespace tidemark
