// Which exit code each failure has. The only place where one becomes the other.
#pragma once

#include <tidemark/exit_code.h>

#include "base/status.h"

namespace tidemark::cli {

[[nodiscard]] tidemark_exit_code exit_code(Code code);

// The code whose name (code_name) this is; kIo for a name nobody here knows. For answers of another process.
[[nodiscard]] Code code_from_name(std::string_view name);

}  // namespace tidemark::cli
