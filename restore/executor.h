// Carries a plan out: reads from a view, writes to a sink, with several threads, both across files and within large ones.
#pragma once

#include "restore/sink.h"

namespace tidemark {

inline constexpr size_t kReadBytes = size_t{1} << 20;         // read and written at once; each thread has one such buffer
inline constexpr uint64_t kSharedFileBytes = 8 * kReadBytes;  // above this threads share a file

struct ExecuteOptions {
  unsigned jobs = 0;
  std::function<void(const RestoreProgress&)> progress;
  const std::atomic<bool>* interrupted = nullptr;
  bool salvage = false;    // files that are damaged are left out and named, not a failure
  bool vanishing = false;  // the view may lose files (a directory in use): left out with a warning, not a failure
};
ExecuteOptions execute_options(const RestoreOptions& options);

// Failures name the path. Files that have a name in the sink afterwards are whole, also after a failure.
Status write_tree(TreeView& view, const Tree& tree, Sink& sink, Warnings& warnings, const ExecuteOptions& options);

}  // namespace tidemark
