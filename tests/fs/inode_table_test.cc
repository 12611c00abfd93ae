#include "fs/cache/inode_table.h"

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
  CHECK_FALSE(table.opened_for_write(Ino(10)));
  CHECK_FALSE(table.opened_for_write(Ino(10)));
  CHECK(table.open_for_write() == std::vector<Ino>{Ino(10)});
  CHECK_FALSE(table.released_after_write(Ino(10)));
  CHECK_FALSE(table.forget(Ino(10), 1));
  CHECK(table.open_for_write().size() == 1);
  CHECK_FALSE(table.released_after_write(Ino(10)));
  CHECK(table.open_for_write().empty());
  CHECK_FALSE(table.released_after_write(Ino(10)));  // one too many harms nobody
  CHECK_FALSE(table.forget(Ino(10), 1));
}

namespace {

// What the kernel is told of a file that has `blocks`.
InodeTable::Told tell(InodeTable& table, Ino ino, uint64_t size, uint64_t blocks, bool write_follows = false) {
  const InodeTable::Telling telling = table.telling(ino, blocks);
  return table.told(ino, telling.version, size, blocks, write_follows);
}

}  // namespace

TEST_CASE("Whenever the kernel believes in another number of blocks than there are, it is made to ask again") {
  InodeTable table;
  const Ino ino(11);
  table.add(ino);
  CHECK(tell(table, ino, 9000, 3).blocks == 3);
  CHECK_FALSE(table.opened_for_write(ino));
  CHECK_FALSE(table.blocks_changed(ino, 3));  // overwritten
  CHECK(table.blocks_changed(ino, 4));
  CHECK_FALSE(table.blocks_changed(ino, 5));  // it has not asked since
  CHECK(tell(table, ino, 20'000, 5).blocks == 5);
  CHECK(table.blocks_changed(ino, 6));
}

TEST_CASE("An answer that was overtaken by a write does not count as told") {
  InodeTable table;
  const Ino ino(12);
  table.add(ino);
  CHECK(tell(table, ino, 9000, 3).blocks == 3);
  const InodeTable::Telling slow = table.telling(ino, 3);
  CHECK(slow.sure);
  CHECK(table.blocks_changed(ino, 4));  // the kernel will drop the slow answer
  static_cast<void>(table.told(ino, slow.version, 9000, 3, false));
  const InodeTable::Telling next = table.telling(ino, 3);  // somebody who read the number before that write
  CHECK_FALSE(next.sure);
  static_cast<void>(table.told(ino, next.version, 9000, 4, false));
  CHECK_FALSE(table.blocks_changed(ino, 4));
  CHECK(table.blocks_changed(ino, 3));
}

TEST_CASE("A file that is open for writing and may have dirty pages has a block; an empty one nobody writes to has none") {
  InodeTable table;
  const Ino ino(13);
  table.add(ino);
  CHECK(tell(table, ino, 0, 0).blocks == 0);
  CHECK(table.opened_for_write(ino));  // what the kernel was told may be wrong soon
  auto told = tell(table, ino, 0, 0);
  CHECK(told.blocks == 0);
  CHECK_FALSE(told.keep);  // so that a write that begins is seen
  told = tell(table, ino, 0, 0, true);
  CHECK(told.blocks == 1);
  CHECK(told.keep);
  CHECK(tell(table, ino, 0, 0).blocks == 1);
  CHECK(table.emptied(ino));
  CHECK(tell(table, ino, 0, 0).blocks == 0);
  CHECK(tell(table, ino, 1 << 20, 0).blocks == 1);  // it may be mapped: no write is seen
  CHECK(table.released_after_write(ino));           // the block was made up
  CHECK(tell(table, ino, 1 << 20, 0).blocks == 0);
}
