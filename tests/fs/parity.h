// The same calls in a directory of the mount and in a native one: whatever can be compared has to be equal.
#pragma once

#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "tests/fs/mounted.h"

namespace tidemark::test {

// What happened, line by line.
class Trace {
 public:
  explicit Trace(std::string directory) : directory_(std::move(directory)) {}
  [[nodiscard]] std::string at(const std::string& name) const { return directory_ + "/" + name; }
  [[nodiscard]] const std::string& directory() const { return directory_; }

  // A call's result; with errno where it is -1. Returns the result.
  long call(const std::string& what, long result);
  void note(const std::string& text) { lines_.push_back(text); }
  // Type, mode, links, owner, size (of what is no directory) and device of a name.
  void stat(const std::string& name);
  // Names, in bytewise order.
  void list(const std::string& name);
  void content(const std::string& name);
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::string directory_;
  std::vector<std::string> lines_;
};

// Runs `script` in a fresh directory of `mounted` and in a native one. True where both traces are equal.
bool equal_traces(Mounted& mounted, const std::function<void(Trace&)>& script, std::string& difference);
// The same, checked.
void same_as_native(Mounted& mounted, const std::function<void(Trace&)>& script);

}  // namespace tidemark::test
