#include "fs/raw_io.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fs/daemon.h"

namespace tidemark::fs {
namespace {

// Not in the headers of Linux 6.1 (Debian 12).
constexpr uint32_t kStatx = 52;

// What this thread's request said that libfuse does not hand on; and the INIT it is about to answer.
struct Extras {
  bool kill_privileges = false;
  void (*serve)(fuse_req_t, fuse_ino_t, RawBody) = nullptr;  // what came under the name of BMAP
  RawBody body;
  uint64_t init_unique = 0;
  uint32_t init_offered = 0;
};
thread_local Extras extras;

template <class T>
const T* body_as(const char* buffer, size_t size) {
  return size >= sizeof(fuse_in_header) + sizeof(T) ? reinterpret_cast<const T*>(buffer + sizeof(fuse_in_header)) : nullptr;
}

void note_extras(const fuse_in_header& header, const char* buffer, size_t size) {
  extras.kill_privileges = false;
  switch (header.opcode) {
    case FUSE_WRITE:
      if (auto* in = body_as<fuse_write_in>(buffer, size))
        extras.kill_privileges = in->write_flags & FUSE_WRITE_KILL_SUIDGID;
      break;
    case FUSE_OPEN:
      if (auto* in = body_as<fuse_open_in>(buffer, size)) extras.kill_privileges = in->open_flags & FUSE_OPEN_KILL_SUIDGID;
      break;
    case FUSE_CREATE:
      if (auto* in = body_as<fuse_create_in>(buffer, size)) extras.kill_privileges = in->open_flags & FUSE_OPEN_KILL_SUIDGID;
      break;
    case FUSE_INIT:
      if (auto* in = body_as<fuse_init_in>(buffer, size)) {
        extras.init_unique = header.unique;
        extras.init_offered = in->flags;
      }
      break;
    default: break;
  }
}

// Gives what libfuse does not know another name. libfuse keeps `buffer` as it is until the handler returns.
void rename_unknown(fuse_in_header& header, const char* buffer, size_t size) {
  extras.serve = nullptr;
  switch (header.opcode) {
    case FUSE_SETXATTR: extras.serve = raw_setxattr; break;
    case FUSE_TMPFILE: extras.serve = raw_tmpfile; break;
    case kStatx: extras.serve = raw_statx; break;
    default: return;
  }
  extras.body = {buffer + sizeof header, size - sizeof header};
  header.opcode = FUSE_BMAP;
}

ssize_t read_request(int device, void* buffer, size_t size, void*) {
  const ssize_t got = read(device, buffer, size);
  if (got < static_cast<ssize_t>(sizeof(fuse_in_header))) return got;
  auto& header = *static_cast<fuse_in_header*>(buffer);
  const char* bytes = static_cast<const char*>(buffer);
  note_extras(header, bytes, static_cast<size_t>(got));
  rename_unknown(header, bytes, static_cast<size_t>(got));
  return got;
}

ssize_t write_reply(int device, iovec* parts, int count, void* userdata) {
  const auto* out = static_cast<const fuse_out_header*>(parts[0].iov_base);
  if (extras.init_unique == 0 || out->unique != extras.init_unique) return writev(device, parts, count);
  extras.init_unique = 0;
  auto& daemon = *static_cast<Daemon*>(userdata);
  if (out->error == 0 && count == 2 && parts[1].iov_len >= offsetof(fuse_init_out, max_background)) {
    auto* init = static_cast<fuse_init_out*>(parts[1].iov_base);
    const uint32_t wanted = extras.init_offered & (FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT);
    init->flags |= wanted;
    daemon.setxattr_ext = (wanted & FUSE_SETXATTR_EXT) != 0;
  }
  const ssize_t written = writev(device, parts, count);
  daemon.kernel_ready();
  return written;
}

}  // namespace

Status pass_raw(fuse_session* session) {
  fuse_custom_io io{};
  io.read = read_request;
  io.writev = write_reply;
  const int result = fuse_session_custom_io(session, &io, fuse_session_fd(session));
  return result == 0 ? Status() : errno_status(-result, "taking over the FUSE device");
}

bool request_kills_privileges() { return extras.kill_privileges; }

void op_unknown_to_libfuse(fuse_req_t req, fuse_ino_t id, size_t, uint64_t) {
  if (!extras.serve) return reply(req, ENOSYS);
  extras.serve(req, id, extras.body);
}

}  // namespace tidemark::fs
