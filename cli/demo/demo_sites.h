// The two places of the demonstration: a primary that is mounted, and the site it is copied to. Both are processes of their own.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "cli/service/child.h"

namespace tidemark::cli {

inline constexpr char kNoConfig[] = "/dev/null";  // what the machine's configuration says is for its own volumes

class DemoSite {
 public:
  static Result<std::unique_ptr<DemoSite>> start(const std::string& binary, const std::string& directory);
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }

 private:
  std::unique_ptr<Child> child_;
  std::string endpoint_;
};

// Unmounted, and its process ended, by the destructor: also after a failure in the middle.
class DemoPrimary {
 public:
  DemoPrimary(std::string binary, std::string directory, std::string mountpoint)
      : binary_(std::move(binary)), directory_(std::move(directory)), mountpoint_(std::move(mountpoint)) {}
  ~DemoPrimary();
  DemoPrimary(const DemoPrimary&) = delete;
  DemoPrimary& operator=(const DemoPrimary&) = delete;

  Status init_and_mount();
  Status pair_with(const DemoSite& site);
  // Everything appended so far is durable at the site.
  Status wait_shipped(std::chrono::seconds timeout);
  // SIGKILL: no flush, no goodbye. What was mounted is taken away afterwards. Returns the process that was killed.
  Result<int> kill();

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] const std::string& mountpoint() const { return mountpoint_; }

 private:
  std::string binary_;
  std::string directory_;
  std::string mountpoint_;
  bool mounted_ = false;
};

}  // namespace tidemark::cli
