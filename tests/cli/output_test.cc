#include "cli/output/output.h"

#include <catch2/catch.hpp>

#include "cli/output/restore_output.h"

namespace tidemark::cli {

TEST_CASE("bytes, counts and times for people") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1024) == "1.0 KiB");
  CHECK(human_bytes(1024 * 1024 - 1) == "1.0 MiB");
  CHECK(human_bytes(UINT64_MAX) == "16.0 EiB");
  CHECK(human_count(0) == "0");
  CHECK(human_count(999) == "999");
  CHECK(human_count(1000) == "1,000");
  CHECK(human_count(1234567) == "1,234,567");
  CHECK(human_seconds(0.05) == "50 ms");
  CHECK(human_seconds(1.5) == "1.50 s");
  CHECK(human_seconds(125) == "2 min 5 s");
}

TEST_CASE("names of any bytes can be shown") {
  CHECK(printable("plain, ünïcödé €") == "plain, ünïcödé €");
  CHECK(printable("a\nb\x1b[31m") == "a\\x0ab\\x1b[31m");
  CHECK(printable("\xff\xfe") == "\\xff\\xfe");
  CHECK(printable("back\\slash") == "back\\x5cslash");
  CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");           // overlong
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // a surrogate
  CHECK(!is_utf8("\xe2\x82"));
  CHECK(is_utf8("€"));
}

TEST_CASE("a group's name from a directory's") {
  CHECK(group_name_for("/srv/my vol") == "my-vol");
  CHECK(group_name_for("/srv/vol/") == "vol");
  CHECK(group_name_for("/") == "volume");
  CHECK(group_name_for("/srv/..") == "volume");
  CHECK(group_name_for("/srv/gr\xc3\xbc\xc3\x9f") == "gr----");
  CHECK(group_name_for("/" + std::string(200, 'x')).size() == 63);
}

}  // namespace tidemark::cli
