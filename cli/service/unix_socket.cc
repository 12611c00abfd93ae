#include "cli/service/unix_socket.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/fd.h"
#include "base/pinned.h"

namespace tidemark::cli {
namespace {

constexpr int kBacklog = 16;

// The socket's address by way of /proc/self/fd; valid while `directory_fd` is open.
Result<sockaddr_un> address_of(int directory_fd, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = "/proc/self/fd/" + std::to_string(directory_fd) + "/" + name;
  if (path.size() >= sizeof address.sun_path) return Status(Code::kNameTooLong, "'" + name + "' is too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

int open_directory(const std::string& directory) {
  return ::open(through_pins(directory).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

// --- without a file system that has sockets: an address in the kernel's own space, which a file tells to who may read it ---

constexpr const char* kAddressSuffix = ".at";
constexpr std::string_view kAddressPrefix = "tidemark-";
constexpr size_t kAddressRandom = 16;
constexpr size_t kAddressSize = kAddressPrefix.size() + 2 * kAddressRandom;

// What bind(2) answers where the directory's file system has none.
bool has_no_sockets(int error) {
  return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENXIO;
}

Status remove_socket(int folder, const std::string& name) {
  for (const std::string& each : {name, name + kAddressSuffix}) {
    if (::unlinkat(folder, each.c_str(), 0) != 0 && errno != ENOENT) return errno_status(errno, "cannot replace " + each);
  }
  return Status();
}

socklen_t abstract_address(std::string_view text, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, text.data(), text.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
}

// The address cannot be guessed, so nobody else can be there first.
Status bind_without_file(int socket, int folder, const std::string& name) {
  std::array<unsigned char, kAddressRandom> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return errno_status(errno, "asking the kernel for random bytes");
  }
  std::string text(kAddressPrefix);
  for (const unsigned char byte : random) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  sockaddr_un address{};
  const socklen_t size = abstract_address(text, address);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) return errno_status(errno, "its address");
  const std::string file = name + kAddressSuffix;
  Fd out(::openat(folder, file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (out.get() < 0) return errno_status(errno, "creating " + file);
  if (::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return errno_status(errno, "writing " + file);
  }
  return Status();
}

// True: connected, to a process of root's, of ours, or of whoever owns the directory.
bool connect_without_file(int socket, int folder, const std::string& name) {
  Fd in(::openat(folder, (name + kAddressSuffix).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  std::array<char, kAddressSize + 1> text{};
  if (in.get() < 0 || ::read(in.get(), text.data(), text.size()) != static_cast<ssize_t>(kAddressSize)) return false;
  if (!std::string_view(text.data(), kAddressSize).starts_with(kAddressPrefix)) return false;
  sockaddr_un address{};
  const socklen_t size = abstract_address({text.data(), kAddressSize}, address);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) return false;
  ucred peer{};
  socklen_t peer_size = sizeof peer;
  struct stat about {};
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0 || ::fstat(folder, &about) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == about.st_uid;
}

}  // namespace

Result<int> listen_in_directory(const std::string& directory, const std::string& name) {
  const std::string where = where_now(directory) + "/" + name;
  Fd folder(open_directory(directory));
  if (folder.get() < 0) return errno_status(errno, "cannot open " + where_now(directory));
  TM_TRY(remove_socket(folder.get(), name));
  TM_ASSIGN(sockaddr_un address, address_of(folder.get(), name));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return errno_status(errno, "cannot make a socket");
  // Before bind: the socket file is born with this mode, so that there is no moment in which others could connect.
  if (::fchmod(socket.get(), 0600) != 0) return errno_status(errno, "cannot protect " + where);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (!has_no_sockets(error)) return errno_status(error, "cannot make the socket " + where);
    TM_TRY(bind_without_file(socket.get(), folder.get(), name).within("cannot make the socket " + where));
  } else if (::fchmodat(folder.get(), name.c_str(), 0600, 0) != 0) {
    return errno_status(errno, "cannot protect " + where);
  }
  if (::listen(socket.get(), kBacklog) != 0) return errno_status(errno, "cannot listen on " + where);
  return socket.release();
}

void unlisten_in_directory(const std::string& directory, const std::string& name) {
  Fd folder(open_directory(directory));
  if (folder.get() >= 0) (void)remove_socket(folder.get(), name);  // what stays leads nowhere
}

Result<int> connect_in_directory(const std::string& directory, const std::string& name) {
  const std::string where = where_now(directory) + "/" + name;
  Fd folder(open_directory(directory));
  if (folder.get() < 0) return Status(Code::kNotFound, "cannot open " + directory + ": " + std::strerror(errno), errno);
  TM_ASSIGN(sockaddr_un address, address_of(folder.get(), name));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return errno_status(errno, "cannot make a socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket.release();
  const int error = errno;
  if (error == ENOENT && connect_without_file(socket.get(), folder.get(), name)) return socket.release();
  if (error == ENOENT || error == ECONNREFUSED || error == ENOTSOCK) {
    return Status(Code::kNotFound, "no process listens on " + where, error);
  }
  if (error == EACCES || error == EPERM) return Status(Code::kAccess, where + ": " + std::strerror(error), error);
  return errno_status(error, "cannot connect to " + where);
}

Result<std::string> read_line(int fd, size_t bytes_max) {
  std::string line;
  char chunk[4096];
  while (true) {
    ssize_t got = ::recv(fd, chunk, sizeof chunk, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Status(Code::kTimeout, "no answer in time");
    if (got < 0) return errno_status(errno, "cannot read from the control socket");
    if (got == 0 && line.empty()) return Status(Code::kNotFound, "the other side closed the control socket");
    if (got == 0) return Status(Code::kIo, "the other side closed the control socket in the middle of a line");
    std::string_view piece(chunk, static_cast<size_t>(got));
    size_t end = piece.find('\n');
    line += piece.substr(0, end);
    if (line.size() > bytes_max)
      return Status(Code::kTooLarge, "more than " + std::to_string(bytes_max) + " bytes in a line");
    if (end != std::string_view::npos) return line;
  }
}

Status write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t put = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Status(Code::kTimeout, "the other side does not read");
    if (put < 0) return errno_status(errno, "cannot write to the control socket");
    text.remove_prefix(static_cast<size_t>(put));
  }
  return Status();
}

Status set_socket_timeout(int fd, long milliseconds) {
  timeval limit{.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
    return errno_status(errno, "cannot set a socket's time limit");
  }
  return Status();
}

}  // namespace tidemark::cli
