// What the program says to those who ask it wrongly, and to those who ask what it can do.
#include <catch2/catch.hpp>

#include "tests/cli/program.h"

namespace tidemark::cli {

TEST_CASE("help and version are data and succeed") {
  CHECK(tidemark_ok({"--version"}).starts_with("tidemark "));
  std::string help = tidemark_ok({"--help"});
  for (const char* word : {"init", "mount", "umount", "mark", "serve", "keygen", "pair", "restore", "log", "verify",
                           "status", "config", "demo", "Exit codes", "Examples"}) {
    INFO(word);
    CHECK(help.find(word) != std::string::npos);
  }
  for (const char* command :
       {"init", "mount", "umount", "serve", "keygen", "restore", "log", "verify", "status", "config", "demo"}) {
    INFO(command);
    CHECK(!tidemark_ok({command, "--help"}).empty());
  }
}

TEST_CASE("wrong usage is exit code 2, on stderr, with what to do next") {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"no-such-command"},
      {"init"},
      {"mount", "only-one"},
      {"restore", "/nowhere", "--as", "tarball"},
      {"mark", "create", "/nowhere"},
      {"mark"},
      {"status", "--no-such-flag"},
      {"restore", "/nowhere", "--jobs", "many", "--target", "x"},
      {"serve", "--dir", "/x"},
  };
  for (const auto& arguments : wrong) {
    Ended ended = tidemark_run(arguments);
    INFO(ended.err);
    CHECK(ended.exit_code == 2);
    CHECK(ended.out.empty());
    CHECK(ended.err.starts_with("tidemark: "));
    CHECK(ended.err.find("--help") != std::string::npos);
  }
}

TEST_CASE("what is not there is exit code 10 and says what would be") {
  Scratch work;
  for (const char* command : {"mount", "log", "verify", "status"}) {
    std::vector<std::string> arguments = {command, work / "nothing"};
    if (std::string(command) == "mount") arguments.push_back(work.path());
    Ended ended = tidemark_run(arguments);
    INFO(command << ": " << ended.err);
    CHECK(ended.exit_code == 10);
    CHECK(ended.out.empty());
    CHECK(ended.err.find("tidemark init") != std::string::npos);
  }
  CHECK(tidemark_run({"umount", work.path()}).exit_code == 10);
}

TEST_CASE("no colour where nobody looks") {
  Ended ended = tidemark_run({"status", "/no/such/volume"});
  CHECK(ended.err.find('\033') == std::string::npos);
}

}  // namespace tidemark::cli
