// Marks through the mount: what they contain, and what the ioctl and the library answer.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tidemark/mark.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include "tests/fs/mounted.h"

using namespace tidemark::test;

namespace {

int mark(const std::string& path, const char* name, const char* wait = nullptr, uint32_t timeout_ms = 0,
         uint64_t* seq = nullptr) {
  return ::tidemark_mark_path(path.c_str(), name, nullptr, wait, timeout_ms, seq) == 0 ? 0 : errno;
}

}  // namespace

TEST_CASE("A mark contains what was written before it, though nobody synced") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000});
  constexpr int kFiles = 40;
  std::vector<int> files;
  for (int i = 0; i < kFiles; ++i) {
    files.push_back(::open((mounted / ("f" + std::to_string(i))).c_str(), O_RDWR | O_CREAT, 0600));
    REQUIRE(files.back() >= 0);
  }
  for (int round = 0; round < 10; ++round) {
    const std::string content(50'000 + static_cast<size_t>(round), static_cast<char>('a' + round));
    for (int fd : files) REQUIRE(::pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
    const std::string name = "round-" + std::to_string(round);
    uint64_t seq = 0;
    REQUIRE(mark(mounted.path(), name.c_str(), "local", 0, &seq) == 0);
    CHECK(seq > 0);
    CHECK(mounted.seqs().durable >= seq);
    for (int i = 0; i < kFiles; ++i) {
      CHECK(read_file(mounted / (".tidemark/at/" + name + "/f" + std::to_string(i))) == content);
    }
  }
  for (int fd : files) ::close(fd);
}

TEST_CASE("A mark contains dirty mappings, unlinked files' neighbours and files renamed while open") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000});
  int fd = ::open((mounted / "old").c_str(), O_RDWR | O_CREAT, 0644);
  int gone = ::open((mounted / "gone").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::ftruncate(fd, 8192) == 0);
  auto* map = static_cast<char*>(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  REQUIRE(::unlink((mounted / "gone").c_str()) == 0);
  REQUIRE(::write(gone, "x", 1) == 1);
  REQUIRE(::rename((mounted / "old").c_str(), (mounted / "new").c_str()) == 0);
  map[5000] = 'm';
  REQUIRE(::pwrite(fd, "w", 1, 100) == 1);
  REQUIRE(mark(mounted / "new", "good") == 0);
  const std::string content = read_file(mounted / ".tidemark/at/good/new");
  CHECK((content[5000] == 'm' && content[100] == 'w'));
  ::munmap(map, 8192);
  ::close(fd);
  ::close(gone);
  // The flush's own way to the inodes leaves nothing behind.
  for (int i = 0; i < 100 && mounted.seqs().unnamed > 0; ++i) ::usleep(20'000);
  CHECK(mounted.seqs().unnamed == 0);
}

TEST_CASE("A mark contains every write that returned before it, while others go on writing and truncating") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000});
  const std::string path = mounted / "busy";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0644);
  std::atomic<bool> stop{false};
  // Truncations beyond the written part, and syncs: both hold the file's writeback back for moments.
  std::thread disturber([&] {
    for (off_t i = 0; !stop; ++i) {
      if (::ftruncate(fd, (1 << 20) + i % 7 * 4096) != 0) break;
      if (i % 5 == 0 && ::fsync(fd) != 0) break;
    }
  });
  for (uint64_t round = 1; round <= 60; ++round) {
    for (off_t at = 0; at < (1 << 20); at += 64 << 10) REQUIRE(::pwrite(fd, &round, sizeof round, at) == sizeof round);
    const std::string name = "m" + std::to_string(round);
    REQUIRE(mark(mounted.path(), name.c_str()) == 0);
    const std::string content = read_file(mounted / (".tidemark/at/" + name + "/busy"));
    for (size_t at = 0; at < (1 << 20); at += 64 << 10) {
      uint64_t got = 0;
      std::memcpy(&got, content.data() + at, sizeof got);
      CHECK(got == round);
    }
  }
  stop = true;
  disturber.join();
  ::close(fd);
}

// syncfs(2) alone returns while the last pages are still on their way to the daemon; this fails where a mark relies on it.
TEST_CASE("A mark contains every page of a large file that is dirty all over") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000});
  constexpr size_t kPiece = 1 << 20;
  constexpr int kPieces = 64;
  int fd = ::open((mounted / "large").c_str(), O_RDWR | O_CREAT, 0644);
  std::mt19937_64 random(1);
  std::string piece(kPiece, '\0');
  for (uint64_t round = 1; round <= 3; ++round) {
    for (size_t at = 0; at < kPiece; at += 8) {
      const uint64_t word = random();
      std::memcpy(piece.data() + at, &word, 8);
    }
    for (int i = 0; i < kPieces; ++i) {
      piece[0] = static_cast<char>(i);
      REQUIRE(::pwrite(fd, piece.data(), kPiece, static_cast<off_t>(i) * static_cast<off_t>(kPiece)) ==
              static_cast<ssize_t>(kPiece));
    }
    const std::string name = "round-" + std::to_string(round);
    REQUIRE(mark(mounted.path(), name.c_str()) == 0);
    const std::string content = read_file(mounted / (".tidemark/at/" + name + "/large"));
    REQUIRE(content.size() == kPieces * kPiece);
    for (int i = 0; i < kPieces; ++i) {
      piece[0] = static_cast<char>(i);
      CHECK((content.compare(static_cast<size_t>(i) * kPiece, kPiece, piece) == 0));
    }
  }
  ::close(fd);
}

TEST_CASE("With -o sync, too, a mark contains dirty mappings") {
  if (!can_mount()) return;
  Mounted mounted({.options = {"sync"}});
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::ftruncate(fd, 8192) == 0);
  auto* map = static_cast<char*>(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  map[5000] = 'm';
  REQUIRE(mark(mounted.path(), "good") == 0);
  CHECK(read_file(mounted / ".tidemark/at/good/f")[5000] == 'm');
  ::munmap(map, 8192);
  ::close(fd);
}

TEST_CASE("A page that nobody was told is lost costs a mark, once") {
  if (!can_mount()) return;
  Mounted mounted({.sync_pair = true});
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::write(fd, "lost", 4) == 4);
  mounted.site("lost");  // writes are refused
  ::sync();              // tells nobody
  ::usleep(300'000);
  mounted.site("quick");
  CHECK(mark(mounted.path(), "first") == EIO);
  CHECK(::access((mounted / ".tidemark/at/first").c_str(), F_OK) == -1);
  REQUIRE(::pwrite(fd, "kept", 4, 0) == 4);
  CHECK(mark(mounted.path(), "second") == 0);
  CHECK(read_file(mounted / ".tidemark/at/second/f") == "kept");
  ::close(fd);
}

TEST_CASE("Marks beside processes that open, change, close and remove files") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000});
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  for (int who = 0; who < 6; ++who) {
    others.emplace_back([&, who] {
      for (int i = 0; !stop; ++i) {
        const std::string path = mounted / ("o" + std::to_string(who) + "-" + std::to_string(i % 3));
        std::ofstream(path) << i;
        if (i % 2 == 0) ::unlink(path.c_str());
      }
    });
  }
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  for (int i = 0; i < 200; ++i) {
    const std::string content = std::to_string(1'000'000 + i), name = "m" + std::to_string(i);
    REQUIRE(::pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
    REQUIRE(mark(mounted.path(), name.c_str()) == 0);
    if (i % 20 == 0) CHECK(read_file(mounted / (".tidemark/at/" + name + "/f")) == content);
  }
  stop = true;
  for (std::thread& other : others) other.join();
  ::close(fd);
  CHECK(mounted.unmount() == 0);
}

TEST_CASE("What is written after a mark is not in it") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "before");
  REQUIRE(mark(mounted.path(), "here") == 0);
  write_file(mounted / "f", "after");
  run("sync " + (mounted / "f"));
  CHECK(read_file(mounted / ".tidemark/at/here/f") == "before");
  CHECK(read_file(mounted / "f") == "after");
}

TEST_CASE("The ioctl's answers") {
  if (!can_mount()) return;
  Mounted mounted({.site = "berlin"});
  write_file(mounted / "f", "x");
  const std::string root = mounted.path();
  CHECK(mark(root, "one") == 0);
  CHECK(mark(root, "one") == EEXIST);
  CHECK(mark(root, "a/b") == EINVAL);
  CHECK(mark(root, "") == EINVAL);
  CHECK(mark(root, "latest") == EINVAL);
  CHECK(mark(root, "two", "paris") == ENOENT);
  CHECK(mark(root, "two", std::string(64, 's').c_str()) == ENOENT);
  CHECK(mark(mounted / "f", "two") == 0);  // no mark was made by the two before
  const auto begin = std::chrono::steady_clock::now();
  CHECK(mark(root, "three", "berlin", 300) == ETIMEDOUT);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
  CHECK(mark(root, "three") == EEXIST);  // made, though not confirmed
  uint64_t seq = 0;
  CHECK(::tidemark_mark_path(root.c_str(), "unconfirmed", nullptr, "berlin", 100, &seq) == -1);
  CHECK(errno == ETIMEDOUT);
  CHECK(seq > 0);
  CHECK(mark(root, "four", "all", 200) == ETIMEDOUT);
  CHECK(mark(mounted.scratch().path(), "five") == ENOTTY);
  CHECK(mark(mounted / "absent", "five") == ENOENT);
  CHECK(mark(mounted / ".tidemark/at/one", "six") == 0);  // any directory of the mount
  CHECK(::tidemark_mark(-1, "seven", nullptr, nullptr, 0, nullptr) == -1);
  CHECK(errno == EBADF);
}

TEST_CASE("A structure of another size, or text without an end, is refused") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open(mounted.path().c_str(), O_RDONLY | O_DIRECTORY);
  tidemark_mark_request request{};
  std::strcpy(request.name, "name");
  request.struct_size = sizeof request - 8;
  CHECK(::ioctl(fd, TIDEMARK_IOC_MARK, &request) == -1);
  CHECK(errno == EINVAL);
  request.struct_size = sizeof request;
  request.reserved[3] = 1;
  CHECK(::ioctl(fd, TIDEMARK_IOC_MARK, &request) == -1);
  request.reserved[3] = 0;
  std::memset(request.note, 'n', sizeof request.note);
  CHECK(::ioctl(fd, TIDEMARK_IOC_MARK, &request) == -1);
  request.note[4096] = 0;
  CHECK(::ioctl(fd, TIDEMARK_IOC_MARK, &request) == 0);
  CHECK(request.mark_id > 0);
  CHECK(request.seq > 0);
  CHECK(::ioctl(fd, _IO('T', 0x4e), &request) == -1);
  CHECK(errno == ENOTTY);
  ::close(fd);
}

TEST_CASE("Any user who can open something in the mount can mark it") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  CHECK(as_user(4711, [&] { return mark(mounted.path(), "by-user"); }) == 0);
}

TEST_CASE("Waiting for a site starves nobody, and a killed waiter lets go") {
  if (!can_mount()) return;
  Mounted mounted({.site = "berlin"});
  write_file(mounted / "f", "x");
  std::vector<pid_t> waiting;
  for (int i = 0; i < 30; ++i) {
    pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(mark(mounted.path(), ("w" + std::to_string(i)).c_str(), "berlin", 60'000));
    waiting.push_back(child);
  }
  ::usleep(300'000);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) write_file(mounted / ("g" + std::to_string(i)), "served meanwhile");
  CHECK(read_file(mounted / "f") == "x");
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
  for (pid_t child : waiting) ::kill(child, SIGKILL);
  for (pid_t child : waiting) {
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("Many marks at once, all different, all made") {
  if (!can_mount()) return;
  Mounted mounted;
  std::vector<std::thread> threads;
  std::atomic<int> made{0};
  for (int who = 0; who < 8; ++who) {
    threads.emplace_back([&, who] {
      for (int i = 0; i < 10; ++i) {
        std::ofstream(mounted / ("t" + std::to_string(who))) << i;  // Catch2's macros are for the main thread
        if (mark(mounted.path(), ("t" + std::to_string(who) + "-" + std::to_string(i)).c_str()) == 0) ++made;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(made == 80);
  for (int who = 0; who < 8; ++who) {
    const std::string t = "t" + std::to_string(who);
    for (int i = 0; i < 10; ++i)
      CHECK(read_file(mounted / (".tidemark/at/" + t + "-" + std::to_string(i) + "/" + t)) == std::to_string(i));
  }
}

TEST_CASE("The daemon itself marks through the same path") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000, .site = "berlin"});
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::write(fd, "dirty", 5) == 5);
  CHECK(mounted.mark("own") == "");
  CHECK(read_file(mounted / ".tidemark/at/own/f") == "dirty");
  CHECK(mounted.mark("own") == "exists");
  CHECK(mounted.mark("other", "paris") == "not-found");
  CHECK(mounted.mark("late", "berlin") == "made, timeout");
  ::close(fd);
  CHECK(mounted.unmount() == 0);  // marks leave nothing open
}
