// A unix socket in a directory, however long the directory's name is: sun_path ends at 107 bytes, so the path given to the
// kernel goes through a descriptor of the directory. Where the file system there has no sockets, the socket has an abstract address, and a
// file NAME.at of mode 0600 says which.
#pragma once

#include <string>

#include "base/status.h"

namespace tidemark::cli {

// Both return a descriptor (close-on-exec) that the caller closes.
Result<int> listen_in_directory(const std::string& directory, const std::string& name);  // mode 0600; replaces what is there
Result<int> connect_in_directory(const std::string& directory, const std::string& name);  // kNotFound: nobody listens
// Removes the name: connect_in_directory() is kNotFound from now on.
void unlisten_in_directory(const std::string& directory, const std::string& name);

// One line, without its newline, of at most `bytes_max` bytes. kTimeout after the socket's receive timeout, kTooLarge, kIo;
// kNotFound: the other side closed before it wrote anything.
Result<std::string> read_line(int fd, size_t bytes_max);
Status write_all(int fd, std::string_view text);
// Time limits for single reads and writes on a socket.
Status set_socket_timeout(int fd, long milliseconds);

}  // namespace tidemark::cli
