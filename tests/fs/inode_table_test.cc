#include "fs/inode_table.h"

#include <catch2/catch.hpp>

using tidemark::Ino;
using tidemark::fs::InodeTable;

TEST_CASE("An inode is freed when it has no name and the kernel has forgotten it, whichever comes last") {
  InodeTable table;
  table.add(Ino(5), 3);
  CHECK_FALSE(table.unlinked(Ino(5)));
  CHECK(table.is_unlinked(Ino(5)));
  CHECK_FALSE(table.forget(Ino(5), 2));
  CHECK(table.forget(Ino(5), 1));
  CHECK_FALSE(table.is_unlinked(Ino(5)));

  table.add(Ino(6));
  CHECK_FALSE(table.forget(Ino(6), 1));
  CHECK(table.unlinked(Ino(6)));
  CHECK(table.unlinked(Ino(7)));  // never looked up
}

TEST_CASE("A file born without a name may get one") {
  InodeTable table;
  table.add(Ino(8));
  table.born_unnamed(Ino(8));
  CHECK_FALSE(table.is_unlinked(Ino(8)));
  table.got_name(Ino(8));
  CHECK_FALSE(table.forget(Ino(8), 1));

  table.add(Ino(9));
  table.born_unnamed(Ino(9));
  CHECK(table.forget(Ino(9), 1));
}

TEST_CASE("What was read into the page cache is known until the kernel forgets the inode") {
  InodeTable table;
  table.read_into_cache(Ino(7));  // not known to the kernel: nothing to remember
  CHECK_FALSE(table.may_be_cached(Ino(7)));
  table.add(Ino(7));
  CHECK_FALSE(table.may_be_cached(Ino(7)));
  table.read_into_cache(Ino(7));
  CHECK(table.may_be_cached(Ino(7)));
  CHECK_FALSE(table.forget(Ino(7), 1));
  CHECK_FALSE(table.may_be_cached(Ino(7)));
}

TEST_CASE("Files open for writing are known until the last release, even past the kernel's forget") {
  InodeTable table;
  table.add(Ino(10));
  table.opened_for_write(Ino(10));
  table.opened_for_write(Ino(10));
  CHECK(table.open_for_write() == std::vector<Ino>{Ino(10)});
  table.released_after_write(Ino(10));
  CHECK_FALSE(table.forget(Ino(10), 1));
  CHECK(table.open_for_write().size() == 1);
  table.released_after_write(Ino(10));
  CHECK(table.open_for_write().empty());
  table.released_after_write(Ino(10));  // one too many harms nobody
  CHECK_FALSE(table.forget(Ino(10), 1));
}
