// The mark API for C++: tidemark::mark("/mnt/db", "before-upgrade").
#pragma once

#include <tidemark/mark.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>

namespace tidemark {

struct MarkOptions {
  std::string note;
  std::string wait;                         // "" or "local", a site's name, or "all"
  std::chrono::milliseconds timeout{30000};  // for the wait only
};

// Marks the volume that holds `path`; returns the mark's sequence number. Throws std::system_error with the errno values
// that tidemark/mark.h documents.
inline uint64_t mark(const std::string& path, const std::string& name, const MarkOptions& options = {}) {
  uint64_t seq = 0;
  if (tidemark_mark_path(path.c_str(), name.c_str(), options.note.c_str(), options.wait.c_str(),
                         static_cast<uint32_t>(options.timeout.count()), &seq) != 0) {
    throw std::system_error(errno, std::generic_category(), "mark '" + name + "' on " + path);
  }
  return seq;
}

}  // namespace tidemark
