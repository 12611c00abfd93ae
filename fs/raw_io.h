// The requests and flags that the kernel knows and libfuse 3.14 does not. All requests pass here on their way to libfuse:
//   * the answer to INIT also accepts HANDLE_KILLPRIV_V2 (without it every write asks for security.capability) and
//     SETXATTR_EXT;
//   * WRITE, OPEN and CREATE keep their "kill suid and sgid" flag, which libfuse drops;
//   * SETXATTR (libfuse 3.13 to 3.14.0 misread it: the first 8 bytes of the name were lost), TMPFILE and STATX (libfuse learned them
//     later) are handed to libfuse under the name of BMAP, which no kernel sends to a mount like ours, and come out of it at
//     op_unknown_to_libfuse. Served here, before libfuse knows that there is a request, they would keep it from starting
//     another thread.
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <string_view>

#include "base/status.h"
#include "fs/libfuse.h"

namespace tidemark::fs {

// Makes `session`, already mounted, pass its requests through here.
Status pass_raw(fuse_session* session);

// Whether the request this thread serves says that setuid and setgid bits fall with it.
[[nodiscard]] bool request_kills_privileges();

// What follows the header of a request that libfuse does not know. Valid until the handler returns.
using RawBody = std::string_view;
// The answer's body is sent with fuse_reply_buf().
void op_unknown_to_libfuse(fuse_req_t req, fuse_ino_t id, size_t, uint64_t);
void raw_setxattr(fuse_req_t req, fuse_ino_t id, RawBody body);  // ops_xattr.cc
void raw_tmpfile(fuse_req_t req, fuse_ino_t id, RawBody body);   // ops_create.cc
void raw_statx(fuse_req_t req, fuse_ino_t id, RawBody body);     // ops_attr.cc

}  // namespace tidemark::fs
