// Where a command is about to write what it was told to: never into a directory that Tidemark keeps a volume in.
#pragma once

#include <string>

#include "cli/source.h"

namespace tidemark::cli {

// kInvalid where `path` is, or lies in, a directory of a group, also through a bind mount of a part of it; or where it is the mountpoint
// of `source` itself. `what` begins the text ("--target /srv/x"). Whatever else is wrong with it is left to whoever writes there.
Status check_target(const std::string& path, const std::string& what, const Source* source = nullptr);

// kInvalid where `path` is a directory of a group, whose files are not the volume's content.
Status check_import(const std::string& path);

}  // namespace tidemark::cli
