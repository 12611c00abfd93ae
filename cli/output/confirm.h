// Before something goes that cannot be had back.
#pragma once

#include <string>

#include "base/status.h"

namespace tidemark::cli {

// True: go on. `what` says what goes, as a whole sentence. With `yes` (--yes) nobody is asked; else whoever sits at the terminal is. Where
// there is none: kInvalid, with what would go and how to do it all the same.
Result<bool> confirm(const std::string& what, bool yes);

// What run() answers after a "no".
int not_confirmed();

}  // namespace tidemark::cli
