// Points: how a person names a place in the history.
#pragma once

#include <tidemark/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tidemark {

struct Mark {
  MarkId id;
  std::string name;
  Seq seq;  // of the mark's own record: the point holds everything up to and including it
  int64_t time_ns = 0;
  std::string application;
  uint32_t pid = 0;
  uint32_t uid = 0;
  std::string note;
  bool held = false;
  bool operator==(const Mark&) const = default;
};

// ok, or kInvalid / kNameTooLong with the reason: 1 … 255 bytes of UTF-8 without '@', '/', ':' and control characters, and not
// "latest", "." or "..", nor anything that reads as another kind of point ("-10m", "2026-11-20T10:00:00Z").
Status check_mark_name(std::string_view name);

// A point as written, before it is looked up.
struct PointText {
  enum class Kind { kNewest, kSeq, kTime, kMark };
  Kind kind = Kind::kNewest;
  Seq seq;              // kSeq
  int64_t time_ns = 0;  // kTime
  std::string mark;     // kMark
};
// "latest" | "seq:N" | RFC 3339 ("2026-11-20T10:00:00Z", "…+01:00", fractions of a second) | "-10m" (s, m, h, d; before
// `now_ns`) | a mark's name. kInvalid says what is accepted.
Result<PointText> parse_point(std::string_view text, int64_t now_ns);

std::string format_time(int64_t time_ns);  // RFC 3339, UTC, with nanoseconds as far as they are not zero

}  // namespace tidemark
