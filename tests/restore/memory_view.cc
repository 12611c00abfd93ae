#include "tests/restore/memory_view.h"

#include <unistd.h>

namespace tidemark::test {

Attr MemoryView::plain(Ino ino, uint32_t mode) {
  Attr attr;
  attr.ino = ino;
  attr.mode = mode;
  attr.uid = ::geteuid();
  attr.gid = ::getegid();
  attr.nlink = 1;
  attr.atime = {1'600'000'000, 1};
  attr.mtime = {1'600'000'000 + static_cast<int64_t>(ino.value()), 123'456'789};
  return attr;
}

}  // namespace tidemark::test
