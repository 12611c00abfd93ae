// Adopted segments: what is still needed of an old segment stays where it was written, and the disk gets the rest back, as holes.
// docs/LOG_FORMAT.md, Adopted segments, is the other half of this file.
#pragma once

#include <string>

#include "log/format/pack.h"

namespace tidemark {

// The disk that segment `first` lies on can take back a part of a file.
bool can_release(FileSystem& files, const std::string& directory, Seq first);

// Makes holes of what no entry of an adopted segment's pack speaks of; its header stays. Durable on return. Done once a durable floor names
// the pack, and not before. May be interrupted, and done again. A failure costs only space, and is logged.
void release_dead(FileSystem& files, const std::string& directory, const GroupId& group, const PackInfo& pack);

// One step of a prune adopts no more of them.
inline constexpr size_t kAdoptedInStep = 16;

// The same of the last ones that were adopted for the floor's base, as many as an interrupted step may have left so.
void release_last_adopted(FileSystem& files, const std::string& directory, const Floor& floor);

}  // namespace tidemark
