// The requests and flags that the kernel knows and libfuse 3.14 does not. All requests pass here on their way to libfuse:
//   * the answer to INIT also accepts HANDLE_KILLPRIV_V2 (without it every write asks for security.capability) and
//     SETXATTR_EXT;
//   * WRITE, OPEN and CREATE keep their "kill suid and sgid" flag, which libfuse drops;
//   * SETXATTR is answered here (libfuse 3.13 to 3.14.0 misread it: the first 8 bytes of the name were lost), TMPFILE and STATX
//     too (libfuse learned them later).
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <string_view>

#include "base/status.h"

struct fuse_session;

namespace tidemark::fs {

struct Daemon;

// Makes `session`, already mounted, pass its requests through here.
Status pass_raw(fuse_session* session);

// Whether the request this thread serves says that setuid and setgid bits fall with it.
[[nodiscard]] bool request_kills_privileges();

// One request that libfuse does not see.
struct RawRequest {
  int device = -1;
  const fuse_in_header* header = nullptr;
  std::string_view body;  // what follows the header
  Daemon* daemon = nullptr;
};
// Both return false where the kernel no longer wants the reply (interrupted).
bool reply_raw(const RawRequest& request, std::string_view body);
bool reply_raw_error(const RawRequest& request, int error);

void raw_setxattr(const RawRequest& request);  // ops_xattr.cc
void raw_tmpfile(const RawRequest& request);   // ops_create.cc
void raw_statx(const RawRequest& request);     // ops_attr.cc

}  // namespace tidemark::fs
