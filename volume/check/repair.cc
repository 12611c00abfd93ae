#include "volume/check/repair.h"

#include <algorithm>

#include "log/repair/mend.h"
#include "log/repair/verify.h"
#include "volume/group/directory.h"
#include "volume/history/base_image.h"
#include "volume/index/index.h"

namespace tidemark {
namespace {

Status repair_log(const std::string& directory, const GroupIdentity& identity, const Position& newest, bool in_use,
                  RecordSource& source, Repairs& done) {
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
Status repair_floor(const std::string& directory, bool in_use, Repairs& done) {
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
                         Repairs& done) {
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

// An index that is damaged goes as a whole. Only once the log is sound: it is what the next one is made from.
Status repair_index(const std::string& directory, Repairs& done) {
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

Result<GroupIdentity> repair_identity(const std::string& directory, const std::string& name, Repairs& done) {
  TM_ASSIGN(const auto lock, DirectoryLock::take(directory, "repairing"));
  TM_ASSIGN(GroupIdentity identity, rewrite_identity(directory, name));
  done.repaired.emplace_back("group.json: rewritten from the log; the group's name is '" + identity.name + "'");
  return identity;
}

Status repair_group(const std::string& directory, const GroupIdentity& identity, const std::vector<Finding>& found,
                    const Position& newest, bool in_use, RecordSource& source, Repairs& done) {
  TM_TRY(repair_log(directory, identity, newest, in_use, source, done));
  const bool floor = std::any_of(found.begin(), found.end(), [](const Finding& each) { return each.file == kFloorFile; });
  if (floor) TM_TRY(repair_floor(directory, in_use, done));
  const bool index = std::any_of(found.begin(), found.end(), [](const Finding& each) { return each.index; });
  TM_TRY(repair_base_image(directory, identity, in_use, index, done));
  return index ? repair_index(directory, done) : Status();
}

}  // namespace tidemark
