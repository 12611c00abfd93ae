#include "cli/settings/duration.h"

#include <catch2/catch.hpp>

namespace tidemark::cli {

TEST_CASE("lengths of time are read") {
  CHECK(parse_duration("500ms")->count() == 500);
  CHECK(parse_duration("30s")->count() == 30'000);
  CHECK(parse_duration("5m")->count() == 300'000);
  CHECK(parse_duration("2h")->count() == 7'200'000);
  CHECK(parse_duration("365d")->count() == int64_t{365} * 86'400'000);
  CHECK(parse_duration("0")->count() == 0);
}

TEST_CASE("a length of time without a unit is refused, and says what to write") {
  CHECK(parse_duration("7").status().text().find("write 7s, 7m, 7h or 7d") != std::string::npos);
}

TEST_CASE("what is no length of time is refused") {
  for (const char* text :
       {"", "s", "7", "30", "-1s", "1.5s", "10 s", "1w", "366d", "99999999999999999999s", "9223372036854775807h"}) {
    INFO(text);
    Result<std::chrono::milliseconds> parsed = parse_duration(text);
    CHECK(!parsed.ok());
    CHECK(parsed.status().code() == Code::kInvalid);
  }
}

}  // namespace tidemark::cli
