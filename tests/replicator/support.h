// What the tests of the replicator share: primaries with content, sites in this process or in one of their own, waiting.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "replicator/remote/remote.h"
#include "replicator/site/site.h"
#include "replicator/source/pair.h"
#include "replicator/source/shipper.h"
#include "tests/support/scratch.h"
#include "volume/group/group.h"

namespace tidemark::test {

// With a sanitizer memory is kept after it is freed: how much a process holds says nothing then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kMemoryTells = false;
#else
inline constexpr bool kMemoryTells = true;
#endif

GroupOptions small_options();
std::unique_ptr<Group> make_primary(const std::string& directory, const std::string& name = "shop");
std::unique_ptr<Group> open_group(const std::string& directory, OpenMode mode);

// What a takeover does to a log: a record that begins this epoch. Nobody has the group open.
void begin_epoch(const std::string& directory, Epoch epoch);

// A tree of every kind of inode, about `bytes` of file content that does not compress, and a mark "filled-SEED". Durable.
void fill(Group& group, uint64_t bytes, uint64_t seed);
// One small change, not yet durable.
void touch(Group& group, const std::string& name, const std::string& content);

// True as soon as `done` is; false if it is not within `timeout`.
bool eventually(const std::function<bool()>& done, std::chrono::milliseconds timeout = std::chrono::seconds(20));

// Makes these the group's pairs (those it had already keep their state) and runs them.
std::unique_ptr<Shipper> start_shipping(Group& group, const std::vector<PairConfig>& pairs);

SiteProgress progress(Group& group, const std::string& site);
// The pair has everything that is durable here.
bool caught_up(Group& group, const std::string& site, std::chrono::milliseconds timeout = std::chrono::seconds(20));

// A site on a thread of this process.
class LocalSite {
 public:
  explicit LocalSite(const SiteOptions& options);
  LocalSite(const std::string& directory, const std::string& listen = "tcp://127.0.0.1:*");
  ~LocalSite();
  Site& operator*() { return *site_; }
  Site* operator->() { return site_.get(); }
  [[nodiscard]] std::string endpoint() const { return site_->endpoint(); }

 private:
  void start(const SiteOptions& options);
  std::unique_ptr<Site> site_;
  std::thread thread_;
  Status ended_;
};

// A program of its own (peer_process.cc); killed at the end.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  void signal(int number) const;
  void kill();                                                                 // SIGKILL, and waits for the end
  [[nodiscard]] const std::string& first_line() const { return first_line_; }  // of its output
  [[nodiscard]] uint64_t memory() const;                                       // resident bytes

 private:
  pid_t pid_ = 0;
  int output_ = -1;
  std::string first_line_;
};
// First line: the endpoint.
std::unique_ptr<Process> site_process(const std::string& directory, const std::string& listen = "tcp://127.0.0.1:*");

// What differs between the two trees, a line each.
std::vector<std::string> compare_views(TreeView& here, TreeView& there);

// CHECKs that the replica in `directory` holds the same history and the same index.
void check_equal(Group& primary, Group& replica);

}  // namespace tidemark::test
