// Codes as the kernel wants them.
#pragma once

#include "base/status.h"

namespace tidemark::fs {

// The errno of a code; 0 for kOk.
int to_errno(Code code);

}  // namespace tidemark::fs
