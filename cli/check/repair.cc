#include "cli/check/repair.h"

#include <algorithm>
#include <filesystem>

#include "replicator/remote/site_source.h"
#include "volume/group/directory.h"

namespace tidemark::cli {
namespace {

Result<std::shared_ptr<RecordSource>> find_copy(const GroupIdentity& identity, const std::string& directory,
                                                const std::string& from, const RemoteKeys& keys) {
  if (from.empty()) {
    TM_ASSIGN(auto pairs, load_pairs(directory));
    if (pairs.empty()) {
      return Status(Code::kNotFound,
                    directory + " has no pair to fetch from; name a copy with --from tcp://HOST:PORT/GROUP");
    }
    std::vector<PairConfig> configs;
    for (const Pair& pair : pairs) configs.push_back(pair.config);
    return make_site_source(identity, [configs] { return configs; });
  }
  TM_ASSIGN(const RemoteAddress address, parse_remote(from));
  RemoteOptions options;
  options.server_key = keys.server_key;
  options.own_key = keys.own_key;
  TM_ASSIGN(auto remote, RemoteGroup::connect(address, options));
  return make_remote_source(identity, std::move(remote), from);
}

// There is no site and none was named: what needs no other copy is repaired all the same.
class NoCopy final : public RecordSource {
 public:
  explicit NoCopy(Status why) : why_(std::move(why)) {}
  [[nodiscard]] std::string name() const override { return "this copy"; }
  Result<std::string> fetch(Seq, size_t) override { return why_; }
  Result<std::string> fetch_packed(Seq, size_t) override { return why_; }

 private:
  const Status why_;
};

}  // namespace

Status repair(const Source& source, const std::string& from, const RemoteKeys& keys, Repairs& done) {
  const std::string& directory = source.directory;
  auto identity = Group::identify(directory);
  if (identity.status().code() == Code::kCorrupt) {
    // A site's copy, and mostly a directory, is called as the group is.
    std::string name = std::filesystem::path(directory).filename().string();
    if (!from.empty()) {
      TM_ASSIGN(const RemoteAddress address, parse_remote(from));
      name = address.group;
    }
    TM_ASSIGN(identity, repair_identity(directory, name, done));
  }
  if (!identity.ok()) return identity.status();
  TM_ASSIGN(const auto findings, check_directory(directory));
  Position newest;
  bool in_use = false;
  {
    // Opened as verify opens it: for what the index knows of the log. An index that is no help is no failure here.
    Result<Reader> reader = Reader::open(source, keys, true);
    TM_ASSIGN(const auto holder, lock_holder(directory));  // after a mount that was closing is gone
    in_use = holder.has_value();
    if (reader.ok()) {
      const auto known = reader->newest();
      if (known.ok()) newest = *known;
    } else if (in_use) {
      return reader.status();
    }
  }
  auto copy = find_copy(*identity, directory, from, keys);
  if (copy.status().code() == Code::kNotFound && from.empty())
    copy = std::shared_ptr<RecordSource>(std::make_shared<NoCopy>(copy.status()));
  TM_TRY(copy.status());
  return repair_group(directory, *identity, findings, newest, in_use, **copy, done);
}

}  // namespace tidemark::cli
