// Making a mark, whoever holds the volume: the kernel's mount, another process, nobody.
#pragma once

#include <chrono>
#include <string>

#include "cli/source.h"
#include "volume/history/point.h"

namespace tidemark::cli {

struct MarkOrder {
  std::string name;
  std::string note;
  std::string application;
  std::string wait;  // "" or "local", a site, "all"
  std::chrono::milliseconds timeout{30000};
};

struct MarkMade {
  std::string name;
  Seq seq;
  Status wait;  // not ok: the mark is made and durable here, but not confirmed by those waited for
};

// A path in a mount: the ioctl on it. A mounted DIR: its control socket. Any other DIR: opened for the moment, and its sync pairs served for
// as long as they need to have the mark (cli/service/unmounted.h); where one is missing whose fence is data, no mark is made (kTimeout).
Result<MarkMade> make_mark(const Source& target, const MarkOrder& order);

// Likewise for holding and releasing. kTimeout: a site is missing; the text says whether it was done here. `timeout` is for a volume that is not
// mounted: the mount waits for its pairs by its own rules.
Status hold_mark(const Source& target, const std::string& name, bool held, std::chrono::milliseconds timeout);

}  // namespace tidemark::cli
