// The files beneath RocksDB.
#pragma once

namespace rocksdb {
class Env;
}

namespace tidemark {

// RocksDB's usual files, except that a write that fails (full disk, I/O error) is told when the file is synced or closed: a library
// built with its assertions, as Debian's is, aborts the process if a file is used in any other way after a failed write. Nothing
// counts before it is synced, so nothing is taken for written that is not. Lives for ever.
rocksdb::Env* index_env();

}  // namespace tidemark
