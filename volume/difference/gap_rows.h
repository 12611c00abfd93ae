// The rows of a gap: what a copy that crossed it knows of the records it never held.
#pragma once

#include <string>

#include "base/file.h"
#include "log/format/floor.h"
#include "volume/index/index.h"

namespace tidemark {

// The rows of a gap, where they lie at a copy that has one. (With nothing before it, they are a base image.)
std::string gap_rows_path(const std::string& directory, Seq to);
// Adds them to the index, which is at gap.from; the position comes last.
Status load_gap_rows(FileSystem& files, const std::string& directory, const Gap& gap, Index& index);

}  // namespace tidemark
