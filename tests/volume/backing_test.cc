// File systems that a volume may lie on.
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/support/scratch.h"
#include "volume/group/group.h"

namespace tidemark::test {

TEST_CASE("A file system that counts no blocks is not taken for a full one") {
  Scratch scratch;
  const std::string ram = scratch / "ram";
  REQUIRE(::mkdir(ram.c_str(), 0700) == 0);
  if (::mount("none", ram.c_str(), "ramfs", 0, nullptr) != 0) {
    WARN("SKIP: no ramfs can be mounted here, so nothing was tested");
    return;
  }
  struct statvfs about {};
  REQUIRE(::statvfs(ram.c_str(), &about) == 0);
  CHECK(about.f_blocks == 0);  // control
  {
    REQUIRE(Group::init(ram + "/volume", {.name = "test"}).ok());
    auto group = Group::open(ram + "/volume", OpenMode::kPrimary);
    REQUIRE(group.ok());
    auto made = (*group)->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0600});
    INFO(made.status().text());
    REQUIRE(made.ok());
    CHECK((*group)->volume().write(made->ino, 0, as_bytes(std::string_view("content")), false).ok());
    CHECK((*group)->sync().ok());
  }
  CHECK(::umount2(ram.c_str(), MNT_DETACH) == 0);
}

}  // namespace tidemark::test
