// Reading from a source, whether it is a local group or one at a site.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/source.h"
#include "log/format/record.h"
#include "replicator/remote/remote.h"
#include "volume/group/group.h"

namespace tidemark::cli {

struct RemoteKeys {
  std::string server_key;  // file; "" only for loopback and ipc
  std::string own_key;     // likewise
};
// What the flags say, completed by what the configuration file says for this endpoint; absolute. Without a flag, the file's keys
// count only where it has the site's as well as our own.
Result<RemoteKeys> keys_for(const RemoteKeys& flags, const std::string& endpoint);

// With `salvage` a damaged group is shown as far as it goes (GroupOptions::salvage).
// A local group that another process holds is asked to write out what it has first, so that what is shown is current.
Result<std::unique_ptr<Group>> open_for_reading(const std::string& directory, bool salvage = false);

class Reader {
 public:
  static Result<Reader> open(const Source& source, const RemoteKeys& keys, bool salvage = false);

  [[nodiscard]] Group* group() { return group_.get(); }          // null for a remote source
  [[nodiscard]] RemoteGroup* remote() { return remote_.get(); }  // null for a local one
  [[nodiscard]] std::string name();
  // Of a group opened for salvage: what is wrong with it; ok where nothing is.
  [[nodiscard]] Status damage() const { return group_ ? group_->recovery().damage : Status(); }

  // The source's own point; the newest where it has none.
  Result<Seq> point() { return resolve(source_.point.empty() ? "latest" : source_.point); }
  Result<Seq> resolve(const std::string& point);
  Result<std::shared_ptr<TreeView>> view(Seq point);  // must not outlive the reader
  Result<std::vector<Mark>> marks();
  Result<Mark> find_mark(const std::string& name);
  Result<Position> newest();
  // The same, but nothing that a site may still lose.
  Result<Position> newest_durable();
  // kNotFound where the record is not held.
  Result<Position> position_at(Seq seq);
  Result<Seq> oldest();
  // Wall time of a record. kNotFound where it is not held.
  Result<int64_t> time_of(Seq seq);
  // Records first … last (inclusive) in order, each checked. `visit` may end the walk with a failure.
  Status walk_log(Seq first, Seq last, const std::function<Status(const RecordView&)>& visit);

 private:
  explicit Reader(Source source) : source_(std::move(source)) {}
  Result<RecordHeader> remote_header(Seq seq);
  Status walk_local(Seq first, Seq last, const std::function<Status(const RecordView&)>& visit);
  Status walk_remote(Seq first, Seq last, const std::function<Status(const RecordView&)>& visit);

  Source source_;
  std::unique_ptr<Group> group_;
  std::unique_ptr<RemoteGroup> remote_;
};

}  // namespace tidemark::cli
