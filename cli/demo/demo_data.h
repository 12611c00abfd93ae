// What the demonstration works with: a real SQLite database, a real source tree, the damage done to them, and the comparison.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace tidemark::cli {

// sqlite3 and rsync are here; otherwise kNotFound says what to install.
Status check_tools();

// Orders by customers in a database in WAL mode; `rows` more of them.
Status add_orders(const std::string& database, uint64_t rows);
// What the database says: number of orders and their sum. Runs SQLite's integrity check first: kCorrupt with its findings.
Result<std::string> ask_database(const std::string& database);

struct TreeSize {
  uint64_t entries = 0;
  uint64_t bytes = 0;
};
Result<TreeSize> measure_tree(const std::string& directory);

// Copies at most `files_max` files of a source tree of this machine (/usr/include, where there is one) and adds what is hard to
// keep: hard links, symlinks, a sparse file, extended attributes, odd modes and times. Returns where it came from.
Result<std::string> copy_source_tree(const std::string& to, size_t files_max);
// A day's work in it: some files are edited, renamed, removed, made.
Status edit_tree(const std::string& tree);

Status overwrite_with_rubbish(const std::string& file);
Result<uint64_t> delete_half(const std::string& tree);  // files deleted

// Copies with everything rsync can keep.
Status copy_reference(const std::string& from, const std::string& to);
// "" where nothing differs in content or metadata; otherwise rsync's list.
Result<std::string> compare_trees(const std::string& reference, const std::string& other);

}  // namespace tidemark::cli
