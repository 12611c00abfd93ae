#include "fs/raw_io.h"

#include <pthread.h>
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
  uint64_t init_unique = 0;
  uint32_t init_offered = 0;
};
thread_local Extras extras;

// Cancellation is how libfuse ends its threads while they wait for a request; it must not strike while we serve one.
class NoCancel {
 public:
  NoCancel() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancel() { pthread_setcancelstate(before_, nullptr); }
  NoCancel(const NoCancel&) = delete;
  NoCancel& operator=(const NoCancel&) = delete;

 private:
  int before_ = 0;
};

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

bool serve_raw(int device, Daemon& daemon, const fuse_in_header& header, const char* buffer, size_t size) {
  void (*serve)(const RawRequest&) = nullptr;
  switch (header.opcode) {
    case FUSE_SETXATTR: serve = raw_setxattr; break;
    case FUSE_TMPFILE: serve = raw_tmpfile; break;
    case kStatx: serve = raw_statx; break;
    default: return false;
  }
  NoCancel no_cancel;
  serve({device, &header, {buffer + sizeof header, size - sizeof header}, &daemon});
  return true;
}

ssize_t read_request(int device, void* buffer, size_t size, void* userdata) {
  for (;;) {
    const ssize_t got = read(device, buffer, size);
    if (got < static_cast<ssize_t>(sizeof(fuse_in_header))) return got;
    const auto& header = *static_cast<const fuse_in_header*>(buffer);
    const char* bytes = static_cast<const char*>(buffer);
    if (serve_raw(device, *static_cast<Daemon*>(userdata), header, bytes, static_cast<size_t>(got))) continue;
    note_extras(header, bytes, static_cast<size_t>(got));
    return got;
  }
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

bool reply_raw(const RawRequest& request, std::string_view body) {
  fuse_out_header out{};
  out.unique = request.header->unique;
  out.len = static_cast<uint32_t>(sizeof out + body.size());
  iovec parts[2] = {{&out, sizeof out}, {const_cast<char*>(body.data()), body.size()}};
  return writev(request.device, parts, 2) >= 0;
}

bool reply_raw_error(const RawRequest& request, int error) {
  fuse_out_header out{};
  out.unique = request.header->unique;
  out.error = -error;
  out.len = sizeof out;
  return write(request.device, &out, sizeof out) >= 0;
}

}  // namespace tidemark::fs
