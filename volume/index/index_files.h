// The files beneath RocksDB.
#pragma once

namespace rocksdb {
class Env;
}

namespace tidemark {

// Threads of all indexes of the process together. RocksDB makes them when it needs them. A disk that hangs keeps those busy that write to
// it: as there are several, the indexes on other disks go on.
inline constexpr int kIndexFlushers = 4;
inline constexpr int kIndexCompactors = 2;

// RocksDB's usual files, except that a write that fails (full disk, I/O error) is told when the file is synced or closed: a library
// built with its assertions, as Debian's is, aborts the process if a file is used in any other way after a failed write. Nothing
// counts before it is synced, so nothing is taken for written that is not. Lives for ever.
rocksdb::Env* index_env();

}  // namespace tidemark
