// Owner, mode, extended attributes, ACLs and times of an inode of this machine, set through a descriptor we hold: whatever
// happens to its name meanwhile, no other inode is changed.
#pragma once

#include "restore/plan.h"
#include "restore/safe_path.h"

namespace tidemark {

// A file or directory opened for use, or any inode opened with O_PATH.
struct NativeHandle {
  const Fd& fd;
  bool path_only = false;
};

// Makes the inode's attributes those of `entry`, in the order in which none undoes another; times last. `details` has the
// extended attributes. What this user or file system cannot keep becomes a warning; kIo and kNoSpace are failures.
// Where the owner cannot be kept, set-user-id and set-group-id are not given to somebody else: they are left out.
Status apply_attributes(const NativeHandle& handle, const PlanEntry& entry, const PlanEntry& details, Warnings& warnings);

// Of a directory that was there before: the extended attributes `entry` does not have go (security.* stays: it belongs to
// this machine's policy).
void remove_other_xattrs(const Fd& directory, const PlanEntry& entry, Warnings& warnings);

// A directory's ACLs go, so that nothing made in it inherits them.
void remove_acls(const Fd& directory, std::string_view path, Warnings& warnings);

// All names of extended attributes, and one's value. kNoData: none of this name.
Result<std::vector<std::string>> list_native_xattrs(const NativeHandle& handle);
Result<std::string> get_native_xattr(const NativeHandle& handle, const std::string& name);

}  // namespace tidemark
