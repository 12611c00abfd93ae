// Invariants. CHECK is always on: a process that no longer knows what it holds must not write.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace tidemark::internal {
[[noreturn]] inline void check_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "tidemark: broken invariant: %s at %s:%d\n", what, file, line);
  std::abort();
}
}  // namespace tidemark::internal

#define CHECK_INVARIANT(condition) \
  ((condition) ? static_cast<void>(0) : ::tidemark::internal::check_failed(#condition, __FILE__, __LINE__))
