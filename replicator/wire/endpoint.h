// Names and addresses: what may stand where, and which addresses need no keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tidemark {

// ok, or kInvalid: 1 … 63 of [A-Za-z0-9._-], not "." or "..". Sites and groups.
Status check_peer_name(std::string_view name, std::string_view what);

// An endpoint taken apart. ipc: the path is in `host`.
struct Endpoint {
  bool ipc = false;
  std::string host;  // without brackets; "*" is every interface
  std::string port;  // decimal, or "*" (any free one; to listen only)
  [[nodiscard]] bool ipv6() const { return !ipc && host.find(':') != std::string::npos; }
  // True for ipc, 127.0.0.0/8, ::1 and localhost: nobody outside this machine reaches it.
  [[nodiscard]] bool is_local() const;
  // As libzmq takes it; localhost is 127.0.0.1.
  [[nodiscard]] std::string text() const;
};
// kInvalid says what is accepted. `listening`: "*" and port 0 are allowed.
Result<Endpoint> parse_endpoint(std::string_view text, bool listening);

// A group at a site.
struct RemoteAddress {
  std::string endpoint;  // tcp://HOST:PORT or ipc://PATH (for ipc the group is after the last '/')
  std::string group;
};
// True for what begins with tcp:// or ipc://.
bool is_remote(std::string_view source);
// Takes "tcp://HOST:PORT/GROUP" apart (the @POINT is already off). kInvalid.
Result<RemoteAddress> parse_remote(std::string_view source);

// The lines to one site: endpoints with commas between, 1 to kLinesMax, none twice. kInvalid.
inline constexpr size_t kLinesMax = 4;
Result<std::vector<Endpoint>> parse_lines(std::string_view text);
// True where none of them can be reached from outside this machine.
bool all_local(const std::vector<Endpoint>& lines);

}  // namespace tidemark
