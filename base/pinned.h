// Directories that this process has open, so that what is kept in one is found there whatever the directory is called by now. Somebody
// may rename it, or a directory above it; a path that was good a minute ago then leads nowhere, or into another directory.
//
// Code goes on naming files by the path by which the directory was opened. In two places only that path becomes another one:
// where it is given to the kernel (through_pins), and where people read it (where_now).
#pragma once

#include <memory>
#include <string>

#include "base/status.h"

namespace tidemark {

// Holds one directory open. Thread-safe.
class PinnedDirectory {
 public:
  // `path` as all others will be spelled that lie below it. The same directory may be pinned several times. kBusy: by this path another
  // directory is pinned, which has been moved away since. kNotFound, kNotDirectory. Without /proc nothing is pinned, and paths stay as
  // they are.
  static Result<std::shared_ptr<PinnedDirectory>> pin(const std::string& path);
  ~PinnedDirectory();
  PinnedDirectory(const PinnedDirectory&) = delete;
  PinnedDirectory& operator=(const PinnedDirectory&) = delete;

 private:
  PinnedDirectory(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  const std::string path_;
  const int fd_;  // -1: there is no /proc
};

// The path to give to the kernel: by way of the descriptor, where `path` is a pinned directory or lies below one. Good while it is pinned.
std::string through_pins(const std::string& path);
// How such a path is spelled today, for messages. The path itself where it is not below a pinned directory, or that has been removed.
std::string where_now(const std::string& path);
// A text in which paths of through_pins() occur, with where_now() in their place.
std::string say_where(std::string text);

}  // namespace tidemark
