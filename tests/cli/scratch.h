// A directory that is gone afterwards.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace tidemark::cli {

class TempDirectory {
 public:
  TempDirectory() : path_("/var/tmp/tidemark-cli-unit-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~TempDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace tidemark::cli
