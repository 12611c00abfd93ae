// A site: holds copies of any number of groups under one directory (DIR/GROUP/…), takes their logs from primaries, and serves
// reading at any point. It has threads from open() on: make it after the last fork().
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "replicator/site/source_record.h"
#include "replicator/source/pair.h"
#include "replicator/source/shipper.h"
#include "volume/group/group.h"

namespace tidemark {

struct SiteOptions {
  std::string directory;  // made if it is not there
  std::string listen;     // tcp://HOST:PORT (PORT may be * or 0: any free one), ipc://PATH
  std::string key;        // file with our key pair; needed for anything but loopback and ipc
  std::string allow;      // file: who may come in, and what he may do with which groups (AllowList)
  GroupOptions group;     // for the groups it opens
  // Changes them for the group of that name; may be null. Called on any thread of the site.
  std::function<void(const std::string& name, GroupOptions&)> adjust = nullptr;
  // What the copy of that group may take on disk, 0: no limit; may be null. Likewise.
  std::function<uint64_t(const std::string& name)> group_bytes_max = nullptr;
  uint64_t key_bytes_max = 0;  // all groups that one key owns; 0: no limit
  std::chrono::seconds reader_hold{
      3600};  // so long a key may keep a group's history from being pruned by reading it (ReaderViews)
};

class Site {
 public:
  // Opens every group found in the directory and listens. kNotAuthorised: keys are missing for a public endpoint, or the
  // allow-list is empty.
  static Result<std::unique_ptr<Site>> open(const SiteOptions& options);
  ~Site();  // stops and closes every group
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  [[nodiscard]] std::string endpoint() const;  // as bound, with the real port
  // Serves until stop(). Returns how it ended.
  Status serve();
  void stop();  // from any thread
  // Reads the allow-list now; by itself it is read within seconds of a change. From any thread.
  void read_allow_list();

  [[nodiscard]] std::vector<std::string> groups() const;
  // The open group `name`, or null. Valid as long as the site. For status and checkpoint requests on the control socket.
  [[nodiscard]] Group* find(const std::string& name);
  // The pairs to which this site forwards group `name`, or null. Valid as long as the site.
  [[nodiscard]] Shipper* shipper(const std::string& name);
  // What is known here of the pair the copy is the target of; nullopt: no source has spoken yet.
  [[nodiscard]] std::optional<SourceRecord> source(const std::string& name);
  // Called (on a thread of the site) after a group was opened or made, for as long as serve() runs. Set before serve().
  void on_group(std::function<void(Group&)> callback);

 private:
  struct Parts;  // which use libzmq
  explicit Site(const SiteOptions& options);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace tidemark
