// libtidemark: the mark API for applications. Depends on nothing but the C library.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <tidemark/mark.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace {

// False where `text` with its NUL does not fit.
template <size_t size>
bool copy_text(char (&field)[size], const char* text) {
  if (text == nullptr) return true;
  const size_t length = strlen(text);
  if (length >= size) return false;
  memcpy(field, text, length);
  return true;
}

}  // namespace

extern "C" int tidemark_mark(int fd, const char* name, const char* note, const char* wait, uint32_t timeout_ms,
                             uint64_t* seq) {
  tidemark_mark_request request{};
  request.struct_size = sizeof request;
  request.timeout_ms = timeout_ms;
  if (name == nullptr || !copy_text(request.name, name) || !copy_text(request.note, note)) {
    errno = EINVAL;
    return -1;
  }
  if (!copy_text(request.wait, wait)) {  // longer than any site's name
    errno = ENOENT;
    return -1;
  }
  const int result = ioctl(fd, TIDEMARK_IOC_MARK, &request);
  if (seq != nullptr && request.seq != 0) *seq = request.seq;  // also of one that was made and is not confirmed
  return result == 0 ? 0 : -1;
}

extern "C" int tidemark_mark_path(const char* path, const char* name, const char* note, const char* wait,
                                  uint32_t timeout_ms, uint64_t* seq) {
  // O_NONBLOCK: a FIFO must not make us wait for a writer.
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return -1;
  const int result = tidemark_mark(fd, name, note, wait, timeout_ms, seq);
  const int error = errno;
  close(fd);
  errno = error;
  return result;
}
