// What is left of the permissions of a past file: the past grants nobody what he may not do now.
#pragma once

#include "volume/tree/tree_view.h"

namespace tidemark::fs {

struct PastRights {
  uint32_t mode = 0;      // type and permission bits to show
  bool shows_acl = true;  // false: `mode` says it all, and the past access ACL is not shown
};

enum class SameAcl { kNone, kSame, kDifferent };  // access ACLs of then and now: neither has one, the same, another

// `then`: an inode at a point; `now`: the same inode in the live tree, null where it is gone.
//   * setuid and setgid of anything but directories are dead;
//   * where owner, group and ACL are what they were, each of owner, group and others has what both modes give him;
//   * where one of them has changed, somebody may have changed class: he has what the past gives him and everybody has now, and where
//     an ACL is involved only an owner who still is one has anything;
//   * of what is gone, and of a directory that has moved, only the owner has anything: nobody can tell what others might do now.
// Symbolic links have no permissions. Root is not asked, as ever.
PastRights past_rights(const Attr& then, const Attr* now, SameAcl acl);

// An extended attribute that means nothing in the past, and is not shown there: a file capability.
bool is_dead_in_the_past(std::string_view xattr);

}  // namespace tidemark::fs
