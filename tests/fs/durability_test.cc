// What is durable when: fsync, O_SYNC, -o sync, and the timer that stands in for sync(2).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/fs/mounted.h"

using namespace tidemark::test;

namespace {

constexpr int kNever = 3'600'000;  // ms: the log's own timer must not help

bool all_durable(Mounted& mounted) {
  const Mounted::Seqs seqs = mounted.seqs();
  return seqs.durable == seqs.appended;
}

}  // namespace

TEST_CASE("fsync, fdatasync and fsync of a directory make durable; nothing else does") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = kNever});
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  CHECK_FALSE(all_durable(mounted));
  REQUIRE(::fsync(fd) == 0);
  CHECK(all_durable(mounted));
  REQUIRE(::write(fd, "x", 1) == 1);
  REQUIRE(::fdatasync(fd) == 0);
  CHECK(all_durable(mounted));
  ::close(fd);
  REQUIRE(::mkdir((mounted / "d").c_str(), 0755) == 0);
  CHECK_FALSE(all_durable(mounted));
  int directory = ::open(mounted.path().c_str(), O_RDONLY | O_DIRECTORY);
  REQUIRE(::fsync(directory) == 0);
  CHECK(all_durable(mounted));
  ::close(directory);
}

TEST_CASE("A write to a file opened with O_SYNC or O_DSYNC is durable when it returns") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = kNever});
  for (int flag : {O_SYNC, O_DSYNC, O_SYNC | O_DIRECT}) {
    int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT | flag, 0644);
    REQUIRE(fd >= 0);
    alignas(4096) static char block[4096];
    for (int i = 0; i < 3; ++i) {
      REQUIRE(::write(fd, block, sizeof block) == sizeof block);
      CHECK(all_durable(mounted));
    }
    ::close(fd);
  }
}

TEST_CASE("With -o sync every change is durable when it returns") {
  if (!can_mount()) return;
  Mounted mounted({.options = {"sync"}, .commit_interval_ms = kNever});
  CHECK(run("grep ' " + mounted.path() + " ' /proc/mounts | grep -c '[ ,]sync,'") == "1\n");
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  CHECK(all_durable(mounted));
  for (int i = 0; i < 3; ++i) {
    REQUIRE(::write(fd, "some bytes", 10) == 10);
    CHECK(all_durable(mounted));
  }
  ::ftruncate(fd, 5);
  CHECK(all_durable(mounted));
  ::fchmod(fd, 0600);
  CHECK(all_durable(mounted));
  ::close(fd);
  ::mkdir((mounted / "d").c_str(), 0755);
  CHECK(all_durable(mounted));
  ::rename((mounted / "f").c_str(), (mounted / "d/f").c_str());
  CHECK(all_durable(mounted));
  ::symlink("x", (mounted / "l").c_str());
  CHECK(all_durable(mounted));
  ::link((mounted / "d/f").c_str(), (mounted / "h").c_str());
  CHECK(all_durable(mounted));
  ::unlink((mounted / "h").c_str());
  CHECK(all_durable(mounted));
  int unnamed = ::open(mounted.path().c_str(), O_TMPFILE | O_RDWR, 0600);
  CHECK(unnamed >= 0);
  CHECK(all_durable(mounted));
  ::close(unnamed);
  CHECK(read_file(mounted / "d/f") == "some ");
}

TEST_CASE("Without anybody asking, the log's timer makes durable what was appended") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = 100});
  REQUIRE(::mkdir((mounted / "d").c_str(), 0755) == 0);
  for (int i = 0; i < 50 && !all_durable(mounted); ++i) ::usleep(20'000);
  CHECK(all_durable(mounted));
}

TEST_CASE("What was synced is there after the daemon is killed") {
  if (!can_mount()) return;
  Mounted mounted;
  for (int round = 0; round < 3; ++round) {
    const std::string name = "f" + std::to_string(round);
    int fd = ::open((mounted / name).c_str(), O_RDWR | O_CREAT, 0644);
    const std::string content(100'000, static_cast<char>('a' + round));
    REQUIRE(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    REQUIRE(::fsync(fd) == 0);
    mounted.kill();
    ::close(fd);
    REQUIRE(mounted.start({}) == "");
    for (int i = 0; i <= round; ++i)
      CHECK(read_file(mounted / ("f" + std::to_string(i))) == std::string(100'000, static_cast<char>('a' + i)));
  }
}
