// Compares two directories as thoroughly as a file system can be compared: names, types, content, holes, modes, owners, times
// to the nanosecond, extended attributes with ACLs, devices and which names are the same inode.
#pragma once

#include <string>
#include <vector>

namespace tidemark::test {

struct CompareOptions {
  bool atime = false;  // reading changes it: only where nobody has read
  bool mtime = true;
  bool directory_mtime = true;
  bool owners = true;
  bool holes = false;           // the same bytes are data (to the 4 KiB block)
  bool xattrs = true;           // all but security.selinux and user.tidemark.*
  size_t differences_max = 50;  // then it stops looking
};

// What differs, a line each ("a/b: mode 644 here, 600 there"); empty when nothing does. Does not follow symbolic links and
// does not change times it is asked to compare (O_NOATIME where permitted).
std::vector<std::string> compare_trees(const std::string& here, const std::string& there,
                                       const CompareOptions& options = {});

}  // namespace tidemark::test
