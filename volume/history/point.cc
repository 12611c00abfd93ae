#include "volume/history/point.h"

#include <charconv>
#include <ctime>
#include <optional>

#include "log/format/body.h"

namespace tidemark {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

std::optional<int64_t> digits(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int64_t value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

// "Z", "+HH:MM" or "-HH:MM" to the end of the text: seconds east of UTC.
std::optional<int64_t> zone_seconds(std::string_view zone) {
  if (zone == "Z" || zone == "z") return 0;
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') return std::nullopt;
  const auto hours = digits(zone, 1, 2);
  const auto minutes = digits(zone, 4, 2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  return (zone[0] == '-' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
}

// RFC 3339: 2026-11-20T10:00:00[.fraction](Z|±HH:MM); a space may stand for the T.
std::optional<int64_t> parse_time(std::string_view text) {
  const auto year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
  const auto hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second || text.size() < 20) return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't' && text[10] != ' ')) return std::nullopt;
  if (text[13] != ':' || text[16] != ':') return std::nullopt;
  if (*month < 1 || *month > 12 || *day < 1 || *day > 31 || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  size_t at = 19;
  int64_t fraction = 0;
  if (text[at] == '.') {
    int64_t unit = kNsPerSecond / 10;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) fraction += unit * (text[at] - '0');
  }
  const auto zone = zone_seconds(text.substr(at));
  if (!zone) return std::nullopt;
  std::tm parts{};
  parts.tm_year = static_cast<int>(*year - 1900);
  parts.tm_mon = static_cast<int>(*month - 1);
  parts.tm_mday = static_cast<int>(*day);
  parts.tm_hour = static_cast<int>(*hour);
  parts.tm_min = static_cast<int>(*minute);
  parts.tm_sec = static_cast<int>(*second);
  const int64_t seconds = timegm(&parts) - *zone;
  if (parts.tm_mday != static_cast<int>(*day)) return std::nullopt;  // 31 April
  if (seconds > INT64_MAX / kNsPerSecond - 1 || seconds < 0) return std::nullopt;
  return seconds * kNsPerSecond + fraction;
}

// "-10m": that long ago, in ns.
std::optional<int64_t> parse_ago(std::string_view text) {
  if (text.size() < 3 || text[0] != '-') return std::nullopt;
  int64_t unit = 0;
  switch (text.back()) {
    case 's': unit = 1; break;
    case 'm': unit = 60; break;
    case 'h': unit = 3600; break;
    case 'd': unit = 86400; break;
    default: return std::nullopt;
  }
  int64_t count = 0;
  const char* end = text.data() + text.size() - 1;
  const auto parsed = std::from_chars(text.data() + 1, end, count);
  if (parsed.ec != std::errc() || parsed.ptr != end || count < 0) return std::nullopt;
  if (count > INT64_MAX / kNsPerSecond / unit) return std::nullopt;
  return count * unit * kNsPerSecond;
}

}  // namespace

Status check_mark_name(std::string_view name) {
  if (name.empty()) return Status(Code::kInvalid, "the name of a mark is empty");
  if (name.size() > 255) return Status(Code::kNameTooLong, "the name of a mark has at most 255 bytes");
  if (!valid_mark_name(name)) {
    return Status(Code::kInvalid, "the name of a mark must be UTF-8 without control characters and without @ / :");
  }
  if (name == "latest" || name == "." || name == ".." || parse_ago(name)) {
    return Status(Code::kInvalid, "'" + std::string(name) + "' is reserved; choose another name");
  }
  return Status();
}

Result<PointText> parse_point(std::string_view text, int64_t now_ns) {
  PointText point;
  if (text == "latest") return point;
  if (text.starts_with("seq:")) {
    uint64_t seq = 0;
    const auto parsed = std::from_chars(text.data() + 4, text.data() + text.size(), seq);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && seq != kLatest.value()) {
      point.kind = PointText::Kind::kSeq;
      point.seq = Seq(seq);
      return point;
    }
  }
  const auto ago = parse_ago(text);
  const auto time = parse_time(text);
  if (ago || time) {
    point.kind = PointText::Kind::kTime;
    point.time_ns = time ? *time : now_ns - *ago;
    return point;
  }
  if (check_mark_name(text).ok()) {
    point.kind = PointText::Kind::kMark;
    point.mark = text;
    return point;
  }
  return Status(Code::kInvalid, "'" + std::string(text) +
                                    "' is not a valid point: use a mark's name, seq:N, a time like 2026-11-20T10:00:00Z, "
                                    "an age like -10m (s, m, h, d), or latest");
}

std::string format_time(int64_t time_ns) {
  int64_t seconds = time_ns / kNsPerSecond;
  int64_t fraction = time_ns % kNsPerSecond;
  if (fraction < 0) {
    fraction += kNsPerSecond;
    --seconds;
  }
  const std::time_t whole = seconds;
  std::tm parts{};
  gmtime_r(&whole, &parts);
  char text[64];
  size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::string made(text, length);
  if (fraction != 0) {
    std::string decimals = std::to_string(kNsPerSecond + fraction).substr(1);
    decimals.erase(decimals.find_last_not_of('0') + 1);
    made += "." + decimals;
  }
  return made + "Z";
}

}  // namespace tidemark
