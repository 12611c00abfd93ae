// Child processes: of the demonstration and of the tests.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace tidemark::cli {

struct Ended {
  int exit_code = 0;  // 128 + the signal where one killed it
  std::string out;
  std::string err;
  double seconds = 0;
};

// Runs to the end, `input` on its stdin, in a process group of its own (Ctrl-C reaches us alone). kTimeout and kInterrupted (it is
// killed then), kNotFound where there is no such program.
Result<Ended> run_to_end(const std::vector<std::string>& arguments, const std::string& input = "",
                         std::chrono::seconds timeout = std::chrono::seconds(120));

struct Finished {
  std::string out;
  double seconds = 0;
};

// The same for one that has to succeed: kIo with the end of its stderr where it does not exit with 0.
Result<Finished> run_child(const std::vector<std::string>& arguments, const std::string& input = "",
                           std::chrono::seconds timeout = std::chrono::seconds(120));

// One that stays. The destructor ends it: SIGTERM, after a while SIGKILL.
class Child {
 public:
  // What it writes to stderr goes to the end of `err_file`; "": where ours goes.
  static Result<std::unique_ptr<Child>> start(const std::vector<std::string>& arguments, const std::string& err_file = "");
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Next line of its stdout. kTimeout; kIo where it has ended.
  Result<std::string> read_line(std::chrono::seconds timeout);

 private:
  Child(pid_t pid, int out) : pid_(pid), out_(out) {}
  pid_t pid_;
  int out_;
  std::string read_ahead_;
};

}  // namespace tidemark::cli
