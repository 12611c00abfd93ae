// Reading a log in order.
#pragma once

#include <memory>
#include <vector>

#include "log/log.h"

namespace tidemark {

// Reads a log forward from a seq, for shipping, indexing and listing. Not thread-safe; several cursors may be open, and the
// log may grow meanwhile. Checks every header and the chain between records; payload sums where asked.
class LogCursor {
 public:
  // Stands before record `next`. The log must outlive it.
  LogCursor(Log& log, Seq next, bool check_payloads = true);
  ~LogCursor();
  LogCursor(LogCursor&&) noexcept;
  LogCursor& operator=(LogCursor&&) noexcept;

  // A run of whole records as they lie in the log: at least one, then as many as fit in `bytes_max`, none above `last`
  // (which must not be above appended()). Empty: next() > last. Valid until the next call. kNotFound: no longer held.
  struct Run {
    Bytes bytes;
    Seq first;
    Seq last;
    Location location;  // of the first; the others follow in the same segment
  };
  Result<Run> read(size_t bytes_max, Seq last);
  // From now on what is damaged is kCorrupt, and nobody is asked for it: for whoever reads on behalf of another copy.
  void leave_damage();
  [[nodiscard]] Seq next() const;
  // Position of record next()-1, valid once the cursor has read or seeked; what the next run follows.
  Result<Position> position();

 private:
  struct State;
  Result<Run> read_once(size_t bytes_max, Seq last);
  std::unique_ptr<State> state_;
};

// The stretches of records that a log holds, from `from` on, rising: between them are gaps.
struct HeldStretch {
  Seq first;
  Seq last;
};
std::vector<HeldStretch> held_stretches(const Log& log, Seq from);

}  // namespace tidemark
