#include "cli/output/exit_map.h"

#include <catch2/catch.hpp>

namespace tidemark::cli {

TEST_CASE("every code has the exit code that is documented") {
  CHECK(exit_code(Code::kOk) == 0);
  CHECK(exit_code(Code::kIo) == 1);
  CHECK(exit_code(Code::kInvalid) == 2);
  CHECK(exit_code(Code::kNotFound) == 10);
  CHECK(exit_code(Code::kNoSuchPoint) == 10);
  CHECK(exit_code(Code::kBusy) == 11);
  CHECK(exit_code(Code::kNotAuthorised) == 12);
  CHECK(exit_code(Code::kCorrupt) == 13);
  CHECK(exit_code(Code::kUnreachable) == 14);
  CHECK(exit_code(Code::kTimeout) == 14);
  CHECK(exit_code(Code::kInterrupted) == 130);
}

TEST_CASE("no failure looks like success") {
  for (int value = 1; value <= static_cast<int>(Code::kLimit); ++value) {
    CHECK(exit_code(static_cast<Code>(value)) != TIDEMARK_EXIT_OK);
  }
}

TEST_CASE("code names come back as codes") {
  for (int value = 0; value <= static_cast<int>(Code::kLimit); ++value) {
    auto code = static_cast<Code>(value);
    CHECK(code_from_name(code_name(code)) == code);
  }
  CHECK(code_from_name("no such name") == Code::kIo);
}

}  // namespace tidemark::cli
