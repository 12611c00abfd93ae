#include "fs/rights/past_rights.h"

#include <sys/stat.h>

namespace tidemark::fs {
namespace {

constexpr uint32_t kOwner = 0700, kGroup = 0070, kOthers = 0007;

// What each of the three classes has, for all three.
uint32_t everybodys(uint32_t mode) {
  const uint32_t bits = (mode >> 6) & (mode >> 3) & mode & 7;
  return bits << 6 | bits << 3 | bits;
}

}  // namespace

PastRights past_rights(const Attr& then, const Attr* now, SameAcl acl) {
  if (S_ISLNK(then.mode)) return {then.mode, true};
  const uint32_t rest = then.mode & ~uint32_t{kOwner | kGroup | kOthers};
  const uint32_t type = S_ISDIR(then.mode) ? rest : rest & ~uint32_t{S_ISUID | S_ISGID};
  const bool gone = !now || now->nlink == 0 || (now->mode & S_IFMT) != (then.mode & S_IFMT);
  if (gone) return {type | (then.mode & kOwner), false};
  const uint32_t both = then.mode & now->mode;
  const uint32_t certain = then.mode & everybodys(now->mode);
  const bool same_owner = then.uid == now->uid;
  const bool moved = S_ISDIR(then.mode) && then.parent != now->parent;
  if (same_owner && then.gid == now->gid && acl != SameAcl::kDifferent && !moved) {
    return {type | (both & (kOwner | kGroup | kOthers)), acl == SameAcl::kSame};
  }
  const bool by_mode = acl == SameAcl::kNone && !moved;
  const uint32_t owner = same_owner ? both & kOwner : acl == SameAcl::kNone ? certain & kOwner : 0;
  return {type | owner | (by_mode ? certain & (kGroup | kOthers) : 0), false};
}

bool is_dead_in_the_past(std::string_view xattr) { return xattr == "security.capability"; }

}  // namespace tidemark::fs
