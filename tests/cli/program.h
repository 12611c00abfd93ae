// The tidemark program and a place to use it in.
#pragma once

#include <string>
#include <vector>

#include "cli/output/json.h"
#include "cli/service/child.h"

namespace tidemark::cli {

// A directory that is gone afterwards, with whatever is mounted in it.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string program();          // path of the binary
std::string example_program();  // of examples/mark_from_c
std::string examples_folder();

Ended tidemark_run(const std::vector<std::string>& arguments);
// Runs with --json and reads what it printed; the exit code must be `exit_code`.
Json tidemark_json(std::vector<std::string> arguments, int exit_code = 0);
// What `status` says of one volume, whatever its exit code: somebody may have to act on it.
Json tidemark_status(const std::string& source);
// A run that must succeed.
std::string tidemark_ok(const std::vector<std::string>& arguments);

void write_file(const std::string& path, const std::string& content);
std::string read_whole(const std::string& path);

// Without /dev/fuse: says so and is false; under CI that is a failure.
bool can_mount();

}  // namespace tidemark::cli
