#include "fs/errno_map.h"

#include <cerrno>

namespace tidemark::fs {

// No default: a new code must say here what it is to an application.
int to_errno(Code code) {
  switch (code) {
    case Code::kOk: return 0;
    case Code::kNotFound: return ENOENT;
    case Code::kNoSuchPoint: return ENOENT;
    case Code::kExists: return EEXIST;
    case Code::kNotDirectory: return ENOTDIR;
    case Code::kIsDirectory: return EISDIR;
    case Code::kNotEmpty: return ENOTEMPTY;
    case Code::kInvalid: return EINVAL;
    case Code::kNameTooLong: return ENAMETOOLONG;
    case Code::kTooLarge: return EFBIG;
    case Code::kNoData: return ENODATA;
    case Code::kRange: return ERANGE;
    case Code::kTooManyLinks: return EMLINK;
    case Code::kPermission: return EPERM;
    case Code::kAccess: return EACCES;
    case Code::kReadOnly: return EROFS;
    case Code::kNoSpace: return ENOSPC;
    case Code::kBusy: return EBUSY;
    case Code::kIo: return EIO;
    case Code::kPoisoned: return EIO;
    case Code::kCorrupt: return EIO;
    case Code::kUnsupported: return EOPNOTSUPP;
    case Code::kStale: return ESTALE;
    case Code::kTimeout: return ETIMEDOUT;
    case Code::kUnreachable: return EHOSTUNREACH;
    case Code::kNotAuthorised: return EACCES;
    case Code::kDiverged: return EIO;
    case Code::kStaleEpoch: return EROFS;  // another site is the primary now
    case Code::kInterrupted: return EINTR;
    case Code::kLimit: return ENFILE;
  }
  return EIO;
}

}  // namespace tidemark::fs
