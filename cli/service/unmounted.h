// A volume that nobody has mounted, opened for a change: what its sync pairs promise holds for this change as well.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "replicator/source/pair.h"
#include "replicator/source/shipper.h"
#include "volume/group/group.h"

namespace tidemark::cli {

// Holds the volume, and ships to its pairs, until it is closed. A pair that has to have the change: a sync pair that is neither suspended
// by an operator nor dropped by the log limit.
class UnmountedVolume {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // Waits until `deadline` for another command that is changing it; kBusy: somebody else holds it. `wait`: who is asked to confirm the
  // change beside those pairs ("", "local", a site, "all"); where that is nobody, only those pairs are run.
  static Result<std::unique_ptr<UnmountedVolume>> open(const std::string& directory, const std::string& wait,
                                                       Deadline deadline);
  ~UnmountedVolume() = default;
  UnmountedVolume(const UnmountedVolume&) = delete;
  UnmountedVolume& operator=(const UnmountedVolume&) = delete;

  [[nodiscard]] Group& group() { return *group_; }
  // Before the change: returns once each of the pairs is duplex, or at `deadline`. kTimeout: one whose fence is data is not, so nothing may
  // be changed. kNotFound: there is nobody as `wait` says.
  Status connect(Deadline deadline);
  // After the change, record `seq`: kTimeout names the sites that do not have it.
  Status wait_for_sites(Seq seq, Deadline deadline);
  Status close();

 private:
  UnmountedVolume(std::unique_ptr<Group> group, std::string wait) : group_(std::move(group)), wait_(std::move(wait)) {}
  [[nodiscard]] Status check_wait(Deadline deadline);

  std::unique_ptr<Group> group_;
  std::unique_ptr<Shipper> shipper_;  // null: no pair has a say; stops before the group closes
  const std::string wait_;
};

}  // namespace tidemark::cli
