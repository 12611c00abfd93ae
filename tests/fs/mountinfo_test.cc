#include "fs/mountinfo.h"

#include <catch2/catch.hpp>

using tidemark::fs::parse_mountinfo_line;

TEST_CASE("A line of mountinfo is read, escapes and optional tags and all") {
  auto entry = parse_mountinfo_line(
      "36 25 0:49 / /mnt/a\\040b\\134c rw,relatime shared:7 master:1 - fuse.tidemark /srv/x@m\\0111 rw,user_id=0");
  REQUIRE(entry);
  CHECK(entry->device_major == 0);
  CHECK(entry->device_minor == 49);
  CHECK(entry->mountpoint == "/mnt/a b\\c");
  CHECK(entry->type == "fuse.tidemark");
  CHECK(entry->source == "/srv/x@m\t1");
}

TEST_CASE("A line without tags, and lines that are none") {
  auto entry = parse_mountinfo_line("1 1 254:0 / / rw - ext4 /dev/vda rw");
  REQUIRE(entry);
  CHECK(entry->type == "ext4");
  CHECK_FALSE(parse_mountinfo_line(""));
  CHECK_FALSE(parse_mountinfo_line("1 1 254:0 / / rw ext4 /dev/vda rw"));
  CHECK_FALSE(parse_mountinfo_line("1 1 254 / / rw - ext4 /dev/vda rw"));
  CHECK_FALSE(parse_mountinfo_line("1 1 254:0 / / rw - ext4"));
}

TEST_CASE("Our own mounts are seen, root at least") {
  auto entries = tidemark::fs::read_mountinfo();
  REQUIRE(entries.ok());
  CHECK_FALSE(entries->empty());
  auto root = tidemark::fs::mount_at("/");
  REQUIRE(root.ok());
  CHECK(root->has_value());
}
