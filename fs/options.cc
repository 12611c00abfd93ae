#include "fs/options.h"

#include <grp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace tidemark::fs {
namespace {

struct Switches {
  bool read_only = false;
  bool sync = false;
  bool suid = false;
  bool dev = false;
  bool exec = true;
  bool allow_other = false;
  bool history_closed = false;
  MarkRight marks = MarkRight::kAll;
  uint32_t mark_group = 0;
};

struct Known {
  std::string_view name;
  bool Switches::*flag;
  bool value;
};

constexpr std::array kKnown{
    Known{"ro", &Switches::read_only, true},
    Known{"rw", &Switches::read_only, false},
    Known{"sync", &Switches::sync, true},
    Known{"async", &Switches::sync, false},
    Known{"suid", &Switches::suid, true},
    Known{"nosuid", &Switches::suid, false},
    Known{"dev", &Switches::dev, true},
    Known{"nodev", &Switches::dev, false},
    Known{"exec", &Switches::exec, true},
    Known{"noexec", &Switches::exec, false},
    Known{"allow_other", &Switches::allow_other, true},
    Known{"noallow_other", &Switches::allow_other, false},
    Known{"history=root", &Switches::history_closed, true},
    Known{"history=all", &Switches::history_closed, false},
};

// What /etc/fstab and mount(8) hand on, or what is so anyway.
constexpr std::array<std::string_view, 11> kIgnored{
    "defaults", "default_permissions", "auto", "noauto", "nofail", "_netdev", "nouser", "atime", "noatime",
    "relatime", "nodiratime"};

std::vector<std::string> split(const std::vector<std::string>& options) {
  std::vector<std::string> parts;
  for (const std::string& option : options) {
    size_t from = 0;
    while (from <= option.size()) {
      size_t comma = std::min(option.find(',', from), option.size());
      if (comma > from) parts.push_back(option.substr(from, comma - from));
      from = comma + 1;
    }
  }
  return parts;
}

// The value of mark=: all, root, or the name or number of a group.
Status apply_mark(const std::string& value, Switches& switches) {
  if (value == "all" || value == "root") {
    switches.marks = value == "all" ? MarkRight::kAll : MarkRight::kRoot;
    return {};
  }
  switches.marks = MarkRight::kGroup;
  const char* end = value.data() + value.size();
  if (auto [stop, error] = std::from_chars(value.data(), end, switches.mark_group); error == std::errc() && stop == end)
    return {};
  if (const group* found = getgrnam(value.c_str())) {
    switches.mark_group = found->gr_gid;
    return {};
  }
  return {Code::kInvalid, "mount option 'mark=" + value + "': no such group; use mark=all, mark=root or mark=GROUP"};
}

Status apply(std::string_view option, bool point, bool root, Switches& switches) {
  if (option.starts_with("x-") || std::find(kIgnored.begin(), kIgnored.end(), option) != kIgnored.end()) return {};
  if (option.starts_with("mark=")) return apply_mark(std::string(option.substr(5)), switches);
  const auto* known = std::find_if(kKnown.begin(), kKnown.end(), [&](const Known& k) { return k.name == option; });
  if (known == kKnown.end()) {
    return {Code::kInvalid, "unknown mount option '" + std::string(option) + "' (docs/MOUNT.md lists them)"};
  }
  const bool opens = option == "suid" || option == "dev";
  if (point && (opens || option == "rw")) {
    return {Code::kInvalid, "mount option '" + std::string(option) + "': a point is always mounted ro,nosuid,nodev"};
  }
  if (!root && opens) return {Code::kPermission, "mount option '" + std::string(option) + "' is for root only"};
  switches.*(known->flag) = known->value;
  return {};
}

}  // namespace

Result<ParsedOptions> parse_options(const std::vector<std::string>& options, bool point, bool root) {
  Switches switches;
  switches.allow_other = root;
  switches.suid = switches.dev = root && !point;
  switches.read_only = point;
  for (const std::string& option : split(options)) TM_TRY(apply(option, point, root, switches));

  ParsedOptions parsed;
  parsed.read_only = switches.read_only;
  parsed.sync = switches.sync;
  parsed.allow_other = switches.allow_other;
  parsed.marks = switches.marks;
  parsed.mark_group = switches.mark_group;
  parsed.history_closed = switches.history_closed;
  parsed.kernel = {"default_permissions", switches.read_only ? "ro" : "rw", switches.suid ? "suid" : "nosuid",
                   switches.dev ? "dev" : "nodev", switches.exec ? "exec" : "noexec"};
  if (switches.sync) parsed.kernel.emplace_back("sync");
  if (switches.allow_other) parsed.kernel.emplace_back("allow_other");
  return parsed;
}

std::string escape_option(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    if (c == ',' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace tidemark::fs
