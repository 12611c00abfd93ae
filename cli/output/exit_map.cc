#include "cli/output/exit_map.h"

namespace tidemark::cli {

// No default: a new code must choose its exit code here, or the build stops.
tidemark_exit_code exit_code(Code code) {
  switch (code) {
    case Code::kOk: return TIDEMARK_EXIT_OK;
    case Code::kInvalid:
    case Code::kNameTooLong: return TIDEMARK_EXIT_USAGE;
    case Code::kNotFound:
    case Code::kNoSuchPoint: return TIDEMARK_EXIT_NOT_FOUND;
    case Code::kBusy: return TIDEMARK_EXIT_BUSY;
    case Code::kPermission:
    case Code::kAccess:
    case Code::kNotAuthorised: return TIDEMARK_EXIT_NOT_AUTHORISED;
    case Code::kCorrupt: return TIDEMARK_EXIT_CORRUPTION;
    case Code::kTimeout:
    case Code::kUnreachable: return TIDEMARK_EXIT_SITE_TIMEOUT;
    case Code::kInterrupted: return TIDEMARK_EXIT_INTERRUPTED;
    case Code::kExists:
    case Code::kNotDirectory:
    case Code::kIsDirectory:
    case Code::kNotEmpty:
    case Code::kTooLarge:
    case Code::kNoData:
    case Code::kRange:
    case Code::kTooManyLinks:
    case Code::kReadOnly:
    case Code::kNoSpace:
    case Code::kIo:
    case Code::kPoisoned:
    case Code::kUnsupported:
    case Code::kStale:
    case Code::kDiverged:
    case Code::kStaleEpoch:
    case Code::kLimit: return TIDEMARK_EXIT_FAILURE;
  }
  return TIDEMARK_EXIT_FAILURE;
}

Code code_from_name(std::string_view name) {
  for (int value = 0; value <= static_cast<int>(Code::kLimit); ++value) {
    if (code_name(static_cast<Code>(value)) == name) return static_cast<Code>(value);
  }
  return Code::kIo;
}

}  // namespace tidemark::cli
