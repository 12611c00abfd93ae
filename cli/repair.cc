// tidemark verify --repair.
#include <filesystem>
#include <optional>

#include "cli/findings.h"
#include "replicator/site_source.h"
#include "volume/directory.h"
#include "volume/index.h"

namespace tidemark::cli {
namespace {

Result<std::shared_ptr<RecordSource>> find_copy(const GroupIdentity& identity, const std::string& directory,
                                                const std::string& from, const RemoteKeys& keys) {
  if (from.empty()) {
    TM_ASSIGN(auto pairs, load_pairs(directory));
    if (pairs.empty()) {
      return Status(Code::kInvalid, directory + " has no pair to fetch from; name a copy with --from tcp://HOST:PORT/GROUP");
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
    done.not_repaired.emplace_back("log/floor: one of its two copies, until the volume is mounted anew");
    return Status();
  }
  TM_ASSIGN(const auto lock, DirectoryLock::take(directory, "repairing"));
  TM_TRY(heal_floor(posix_file_system(), log_directory(directory)).status());
  done.repaired.emplace_back("log/floor: one of its two copies");
  return Status();
}

// An index that is damaged goes as a whole. Only once the log is sound: it is what the next one is made from.
Status repair_index(const std::string& directory, Findings& done) {
  TM_ASSIGN(const auto lock, DirectoryLock::take(directory, "repairing"));
  TM_ASSIGN(const LogVerdict log, verify_log(posix_file_system(), log_directory(directory), kLatest, nullptr));
  if (!log.damage.empty()) {
    done.not_repaired.emplace_back("the index, which has to be rebuilt from a log that is still damaged");
    return Status();
  }
  TM_TRY(Index::destroy(index_directory(directory)));
  done.repaired.emplace_back("the index: it is rebuilt from the log");
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
    done.repaired.emplace_back("group.json: written anew from the log; the group is called '" + identity->name + "'");
  }
  if (!identity.ok()) return identity.status();
  TM_ASSIGN(const auto findings, check_directory(directory));
  Position newest;
  bool in_use = false;
  {
    TM_ASSIGN(const auto holder, lock_holder(directory));
    in_use = holder.has_value();
    // Opened as verify opens it: for what the index knows of the log. An index that is no help is no failure here.
    Result<Reader> reader = Reader::open(source, keys, true);
    if (reader.ok()) {
      TM_ASSIGN(newest, reader->newest());
    } else if (in_use) {
      return reader.status();
    }
  }
  TM_ASSIGN(const auto copy, find_copy(*identity, directory, from, keys));
  TM_TRY(repair_log(directory, *identity, newest, in_use, *copy, done));
  const bool floor =
      std::any_of(findings.begin(), findings.end(), [](const Finding& each) { return each.file == kFloorFile; });
  if (floor) TM_TRY(repair_floor(directory, in_use, done));
  const bool index = std::any_of(findings.begin(), findings.end(), [](const Finding& each) { return each.index; });
  return index ? repair_index(directory, done) : Status();
}

}  // namespace tidemark::cli
