// Removing what is in the way, without ever leaving it.
#pragma once

#include <string>

#include "base/status.h"

namespace tidemark {

// Removes the entry `name` of an open directory: a file, a link, or a directory with everything below it. Never follows a
// symbolic link nor enters a mount (kBusy). Nothing there is ok. Directories deeper than kRemoveDepthMax: kLimit.
// A directory that `may_enter` refuses stays with everything in it, and its failure is the answer; what came before it has gone.
inline constexpr int kRemoveDepthMax = 256;
using MayEnter = Status (*)(int directory);
Status remove_tree(int directory, const std::string& name, MayEnter may_enter = nullptr);

}  // namespace tidemark
