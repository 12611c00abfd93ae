// The traps of the kernel's writeback cache, each with what goes wrong where it is not heeded.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/fs/mounted.h"

using namespace tidemark::test;

TEST_CASE("A sparse-aware copy of a file with dirty pages loses nothing") {
  if (!can_mount()) return;
  Mounted mounted;
  for (int i = 0; i < 20; ++i) {
    int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
    REQUIRE(::ftruncate(fd, 1 << 20) == 0);
    REQUIRE(::pwrite(fd, "dirty", 5, 500'000) == 5);  // not yet at the daemon
    REQUIRE(::lseek(fd, 0, SEEK_DATA) >= 0);
    CHECK(::lseek(fd, 0, SEEK_DATA) <= 500'000);
    CHECK(::lseek(fd, 500'000, SEEK_HOLE) > 500'004);
    CHECK(run("cp --sparse=always " + (mounted / "f") + " " + (mounted / "copy")) == "");
    CHECK(read_file(mounted / "copy").substr(500'000, 5) == "dirty");
    ::close(fd);
  }
}

TEST_CASE("Two processes that append never write over each other") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "log", "");
  constexpr int kLines = 2'000;
  const std::string path = mounted / "log";
  pid_t children[2];
  for (int who = 0; who < 2; ++who) {
    children[who] = ::fork();
    REQUIRE(children[who] >= 0);
    if (children[who] == 0) {
      int fd = ::open(path.c_str(), O_WRONLY | O_APPEND);
      for (int i = 0; i < kLines; ++i) {
        const std::string line = std::string(1, static_cast<char>('A' + who)) + std::to_string(1'000'000 + i) + "\n";
        if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(1);
      }
      ::_exit(0);
    }
  }
  for (pid_t child : children) {
    int status = 1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  const std::string content = read_file(path);
  REQUIRE(content.size() == 2 * kLines * 9);
  int next[2] = {0, 0};
  for (size_t at = 0; at < content.size(); at += 9) {
    const int who = content[at] - 'A';
    REQUIRE((who == 0 || who == 1));
    CHECK(content.substr(at + 1, 8) == std::to_string(1'000'000 + next[who]++) + "\n");
  }
}

TEST_CASE("A file created write-only can be written in part of a page") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", std::string(10'000, 'o'));
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  int fd = ::open((mounted / "f").c_str(), O_WRONLY);  // the kernel has to read the page it changes, through this handle
  REQUIRE(::pwrite(fd, "new", 3, 5'000) == 3);
  REQUIRE(::close(fd) == 0);
  fd = ::open((mounted / "g").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0200);
  REQUIRE(::write(fd, "abc", 3) == 3);
  REQUIRE(::write(fd, "def", 3) == 3);
  REQUIRE(::close(fd) == 0);
  const std::string content = read_file(mounted / "f");
  CHECK(content.substr(4'998, 7) == "oonewoo");
  REQUIRE(::chmod((mounted / "g").c_str(), 0600) == 0);
  CHECK(read_file(mounted / "g") == "abcdef");
}

TEST_CASE("O_DIRECT goes beside the cache and agrees with it, and shared mappings still work") {
  if (!can_mount()) return;
  Mounted mounted;
  int cached = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  const std::string before(64 << 10, 'c');
  REQUIRE(::write(cached, before.data(), before.size()) == static_cast<ssize_t>(before.size()));
  int direct = ::open((mounted / "f").c_str(), O_RDWR | O_DIRECT);
  REQUIRE(direct >= 0);
  void* aligned = nullptr;
  REQUIRE(::posix_memalign(&aligned, 4096, 8192) == 0);
  auto* block = static_cast<char*>(aligned);
  CHECK(::pread(direct, block, 8192, 4096) == 8192);  // dirty pages are seen
  CHECK(std::string(block, 8192) == before.substr(0, 8192));
  std::fill(block, block + 8192, 'd');
  CHECK(::pwrite(direct, block, 8192, 8192) == 8192);
  char got[3] = {};
  CHECK(::pread(cached, got, 2, 8191) == 2);  // and the cache sees what went beside it
  CHECK(std::string(got) == "cd");
  auto* map = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, direct, 0));
  REQUIRE(map != MAP_FAILED);
  map[1] = 'm';
  CHECK(::pread(direct, block, 4096, 0) == 4096);
  CHECK(block[1] == 'm');
  ::munmap(map, 4096);
  ::free(aligned);
  ::close(direct);
  ::close(cached);
}

TEST_CASE("The size is right while the daemon does not know it yet") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  struct stat about {};
  for (int i = 1; i <= 100; ++i) {
    REQUIRE(::write(fd, "0123456789", 10) == 10);
    REQUIRE(::stat((mounted / "f").c_str(), &about) == 0);
    CHECK(about.st_size == i * 10);
    if (i % 10 == 0) REQUIRE(::fchmod(fd, i % 20 == 0 ? 0600 : 0644) == 0);  // brings back attributes with the old size
    if (i % 25 == 0) REQUIRE(::fsync(fd) == 0);
  }
  ::close(fd);
  CHECK(read_file(mounted / "f").size() == 1'000);
}

TEST_CASE("A time set by hand is not overtaken by pages written before") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::write(fd, "dirty", 5) == 5);
  const timespec times[2] = {{100, 1}, {200, 2}};
  REQUIRE(::futimens(fd, times) == 0);
  REQUIRE(::fsync(fd) == 0);
  ::close(fd);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  struct stat about {};
  REQUIRE(::stat((mounted / "f").c_str(), &about) == 0);
  CHECK(about.st_mtim.tv_sec == 200);
  CHECK(about.st_mtim.tv_nsec == 2);
}

TEST_CASE("du is right as soon as a file is closed") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", std::string(1 << 20, 'x'));
  struct stat about {};
  REQUIRE(::stat((mounted / "f").c_str(), &about) == 0);
  CHECK(about.st_blocks * 512 == 1 << 20);
}

TEST_CASE("open_by_handle_at finds a file again by its handle") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  run("mkdir -p " + (mounted / "a/b"));
  write_file(mounted / "a/b/f", "by handle");
  alignas(file_handle) char storage[sizeof(file_handle) + 128] = {};
  auto* handle = reinterpret_cast<file_handle*>(storage);
  handle->handle_bytes = 128;
  int mount_id = 0;
  REQUIRE(::name_to_handle_at(AT_FDCWD, (mounted / "a/b/f").c_str(), handle, &mount_id, 0) == 0);
  run("echo 2 > /proc/sys/vm/drop_caches");
  int root = ::open(mounted.path().c_str(), O_RDONLY | O_DIRECTORY);
  int fd = ::open_by_handle_at(root, handle, O_RDONLY);
  REQUIRE(fd >= 0);
  char text[16] = {};
  CHECK(::read(fd, text, 9) == 9);
  CHECK(std::string(text) == "by handle");
  ::close(fd);
  REQUIRE(::unlink((mounted / "a/b/f").c_str()) == 0);
  run("echo 2 > /proc/sys/vm/drop_caches");
  CHECK(::open_by_handle_at(root, handle, O_RDONLY) == -1);
  CHECK(errno == ESTALE);
  ::close(root);
}
