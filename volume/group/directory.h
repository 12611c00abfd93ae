// A group's directory on disk: its parts, and who it is. Who holds it: directory_lock.h.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "volume/group/directory_lock.h"
#include "volume/group/group.h"

namespace tidemark {

inline std::string log_directory(const std::string& directory) { return directory + "/log"; }
inline std::string index_directory(const std::string& directory) { return directory + "/index"; }

Status check_group_name(std::string_view name);
Result<GroupId> random_group_id();
// What stands in a group.json; `path` is for messages. kCorrupt, kUnsupported.
Result<GroupIdentity> parse_identity(std::string_view content, const std::string& path);
// A damaged group.json, written anew from what the log says. Its record 1 has the name; where that was pruned, `name` it is.
// kCorrupt where the log is damaged there as well. The caller holds the lock.
Result<GroupIdentity> rewrite_identity(const std::string& directory, const std::string& name);
// Durable on return, whole or not at all.
Status write_identity(const std::string& directory, const GroupIdentity& identity, FileSystem& files);

// Makes DIR and DIR/log with an empty log, durably. DIR must not exist, or be empty; what an interrupted attempt left there counts
// as nothing. A directory is a group only once write_identity() has returned, so that comes last.
Result<std::unique_ptr<DirectoryLock>> make_group_directory(const std::string& directory, const GroupIdentity& identity,
                                                            const GroupOptions& options);

// group.json. kNotFound: there is no group.
Result<GroupIdentity> read_identity(const std::string& directory, FileSystem& files);

}  // namespace tidemark
