// Directories for tests that come and go, and the few calls tests of files need all the time.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

namespace tidemark::test {

// A directory below $TMPDIR, /tmp or `parent` that goes with the object, whatever is in it.
class Scratch {
 public:
  explicit Scratch(const std::string& parent = "");
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::string path(const std::string& below = "") const { return below.empty() ? path_ : path_ + "/" + below; }

 private:
  std::string path_;
};

void write_file(const std::string& path, const std::string& content);
std::string read_whole(const std::string& path);  // "(missing)" where there is none
struct stat look(const std::string& path);        // mode 0 where there is nothing
std::vector<std::string> names(const std::string& directory);
std::string random_bytes(size_t size, uint64_t seed);

// Runs a program found in $PATH; stdout and stderr, and how it ended (-1: it is not installed).
struct Ran {
  int exit = -1;
  std::string output;
};
Ran run(const std::vector<std::string>& command);

// A tool that is missing is a failure in CI (CI=true), and said loudly elsewhere. True: it is there.
bool have_tool(const std::string& name);

}  // namespace tidemark::test
