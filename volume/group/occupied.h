// Which directories belong to groups, so that nothing else is ever written into one. Answered from open directories, never from how a
// path is spelled: symbolic links, "..", and a bind mount of a whole directory make no difference.
#pragma once

#include <string>

#include "base/status.h"

namespace tidemark {

// The open directory is a group's own, a group's log, or a directory of a pool that holds segments.
[[nodiscard]] bool is_groups_place(int directory);

// kInvalid where the open directory is such a place or lies in one. The text names the group's directory; `what` begins it ("the
// target /srv/x").
Status check_outside_groups(int directory, const std::string& what);

// kInvalid where the open directory holds a group's directory: a site's, or one in which volumes are kept.
Status check_holds_no_group(int directory, const std::string& what);

// For something that is to be made at `path`: the directory in which that would be lies outside of every group. Other failures (it is
// not there, say) are left to whoever makes it.
Status check_new_outside_groups(const std::string& path, const std::string& what);

}  // namespace tidemark
