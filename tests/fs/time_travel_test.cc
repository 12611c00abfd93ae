// The past: /.tidemark/at in a live mount, and a point mounted by itself.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <tidemark/mark.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <set>

#include "tests/fs/mounted.h"

using namespace tidemark::test;

namespace {

std::set<std::string> names(const std::string& path) {
  std::set<std::string> found;
  DIR* directory = ::opendir(path.c_str());
  REQUIRE(directory);
  while (dirent* entry = ::readdir(directory)) found.insert(entry->d_name);
  ::closedir(directory);
  return found;
}

void mark(const Mounted& mounted, const char* name) {
  REQUIRE(::tidemark_mark_path(mounted.path().c_str(), name, nullptr, nullptr, 0, nullptr) == 0);
}

}  // namespace

TEST_CASE("/.tidemark is there, but not in the way") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "x");
  CHECK(names(mounted.path()) == std::set<std::string>{".", "..", "f"});
  CHECK(names(mounted / ".tidemark") == std::set<std::string>{".", "..", "at"});
  struct stat about {};
  REQUIRE(::stat((mounted / ".tidemark").c_str(), &about) == 0);
  CHECK(about.st_mode == (S_IFDIR | 0555));
  CHECK(about.st_uid == 0);
  CHECK(::mkdir((mounted / ".tidemark/new").c_str(), 0755) == -1);
  CHECK((errno == EROFS || errno == EACCES));
  CHECK(::mkdir((mounted / ".tidemark").c_str(), 0755) == -1);
  CHECK(errno == EEXIST);
  CHECK(::rmdir((mounted / ".tidemark").c_str()) == -1);
  CHECK(::rename((mounted / "f").c_str(), (mounted / ".tidemark/at/f").c_str()) == -1);
  CHECK(::access((mounted / ".tidemark/ino").c_str(), F_OK) == -1);
  CHECK(::access((mounted / ".tidemark/ino/2").c_str(), F_OK) == -1);
  CHECK(::access((mounted / "sub/.tidemark").c_str(), F_OK) == -1);
  CHECK(run("find " + mounted.path() + " -mindepth 1") == mounted / "f" + "\n");
}

TEST_CASE("Every kind of point can be entered, and shows its tree") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "first");
  ::mkdir((mounted / "d").c_str(), 0755);
  write_file(mounted / "d/g", "deep");
  mark(mounted, "good");
  const uint64_t seq = mounted.seqs().appended;
  ::sleep(2);
  write_file(mounted / "f", "second");
  ::unlink((mounted / "d/g").c_str());
  run("sync " + (mounted / "f"));
  const std::string at = mounted / ".tidemark/at/";
  const time_t second_ago = ::time(nullptr) - 1;
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", ::gmtime(&second_ago));
  for (const std::string& point :
       {std::string("good"), "seq:" + std::to_string(seq), std::string("-1s"), std::string(text)}) {
    INFO(point);
    CHECK(read_file(at + point + "/f") == "first");
    CHECK(read_file(at + point + "/d/g") == "deep");
    CHECK(names(at + point) == std::set<std::string>{".", "..", "d", "f"});
  }
  CHECK(read_file(at + "latest/f") == "second");
  CHECK(names(at + "latest/d") == std::set<std::string>{".", ".."});
  write_file(mounted / "f", "third");
  run("sync " + (mounted / "f"));
  CHECK(read_file(at + "latest/f") == "third");  // latest is never an old one
  CHECK(names(mounted / ".tidemark/at") == std::set<std::string>{".", "..", "good"});
  CHECK(::access((at + "never").c_str(), F_OK) == -1);
  CHECK(errno == ENOENT);
  CHECK(::access((at + "seq:99999999").c_str(), F_OK) == -1);
}

TEST_CASE("The past cannot be changed, and its files are not hard links of today's") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "content");
  mark(mounted, "good");
  const std::string past = mounted / ".tidemark/at/good/";
  CHECK(::open((past + "f").c_str(), O_WRONLY) == -1);
  CHECK(errno == EROFS);
  CHECK(::open((past + "new").c_str(), O_WRONLY | O_CREAT, 0644) == -1);
  CHECK(errno == EROFS);
  CHECK(::unlink((past + "f").c_str()) == -1);
  CHECK(errno == EROFS);
  CHECK(::chmod((past + "f").c_str(), 0600) == -1);
  CHECK(errno == EROFS);
  CHECK(::truncate((past + "f").c_str(), 0) == -1);
  CHECK(::rename((past + "f").c_str(), (mounted / "stolen").c_str()) == -1);
  CHECK(errno == EXDEV);
  CHECK(::link((past + "f").c_str(), (mounted / "linked").c_str()) == -1);
  CHECK(errno == EXDEV);
  struct stat then {
  }, now{};
  REQUIRE(::stat((past + "f").c_str(), &then) == 0);
  REQUIRE(::stat((mounted / "f").c_str(), &now) == 0);
  CHECK(then.st_ino != now.st_ino);
  CHECK(then.st_size == now.st_size);
  CHECK(then.st_mtim.tv_nsec == now.st_mtim.tv_nsec);
  // Bringing a file back is a copy.
  CHECK(run("rm " + (mounted / "f") + " && cp -a " + past + "f " + (mounted / "f")) == "");
  CHECK(read_file(mounted / "f") == "content");
}

TEST_CASE("A thousand points and more can be visited, each closed again") {
  if (!can_mount()) return;
  Mounted mounted;
  for (int i = 0; i < 600; ++i) write_file(mounted / "f", std::to_string(i));
  const uint64_t newest = mounted.seqs().appended;
  REQUIRE(newest > 1'100);
  struct stat about {};
  for (uint64_t seq = newest - 1'100; seq <= newest; ++seq) {
    CHECK(::stat((mounted / (".tidemark/at/seq:" + std::to_string(seq) + "/f")).c_str(), &about) == 0);
  }
}

TEST_CASE("A point mounted by itself is read-only and does not move") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "then");
  int fd = ::open((mounted / "sparse").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::pwrite(fd, "data", 4, 1 << 20) == 4);
  REQUIRE(::ftruncate(fd, 3 << 20) == 0);
  ::close(fd);
  mark(mounted, "good");
  write_file(mounted / "f", "now");
  ::unlink((mounted / "sparse").c_str());
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({.point = "good"}) == "");
  CHECK(read_file(mounted / "f") == "then");
  CHECK(names(mounted.path()) == std::set<std::string>{".", "..", "f", "sparse"});
  CHECK(names(mounted.path()) == std::set<std::string>{".", "..", "f", "sparse"});  // out of the kernel's cache as well
  CHECK(::open((mounted / "f").c_str(), O_WRONLY) == -1);
  CHECK(errno == EROFS);
  CHECK(::mkdir((mounted / "d").c_str(), 0755) == -1);
  CHECK(errno == EROFS);
  CHECK(::access((mounted / ".tidemark").c_str(), F_OK) == -1);
  CHECK(::tidemark_mark_path(mounted.path().c_str(), "no", nullptr, nullptr, 0, nullptr) == -1);
  CHECK(errno == EROFS);
  struct statvfs space {};
  REQUIRE(::statvfs(mounted.path().c_str(), &space) == 0);
  CHECK((space.f_flag & ST_RDONLY));
  CHECK((space.f_flag & ST_NOSUID));
  CHECK((space.f_flag & ST_NODEV));
  // Here nothing is dirty: holes are told truly.
  fd = ::open((mounted / "sparse").c_str(), O_RDONLY);
  CHECK(::lseek(fd, 0, SEEK_DATA) == 1 << 20);
  CHECK(::lseek(fd, 0, SEEK_HOLE) == 0);
  CHECK(::lseek(fd, 1 << 20, SEEK_HOLE) == (1 << 20) + 4096);
  CHECK(::lseek(fd, 2 << 20, SEEK_DATA) == -1);
  CHECK(errno == ENXIO);
  CHECK(::lseek(fd, 3 << 20, SEEK_HOLE) == -1);
  ::close(fd);
  CHECK(mounted.unmount() == 0);
  CHECK(mounted.start({.point = "never"}) != "");
}
