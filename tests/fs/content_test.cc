// Bytes: what is written is read, in every way there is.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <thread>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

std::string noise(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

}  // namespace

TEST_CASE("Random writes, truncations and reads, in many sizes") {
  if (!can_mount()) return;
  Mounted mounted;
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    same_as_native(mounted, [seed](Trace& t) {
      std::mt19937 random(seed);
      int fd = ::open(t.at("f").c_str(), O_RDWR | O_CREAT, 0644);
      std::vector<char> buffer(300'000);
      for (int i = 0; i < 400; ++i) {
        const off_t at = random() % 2'000'000;
        const size_t size = 1 + random() % (i % 10 == 0 ? buffer.size() : 9000);
        switch (random() % 8) {
          case 0: t.call("truncate", ::ftruncate(fd, at)); break;
          case 1: {
            const ssize_t got = t.call("read", ::pread(fd, buffer.data(), size, at));
            t.note(std::to_string(
                std::hash<std::string>{}(std::string(buffer.data(), got > 0 ? static_cast<size_t>(got) : 0))));
            break;
          }
          case 2:
            if (random() % 4 == 0) ::fsync(fd);
            if (random() % 4 == 0) ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            break;
          default: {
            const std::string data = noise(size, static_cast<uint32_t>(random()));
            t.call("write", ::pwrite(fd, data.data(), data.size(), at));
          }
        }
      }
      ::close(fd);
      t.stat("f");
      t.content("f");
    });
  }
}

TEST_CASE("Content survives a remount") {
  if (!can_mount()) return;
  Mounted mounted;
  const std::string content = noise(3'000'001, 7);
  write_file(mounted / "f", content);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  CHECK(read_file(mounted / "f") == content);
}

TEST_CASE("A sparse file beyond 4 GiB takes no space where it has nothing") {
  if (!can_mount()) return;
  Mounted mounted;
  const off_t far = (off_t{5} << 30) + 123;
  int fd = ::open((mounted / "sparse").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::pwrite(fd, "end", 3, far) == 3);
  REQUIRE(::pwrite(fd, "begin", 5, 0) == 5);
  REQUIRE(::fsync(fd) == 0);
  ::close(fd);
  struct stat about {};
  REQUIRE(::stat((mounted / "sparse").c_str(), &about) == 0);
  CHECK(about.st_size == far + 3);
  CHECK(about.st_blocks <= 16);
  fd = ::open((mounted / "sparse").c_str(), O_RDONLY);
  char text[8] = {};
  CHECK(::pread(fd, text, 8, far - 5) == 8);
  CHECK(std::string(text + 5, 3) == "end");
  CHECK(std::string(text, 5) == std::string(5, '\0'));
  ::close(fd);
}

TEST_CASE("A file may be as large as the kernel lets it be, and its size is the same after a remount") {
  if (!can_mount()) return;
  Mounted mounted;
  constexpr off_t kMost = INT64_MAX;
  int fd = ::open((mounted / "large").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::ftruncate(fd, off_t{1} << 57) == 0);
  REQUIRE(::pwrite(fd, "end", 3, kMost - 3) == 3);
  CHECK(::pwrite(fd, "x", 1, kMost) == -1);
  REQUIRE(::fsync(fd) == 0);
  ::close(fd);
  REQUIRE(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  struct stat about {};
  REQUIRE(::stat((mounted / "large").c_str(), &about) == 0);
  CHECK(about.st_size == kMost);
  CHECK(about.st_blocks == 8);
  fd = ::open((mounted / "large").c_str(), O_RDWR);
  char text[6] = {};
  CHECK(::pread(fd, text, 6, kMost - 6) == 6);
  CHECK(std::string(text, 6) == std::string(3, '\0') + "end");
  REQUIRE(::ftruncate(fd, 5) == 0);
  ::close(fd);
  // While it was open for writing its pages might have been dirty (fs/cache/telling.cc); the kernel tells of its end a moment later.
  for (int i = 0; i < 500; ++i) {
    REQUIRE(::stat((mounted / "large").c_str(), &about) == 0);
    if (about.st_blocks == 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(about.st_blocks == 0);
}

TEST_CASE("Growing after shrinking shows zeros, not what was there") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), std::string(10'000, 'x'));
    t.call("shrink", ::truncate(t.at("f").c_str(), 5'000));
    t.call("grow", ::truncate(t.at("f").c_str(), 12'000));
    t.content("f");
    t.call("below zero", ::truncate(t.at("f").c_str(), -1));
    t.call("a directory", ::truncate(t.at(".").c_str(), 0));
    int fd = ::open(t.at("f").c_str(), O_WRONLY | O_TRUNC);
    ::close(fd);
    t.stat("f");
  });
}

TEST_CASE("Shared mappings reach the file and other readers") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::ftruncate(fd, 20'000) == 0);
  auto* map = static_cast<char*>(::mmap(nullptr, 20'000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  REQUIRE(map != MAP_FAILED);
  map[0] = 'a';
  map[10'000] = 'b';
  map[19'999] = 'c';
  CHECK(read_file(mounted / "f")[10'000] == 'b');
  REQUIRE(::pwrite(fd, "W", 1, 5) == 1);
  CHECK(map[5] == 'W');
  REQUIRE(::msync(map, 20'000, MS_SYNC) == 0);
  ::munmap(map, 20'000);
  ::close(fd);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  const std::string content = read_file(mounted / "f");
  CHECK(content.size() == 20'000);
  CHECK((content[0] == 'a' && content[5] == 'W' && content[10'000] == 'b' && content[19'999] == 'c'));
}

TEST_CASE("A mapping that was never synced is in the file once it is closed") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::ftruncate(fd, 4096) == 0);
  auto* map = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ::close(fd);
  map[17] = '!';
  ::munmap(map, 4096);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  CHECK(read_file(mounted / "f")[17] == '!');
}

TEST_CASE("A program in the mount can be run") {
  if (!can_mount()) return;
  Mounted mounted;
  run("cp /bin/true " + (mounted / "program"));
  CHECK(run(mounted / "program") == "");
  write_file(mounted / "script", "#!/bin/sh\necho from the mount\n");
  REQUIRE(::chmod((mounted / "script").c_str(), 0755) == 0);
  CHECK(run(mounted / "script") == "from the mount\n");
}

TEST_CASE("fallocate, mode by mode") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    int fd = ::open(t.at("f").c_str(), O_RDWR | O_CREAT, 0644);
    const std::string data = noise(100'000, 3);
    ::pwrite(fd, data.data(), data.size(), 0);
    const auto call = [&](const char* what, int mode, off_t at, off_t size) {
      t.call(what, ::fallocate(fd, mode, at, size));
      t.stat("f");
      t.content("f");
    };
    call("within", 0, 10, 100);
    call("beyond", 0, 90'000, 30'001);
    call("keep size", FALLOC_FL_KEEP_SIZE, 200'000, 5'000);
    call("punch blocks", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 16384);
    call("punch odd bytes", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 40'001, 10'007);
    call("punch inside a block", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 60'001, 10);
    call("punch beyond the end", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 115'000, 100'000);
    call("zero", FALLOC_FL_ZERO_RANGE, 1'000, 5'000);
    call("zero beyond", FALLOC_FL_ZERO_RANGE, 119'000, 5'000);
    call("zero keeping size", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 120'000, 50'000);
    call("nothing", 0, 0, 0);
    call("negative", 0, -1, 5);
    ::close(fd);
    int reader = ::open(t.at("f").c_str(), O_RDONLY);
    t.call("read-only", ::fallocate(reader, 0, 0, 10));
    ::close(reader);
  });
}

TEST_CASE("fallocate of more than the disk can hold is refused, and changes nothing") {
  if (!can_mount()) return;
  Mounted mounted;
  struct statvfs disk {};
  REQUIRE(::statvfs(mounted.path().c_str(), &disk) == 0);
  const auto room = static_cast<off_t>(disk.f_bavail * disk.f_frsize);
  // Not beside a native file: ext4 fills the disk before it finds out.
  const std::string content = noise(1 << 20, 3);
  write_file(mounted / "f", content);
  int fd = ::open((mounted / "f").c_str(), O_RDWR);
  for (int mode : {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE}) {
    CHECK(::fallocate(fd, mode, 0, 2 * room) == -1);
    CHECK(errno == ENOSPC);
    struct stat about {};
    REQUIRE(::fstat(fd, &about) == 0);
    REQUIRE(about.st_size == 1 << 20);
  }
  CHECK(::fallocate(fd, 0, 0, off_t{1} << 57) == -1);
  CHECK(errno == ENOSPC);
  CHECK(::fallocate(fd, 0, INT64_MAX - 4096, 8192) == -1);
  CHECK(errno == EFBIG);
  ::close(fd);
  CHECK(read_file(mounted / "f") == content);
}

TEST_CASE("fallocate modes that move data are refused") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::ftruncate(fd, 100'000) == 0);
  CHECK(::fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096) == -1);
  CHECK(errno == EOPNOTSUPP);
  CHECK(::fallocate(fd, FALLOC_FL_INSERT_RANGE, 4096, 4096) == -1);
  CHECK(errno == EOPNOTSUPP);
  ::close(fd);
}

TEST_CASE("A punched hole gives its space back") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", noise(1 << 20, 9));
  int fd = ::open((mounted / "f").c_str(), O_RDWR);
  REQUIRE(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 19) == 0);
  ::close(fd);
  struct stat about {};
  REQUIRE(::stat((mounted / "f").c_str(), &about) == 0);
  CHECK(about.st_size == 1 << 20);
  CHECK(about.st_blocks == (1 << 19) / 512);
}

TEST_CASE("Preallocated blocks count in st_blocks, and give way to what is written") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  const auto blocks = [&] {
    struct stat about {};
    ::close(::dup(fd));  // the kernel keeps the number until somebody closes the file
    REQUIRE(::fstat(fd, &about) == 0);
    REQUIRE(about.st_blocks % 8 == 0);
    return about.st_blocks / 8;
  };
  REQUIRE(::fallocate(fd, FALLOC_FL_KEEP_SIZE, 4095, 2) == 0);  // a byte in each of two
  CHECK(blocks() == 2);
  REQUIRE(::pwrite(fd, "ab", 2, 4095) == 2);
  CHECK(blocks() == 2);
  REQUIRE(::fsync(fd) == 0);
  CHECK(blocks() == 2);
  REQUIRE(::fallocate(fd, 0, 0, 100 * 4096) == 0);
  CHECK(blocks() == 100);
  REQUIRE(::fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 50 * 4096) == 0);
  CHECK(blocks() == 100);
  REQUIRE(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * 4096, 20 * 4096) == 0);
  CHECK(blocks() == 80);
  REQUIRE(::pwrite(fd, "ab", 2, 20 * 4096) == 2);
  REQUIRE(::fsync(fd) == 0);
  CHECK(blocks() == 81);
  REQUIRE(::ftruncate(fd, 60 * 4096 - 5) == 0);
  CHECK(blocks() == 41);
  REQUIRE(::fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 30, 1 << 20) == 0);
  CHECK(blocks() == 41 + 256);
  ::close(fd);
  REQUIRE(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  fd = ::open((mounted / "f").c_str(), O_RDWR);
  CHECK(blocks() == 41 + 256);
  REQUIRE(::ftruncate(fd, 60 * 4096 - 5) == 0);  // what lies behind the end goes
  CHECK(blocks() == 41);
  REQUIRE(::ftruncate(fd, 0) == 0);
  CHECK(blocks() == 0);
  REQUIRE(::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20) == 0);
  CHECK(blocks() == 256);
  ::close(::open((mounted / "f").c_str(), O_WRONLY | O_TRUNC));
  CHECK(blocks() == 0);
  ::close(fd);
}

TEST_CASE("copy_file_range copies what is dirty, what is sparse and what overlaps nothing") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    int from = ::open(t.at("from").c_str(), O_RDWR | O_CREAT, 0644);
    int to = ::open(t.at("to").c_str(), O_RDWR | O_CREAT, 0644);
    const std::string data = noise(300'000, 5);
    ::pwrite(from, data.data(), data.size(), 0);
    ::pwrite(to, data.data(), 50'000, 0);
    const auto copy = [&](const char* what, int source, off64_t at, int target, off64_t to_at, size_t size) {
      t.call(what, ::copy_file_range(source, &at, target, &to_at, size, 0));
      t.content("to");
    };
    copy("aligned", from, 4096, to, 8192, 65'536);
    copy("unaligned", from, 1, to, 7, 100'000);
    copy("beyond the end of the source", from, 299'000, to, 400'000, 50'000);
    copy("nothing left", from, 300'000, to, 0, 100);
    copy("within one file", from, 0, from, 200'000, 50'000);
    copy("overlapping", from, 0, from, 1'000, 50'000);
    t.content("from");
    ::close(from);
    ::close(to);
  });
}

TEST_CASE("A clone takes no space in the log") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "from", noise(8 << 20, 11));
  int from = ::open((mounted / "from").c_str(), O_RDONLY);
  int to = ::open((mounted / "to").c_str(), O_WRONLY | O_CREAT, 0644);
  const uint64_t before = mounted.seqs().appended;
  off64_t zero = 0, target = 0;
  CHECK(::copy_file_range(from, &zero, to, &target, 8 << 20, 0) == 8 << 20);
  ::close(from);
  ::close(to);
  CHECK(mounted.seqs().appended - before < 10);
  CHECK(read_file(mounted / "to") == read_file(mounted / "from"));
}
