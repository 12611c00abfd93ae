#include "base/status.h"

#include <cerrno>
#include <cstring>

namespace tidemark {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kNotFound: return "not-found";
    case Code::kNoSuchPoint: return "no-such-point";
    case Code::kExists: return "exists";
    case Code::kNotDirectory: return "not-a-directory";
    case Code::kIsDirectory: return "is-a-directory";
    case Code::kNotEmpty: return "not-empty";
    case Code::kInvalid: return "invalid";
    case Code::kNameTooLong: return "name-too-long";
    case Code::kTooLarge: return "too-large";
    case Code::kNoData: return "no-data";
    case Code::kRange: return "buffer-too-small";
    case Code::kTooManyLinks: return "too-many-links";
    case Code::kPermission: return "not-permitted";
    case Code::kAccess: return "access-denied";
    case Code::kReadOnly: return "read-only";
    case Code::kNoSpace: return "no-space";
    case Code::kBusy: return "busy";
    case Code::kIo: return "io-error";
    case Code::kPoisoned: return "log-failed";
    case Code::kCorrupt: return "corrupt";
    case Code::kUnsupported: return "unsupported";
    case Code::kStale: return "stale";
    case Code::kTimeout: return "timeout";
    case Code::kUnreachable: return "unreachable";
    case Code::kNotAuthorised: return "not-authorised";
    case Code::kDiverged: return "diverged";
    case Code::kStaleEpoch: return "stale-epoch";
    case Code::kInterrupted: return "interrupted";
    case Code::kLimit: return "limit";
  }
  return "unknown";
}

Status errno_status(int error, std::string_view what) {
  Code code = Code::kIo;
  if (error == ENOSPC || error == EDQUOT) code = Code::kNoSpace;
  if (error == EROFS) code = Code::kReadOnly;
  return Status(code, std::string(what) + ": " + std::strerror(error), error);
}

}  // namespace tidemark
