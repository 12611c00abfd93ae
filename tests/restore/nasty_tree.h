// A directory with one of everything a local file system can hold, for round trips.
#pragma once

#include <string>

namespace tidemark::test {

// Fills an existing empty directory. What this user or file system cannot make is left out.
void make_nasty_tree(const std::string& root);

}  // namespace tidemark::test
