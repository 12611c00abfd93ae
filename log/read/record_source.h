// Another copy of the same log, wherever it is: where damaged records can be had again.
#pragma once

#include <string>

#include "base/status.h"
#include "log/format/record.h"

namespace tidemark {

// Thread-safe.
class RecordSource {
 public:
  virtual ~RecordSource() = default;
  [[nodiscard]] virtual std::string name() const = 0;  // for messages: "site 'b'"
  // Whole stored records from `next` on, at least one, at most about `bytes_max`; empty where it has none. Nothing of it is
  // believed: whoever asks checks every byte. kUnreachable, kTimeout: nobody answers.
  virtual Result<std::string> fetch(Seq next, size_t bytes_max) = 0;
  // The same of what it keeps of pruned segments: records from `from` on, in order, but not each follows the one before.
  virtual Result<std::string> fetch_packed(Seq from, size_t bytes_max) = 0;
};

}  // namespace tidemark
