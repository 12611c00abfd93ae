// tidemark verify --repair.
#include <filesystem>
#include <optional>

#include "cli/check/findings.h"
#include "replicator/remote/site_source.h"
#include "volume/group/directory.h"
#include "volume/history/base_image.h"
#include "volume/index/index.h"

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

Status repair_log(const std::string& directory, const GroupIdentity& identity, const Position& newest, bool in_use,
                  RecordSource& source, Findings& done) {
  return mend_log(posix_file_system(), log_directory(directory), identity.id, newest, in_use, source,
                  [&](const std::string& where, const MendReport& report) {
                    for (const Mended& each : report.mended) {
                      done.repaired.push_back(where + ", byte " + std::to_string(each.offset) + ": " + describe(each) +
                                              ", from " + source.name());
                    }
                    if (!report.left.ok()) done.not_repaired.push_back(report.left.text());
                  });
}

// One of the floor's two copies. That of a mounted volume may change under us: whoever mounts it next does it.
Status repair_floor(const std::string& directory, bool in_use, Findings& done) {
  if (in_use) {
    done.not_repaired.emplace_back("log/floor: one of its two copies; the next mount repairs it");
    return Status();
  }
  TM_ASSIGN(const auto lock, DirectoryLock::take(directory, "repairing"));
  TM_TRY(heal_floor(posix_file_system(), log_directory(directory)).status());
  done.repaired.emplace_back("log/floor: one of its two copies");
  return Status();
}

// Written anew from the index, which has to be sound.
Status repair_base_image(const std::string& directory, const GroupIdentity& identity, bool in_use, bool index_damaged,
                         Findings& done) {
  LogVerdict verdict;
  TM_TRY(verify_base_image(posix_file_system(), directory, verdict));
  if (verdict.damage.empty()) return Status();
  const std::string what = "the base image, from which the index is rebuilt";
  if (in_use || index_damaged) {
    done.not_repaired.push_back(
        what + (in_use ? ": unmount the volume first" : ": the index it would be rebuilt from is damaged as well"));
    return Status();
  }
  const OpenMode mode = identity.role == Role::kPrimary ? OpenMode::kPrimary : OpenMode::kReplica;
  const auto group = Group::open(directory, mode, GroupOptions());
  if (group.status().code() == Code::kCorrupt) {
    done.not_repaired.push_back(what + ": " + group.status().text());
    return Status();
  }
  TM_TRY(group.status());
  TM_TRY((*group)->rewrite_base_image());
  TM_TRY((*group)->close());
  done.repaired.emplace_back("the base image: rewritten from the index");
  return Status();
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

// An index that is damaged goes as a whole. Only once the log is sound: it is what the next one is made from.
Status repair_index(const std::string& directory, Findings& done) {
  TM_ASSIGN(const auto lock, DirectoryLock::take(directory, "repairing"));
  TM_ASSIGN(LogVerdict log, verify_log(posix_file_system(), log_directory(directory), kLatest, nullptr));
  TM_TRY(verify_base_image(posix_file_system(), directory, log));
  if (!log.damage.empty()) {
    done.not_repaired.emplace_back("the index: the log it would be rebuilt from is still damaged");
    return Status();
  }
  TM_TRY(Index::destroy(index_directory(directory)));
  done.repaired.emplace_back("the index: rebuilt from the log");
  return Status();
}

}  // namespace

Status repair(const Source& source, const std::string& from, const RemoteKeys& keys, Findings& done) {
  const std::string& directory = source.directory;
  auto identity = Group::identify(directory);
  if (identity.status().code() == Code::kCorrupt) {
    TM_ASSIGN(const auto lock, DirectoryLock::take(directory, "repairing"));
    // A site's copy, and mostly a directory, is called as the group is.
    std::string name = std::filesystem::path(directory).filename().string();
    if (!from.empty()) {
      TM_ASSIGN(const RemoteAddress address, parse_remote(from));
      name = address.group;
    }
    TM_ASSIGN(identity, rewrite_identity(directory, name));
    done.repaired.emplace_back("group.json: rewritten from the log; the group's name is '" + identity->name + "'");
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
  TM_TRY(repair_log(directory, *identity, newest, in_use, **copy, done));
  const bool floor =
      std::any_of(findings.begin(), findings.end(), [](const Finding& each) { return each.file == kFloorFile; });
  if (floor) TM_TRY(repair_floor(directory, in_use, done));
  const bool index = std::any_of(findings.begin(), findings.end(), [](const Finding& each) { return each.index; });
  TM_TRY(repair_base_image(directory, *identity, in_use, index, done));
  return index ? repair_index(directory, done) : Status();
}

}  // namespace tidemark::cli
