#include "replicator/wire/endpoint.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>

namespace tidemark {
namespace {

constexpr std::string_view kTcp = "tcp://";
constexpr std::string_view kIpc = "ipc://";
constexpr size_t kNameMaxChars = 63;
constexpr size_t kHostMax = 255;

bool name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

Status bad_endpoint(std::string_view text, std::string_view why) {
  return Status(Code::kInvalid,
                "'" + std::string(text) + "': " + std::string(why) + "; an endpoint is tcp://HOST:PORT or ipc://PATH");
}

bool valid_port(std::string_view port) {
  unsigned value = 0;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  return error == std::errc() && end == port.data() + port.size() && value <= 65535 && !port.empty();
}

bool valid_host(std::string_view host) {
  return !host.empty() && host.size() <= kHostMax &&
         std::all_of(host.begin(), host.end(), [](char c) { return name_char(c) || c == ':' || c == '%'; });
}

Result<Endpoint> parse_tcp(std::string_view text, bool listening) {
  std::string_view rest = text.substr(kTcp.size());
  size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) return bad_endpoint(text, "the port is missing");
  std::string_view host = rest.substr(0, colon);
  std::string_view port = rest.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad_endpoint(text, "an IPv6 address must be in brackets");
  }
  Endpoint endpoint;
  endpoint.host = host;
  endpoint.port = port;
  if (listening && (port == "*" || port == "0")) {
    endpoint.port = "*";
  } else if (!valid_port(port) || port == "0") {
    return bad_endpoint(text, "the port is not a number from 1 to 65535");
  }
  if (!(listening && host == "*") && !valid_host(host)) return bad_endpoint(text, "the host is missing or malformed");
  return endpoint;
}

Result<Endpoint> parse_ipc(std::string_view text) {
  Endpoint endpoint;
  endpoint.ipc = true;
  endpoint.host = text.substr(kIpc.size());
  if (endpoint.host.empty() || endpoint.host == "*") return bad_endpoint(text, "the path is missing");
  if (endpoint.host.size() >= sizeof(sockaddr_un::sun_path)) return bad_endpoint(text, "the path is too long for a socket");
  if (endpoint.host.find('\0') != std::string::npos) return bad_endpoint(text, "the path holds a NUL");
  return endpoint;
}

}  // namespace

Status check_peer_name(std::string_view name, std::string_view what) {
  bool fits = !name.empty() && name.size() <= kNameMaxChars && name != "." && name != ".." &&
              std::all_of(name.begin(), name.end(), name_char);
  if (fits) return Status();
  return Status(Code::kInvalid, "'" + std::string(name.substr(0, 80)) + "' is not a valid " + std::string(what) +
                                    " name (1 to 63 of A-Z a-z 0-9 . _ -)");
}

bool Endpoint::is_local() const {
  if (ipc || host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string Endpoint::text() const {
  if (ipc) return std::string(kIpc) + host;
  // Whatever a hosts file says: "localhost" passed for local, so it has to be.
  std::string name = host == "localhost" ? "127.0.0.1" : host;
  if (ipv6()) name = "[" + name + "]";
  return std::string(kTcp) + name + ":" + port;
}

Result<Endpoint> parse_endpoint(std::string_view text, bool listening) {
  if (text.starts_with(kTcp)) return parse_tcp(text, listening);
  if (text.starts_with(kIpc)) return parse_ipc(text);
  return bad_endpoint(text, "unknown transport");
}

Result<std::vector<Endpoint>> parse_lines(std::string_view text) {
  std::vector<Endpoint> lines;
  for (std::string_view rest = text;;) {
    const size_t comma = rest.find(',');
    TM_ASSIGN(Endpoint line, parse_endpoint(rest.substr(0, comma), false));
    for (const Endpoint& other : lines) {
      if (other.text() == line.text()) return bad_endpoint(text, "one line appears twice");
    }
    lines.push_back(std::move(line));
    if (lines.size() > kLinesMax) return bad_endpoint(text, "a site can have at most 4 lines");
    if (comma == std::string_view::npos) return lines;
    rest.remove_prefix(comma + 1);
  }
}

bool all_local(const std::vector<Endpoint>& lines) {
  return std::all_of(lines.begin(), lines.end(), [](const Endpoint& line) { return line.is_local(); });
}

bool is_remote(std::string_view source) { return source.starts_with(kTcp) || source.starts_with(kIpc); }

Result<RemoteAddress> parse_remote(std::string_view source) {
  if (!is_remote(source)) return bad_endpoint(source, "not an address of a site");
  size_t scheme = source.find("://") + 3;
  size_t slash = source.rfind('/');
  if (slash == std::string_view::npos || slash < scheme || slash + 1 == source.size()) {
    return Status(Code::kInvalid, "'" + std::string(source) + "': the group is missing; write tcp://HOST:PORT/GROUP");
  }
  RemoteAddress address;
  address.endpoint = source.substr(0, slash);
  address.group = source.substr(slash + 1);
  TM_TRY(check_peer_name(address.group, "group"));
  TM_TRY(parse_endpoint(address.endpoint, false).status());
  return address;
}

}  // namespace tidemark
