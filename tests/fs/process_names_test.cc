#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <string>
#include <vector>

#include "fs/marks/process_names.h"

using tidemark::fs::ProcessNames;

TEST_CASE("A process has the name it has now, and none once it has ended") {
  ProcessNames names;
  const auto self = static_cast<uint32_t>(::gettid());
  REQUIRE(::prctl(PR_SET_NAME, "one") == 0);
  CHECK(names.of(self) == "one");
  REQUIRE(::prctl(PR_SET_NAME, "another one") == 0);
  CHECK(names.of(self) == "another one");
  std::vector<pid_t> children;
  for (int i = 0; i < 40; ++i) {  // more than are kept
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
    children.push_back(child);
    CHECK(names.of(static_cast<uint32_t>(child)) == "another one");
  }
  for (pid_t child : children) {
    CHECK(names.of(static_cast<uint32_t>(child)) == "another one");
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    CHECK(names.of(static_cast<uint32_t>(child)).empty());
  }
  CHECK(names.of(self) == "another one");
}
