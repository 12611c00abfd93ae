// The whole story on loopback: mount, work, mark, ship, lose everything, restore, compare.
#pragma once

#include <string>

#include "base/status.h"

namespace tidemark::cli {

struct DemoOptions {
  std::string parent;  // directory to work in; a new one is made below it and removed at the end
  bool keep = false;   // leave it there
};

// Prints what it does. kCorrupt where anything that came back differs from what was there.
Status run_demo(const DemoOptions& options);

}  // namespace tidemark::cli
