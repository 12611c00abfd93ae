// How many threads this process has.
#pragma once

#include <filesystem>
#include <iterator>

namespace tidemark::test {

inline size_t own_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace tidemark::test
