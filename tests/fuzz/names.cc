// What a person types: points, mark names, addresses.
#include "log/format/body.h"
#include "replicator/wire/endpoint.h"
#include "tests/fuzz/fuzz.h"
#include "volume/group/directory.h"
#include "volume/history/point.h"

namespace tidemark::fuzz {

void fuzz_one(Bytes bytes) {
  const std::string_view text = as_text(bytes);
  constexpr int64_t kNow = 1'800'000'000'000'000'000;
  if (auto point = parse_point(text, kNow); point.ok()) {
    if (point->kind == PointText::Kind::kMark) CHECK_INVARIANT(point->mark == text);
    // A time that can be written reads as the same time. (One "ago" before 1970 cannot: no log is that old.)
    if (point->kind == PointText::Kind::kTime && point->time_ns >= 0) {
      const auto again = parse_point(format_time(point->time_ns), kNow);
      CHECK_INVARIANT(again.ok() && again->time_ns == point->time_ns);
    }
  }
  if (check_mark_name(text).ok()) {
    CHECK_INVARIANT(valid_mark_name(text));
    const auto point = parse_point(text, kNow);
    CHECK_INVARIANT(point.ok() && point->kind == PointText::Kind::kMark);
  }
  if (check_group_name(text).ok()) CHECK_INVARIANT(text.find('/') == text.npos);
  for (const bool listening : {false, true}) {
    if (auto endpoint = parse_endpoint(text, listening); endpoint.ok()) {
      (void)endpoint->is_local();
      CHECK_INVARIANT(parse_endpoint(endpoint->text(), listening).ok());
    }
  }
  (void)parse_remote(text);
}

std::vector<std::string> fuzz_seeds() {
  return {"latest",
          "seq:17",
          "seq:18446744073709551615",
          "2026-11-20T10:00:00Z",
          "2026-11-20T10:00:00.123456789+01:00",
          "-10m",
          "-3d",
          "before-upgrade",
          "größe",
          "tcp://127.0.0.1:7400",
          "shop",
          "ipc:///a/b",
          "tcp://[::1]:7400",
          "tcp://backup:7400/vol",
          "ipc:///run/t.sock/shop",
          "-99999999999999999999d"};
}

}  // namespace tidemark::fuzz
