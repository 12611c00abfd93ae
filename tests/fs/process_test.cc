// Several processes at one file: shared mappings, locks of every kind, O_DIRECT beside the cache. Beside a native directory.
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstring>
#include <random>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

// Runs in a child; true for what it returned as 0.
int in_child(const std::function<int()>& body) { return as_user(::geteuid(), body); }

struct flock range(short type, off_t from, off_t size) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = from;
  lock.l_len = size;
  return lock;
}

}  // namespace

TEST_CASE("Two processes share a mapping, and see what is written beside it") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    constexpr size_t kSize = 64 << 10;
    constexpr int kRounds = 2000;
    int fd = ::open(t.at("f").c_str(), O_RDWR | O_CREAT, 0644);
    ::ftruncate(fd, kSize);
    auto* map = static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    // A turn-taking counter in one page, and bytes of both in another.
    auto* turn = reinterpret_cast<std::atomic<int>*>(map);
    const auto play = [&](char* shared, std::atomic<int>* counter, int parity, char mine) {
      for (int i = parity; i < kRounds; i += 2) {
        while (counter->load() != i) ::sched_yield();
        if (i > 0 && shared[8192 + i - 1] == 0) return 1;
        shared[8192 + i] = mine;
        counter->store(i + 1);
      }
      return 0;
    };
    const pid_t child = ::fork();
    if (child == 0) {
      int other = ::open(t.at("f").c_str(), O_RDWR);
      auto* theirs = static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0));
      ::_exit(play(theirs, reinterpret_cast<std::atomic<int>*>(theirs), 1, 'b'));
    }
    t.call("parent", play(map, turn, 0, 'a'));
    int status = 0;
    ::waitpid(child, &status, 0);
    t.note("child " + std::to_string(WEXITSTATUS(status)));
    char byte = 0;
    t.call("pread of what is mapped", ::pread(fd, &byte, 1, 8192 + 7));
    t.note(std::string(1, byte));
    t.call("msync", ::msync(map, kSize, MS_SYNC));
    ::munmap(map, kSize);
    ::close(fd);
    t.content("f");
  });
}

TEST_CASE("A mapping beyond the end, after a truncation, and of a file that is gone") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    const auto faults = [&](off_t size, size_t at) {
      return in_child([&] {
        int fd = ::open(t.at("f").c_str(), O_RDWR | O_CREAT, 0644);
        ::ftruncate(fd, 16 << 10);
        auto* map = static_cast<volatile char*>(::mmap(nullptr, 16 << 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        map[at] = 'x';
        ::ftruncate(fd, size);
        ::signal(SIGBUS, [](int) { ::_exit(7); });
        const char found = map[at];
        return found == 'x' ? 0 : 1;
      });
    };
    t.note("within: " + std::to_string(faults(8192, 5000)));
    t.note("cut off, same page: " + std::to_string(faults(5000, 5001)));
    t.note("cut off, another page: " + std::to_string(faults(4096, 5000)));
    write_file(t.at("gone"), std::string(8192, 'g'));
    int fd = ::open(t.at("gone").c_str(), O_RDWR);
    auto* map = static_cast<char*>(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ::unlink(t.at("gone").c_str());
    map[0] = 'G';
    char two[2] = {};
    t.call("read what is gone", ::pread(fd, two, 2, 0));
    t.note(std::string(two, 2));
    t.call("msync what is gone", ::msync(map, 8192, MS_SYNC));
    ::munmap(map, 8192);
    ::close(fd);
    int reader = ::open(t.at("f").c_str(), O_RDONLY);
    t.note(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED ? "refused" : "mapped");
    t.note(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0) == MAP_FAILED ? "refused" : "mapped");
    ::close(reader);
  });
}

TEST_CASE("Locks of open file descriptions, ranges, upgrades and deadlocks") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    int one = ::open(t.at("f").c_str(), O_RDWR | O_CREAT, 0644);
    int two = ::open(t.at("f").c_str(), O_RDWR);
    auto write_low = range(F_WRLCK, 0, 100), read_low = range(F_RDLCK, 0, 100), write_high = range(F_WRLCK, 50, 100);
    t.call("OFD lock", ::fcntl(one, F_OFD_SETLK, &write_low));
    t.call("OFD lock of the other description", ::fcntl(two, F_OFD_SETLK, &write_high));
    t.call("POSIX lock against an OFD lock", ::fcntl(two, F_SETLK, &write_high));
    t.call("downgrade", ::fcntl(one, F_OFD_SETLK, &read_low));
    t.call("two readers", ::fcntl(two, F_OFD_SETLK, &read_low));
    t.call("upgrade beside a reader", ::fcntl(one, F_OFD_SETLK, &write_low));
    auto asked = range(F_WRLCK, 10, 1);
    t.call("who holds it", ::fcntl(one, F_OFD_GETLK, &asked));
    t.note("type " + std::to_string(asked.l_type) + " pid " + std::to_string(asked.l_pid) + " from " +
           std::to_string(asked.l_start) + " size " + std::to_string(asked.l_len));
    const int inherited = in_child([&] {
      auto same = range(F_RDLCK, 0, 100);
      return ::fcntl(two, F_OFD_SETLK, &same) == 0 ? 0 : errno;  // the same description: its own lock
    });
    t.note("inherited: " + std::to_string(inherited));
    ::close(two);
    t.call("after the other was closed", ::fcntl(one, F_OFD_SETLK, &write_low));
    ::close(one);
  });
}

TEST_CASE("Locks of processes: freed by close and by death, waited for") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), "x");
    int fd = ::open(t.at("f").c_str(), O_RDWR);
    auto mine = range(F_WRLCK, 0, 10);
    t.call("lock", ::fcntl(fd, F_SETLK, &mine));
    const auto try_in_child = [&](short type, off_t from, off_t size) {
      return std::to_string(in_child([&] {
        int own = ::open(t.at("f").c_str(), O_RDWR);
        auto wanted = range(type, from, size);
        return ::fcntl(own, F_SETLK, &wanted) == 0 ? 0 : errno;
      }));
    };
    t.note("within " + try_in_child(F_WRLCK, 5, 1) + ", beside " + try_in_child(F_WRLCK, 10, 0) + ", reading " +
           try_in_child(F_RDLCK, 0, 1));
    auto middle = range(F_UNLCK, 4, 2);
    t.call("unlock the middle", ::fcntl(fd, F_SETLK, &middle));
    t.note("middle " + try_in_child(F_WRLCK, 4, 2) + ", left " + try_in_child(F_WRLCK, 3, 2));
    ::close(::open(t.at("f").c_str(), O_RDONLY));  // POSIX: any close of the file frees all of the process's locks
    t.note("after another close " + try_in_child(F_WRLCK, 0, 10));
    // A child that holds a lock and a flock dies; both are free, and a waiter gets them.
    int ready[2];
    ::pipe(ready);
    const pid_t holder = ::fork();
    if (holder == 0) {
      int own = ::open(t.at("f").c_str(), O_RDWR);
      auto wanted = range(F_WRLCK, 0, 0);
      if (::fcntl(own, F_SETLK, &wanted) == 0 && ::flock(own, LOCK_EX) == 0) ::write(ready[1], "r", 1);
      ::usleep(200'000);
      ::raise(SIGKILL);
    }
    char byte = 0;
    ::read(ready[0], &byte, 1);
    auto all = range(F_WRLCK, 0, 0);
    t.call("not yet", ::fcntl(fd, F_SETLK, &all));
    t.call("waited for", ::fcntl(fd, F_SETLKW, &all));
    ::waitpid(holder, nullptr, 0);
    t.call("flock of the dead", ::flock(fd, LOCK_EX | LOCK_NB));
    ::close(ready[0]);
    ::close(ready[1]);
    ::close(fd);
  });
}

// The kernel itself drops cached pages after a synchronous direct write, but not after an asynchronous one.
TEST_CASE("An asynchronous direct write is seen through the cache, though others read all the time") {
  if (!can_mount()) return;
  Mounted mounted;
  constexpr size_t kSize = 640 << 10;
  const std::string path = mounted / "f";
  write_file(path, std::string(kSize, 'a'));
  std::vector<pid_t> readers;
  for (int i = 0; i < 2; ++i) {
    readers.push_back(::fork());
    if (readers.back() != 0) continue;
    std::vector<char> all(kSize);
    for (int fd = ::open(path.c_str(), O_RDONLY);;) ::pread(fd, all.data(), kSize, 0);
  }
  int direct = ::open(path.c_str(), O_RDWR | O_DIRECT), cached = ::open(path.c_str(), O_RDONLY);
  void* memory = nullptr;
  REQUIRE(::posix_memalign(&memory, 4096, kSize) == 0);
  aio_context_t context = 0;
  REQUIRE(::syscall(SYS_io_setup, 1, &context) == 0);
  int stale = 0;
  std::string seen(kSize, '\0');
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(4);
  for (char fill = 'b'; std::chrono::steady_clock::now() < until; fill = fill == 'z' ? 'a' : static_cast<char>(fill + 1)) {
    std::memset(memory, fill, kSize);
    iocb request{};
    request.aio_lio_opcode = IOCB_CMD_PWRITE;
    request.aio_fildes = static_cast<uint32_t>(direct);
    request.aio_buf = reinterpret_cast<uint64_t>(memory);
    request.aio_nbytes = kSize;
    iocb* requests[] = {&request};
    io_event event{};
    REQUIRE(::syscall(SYS_io_submit, context, 1, requests) == 1);
    REQUIRE(::syscall(SYS_io_getevents, context, 1, 1, &event, nullptr) == 1);
    REQUIRE(event.res == static_cast<int64_t>(kSize));
    REQUIRE(::pread(cached, seen.data(), kSize, 0) == static_cast<ssize_t>(kSize));
    if (seen != std::string(kSize, fill)) ++stale;
  }
  CHECK(stale == 0);
  for (pid_t reader : readers) {
    ::kill(reader, SIGKILL);
    ::waitpid(reader, nullptr, 0);
  }
  ::syscall(SYS_io_destroy, context);
  ::free(memory);
  ::close(direct);
  ::close(cached);
}

// What is mixed at random, one call after the other: buffered, direct and mapped reads and writes, truncations, holes.
TEST_CASE("O_DIRECT, the cache and a mapping agree about a file, whatever was done through which") {
  if (!can_mount()) return;
  Mounted mounted;
  constexpr off_t kSize = 256 << 10;
  const uint32_t seed = static_cast<uint32_t>(Catch::rngSeed());
  INFO("seed " << seed);
  same_as_native(mounted, [&](Trace& t) {
    std::mt19937 random(seed);
    int cached = ::open(t.at("f").c_str(), O_RDWR | O_CREAT, 0644);
    int direct = ::open(t.at("f").c_str(), O_RDWR | O_DIRECT);
    ::ftruncate(cached, kSize);
    auto* map = static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, cached, 0));
    void* memory = nullptr;
    REQUIRE(::posix_memalign(&memory, 4096, kSize) == 0);
    auto* buffer = static_cast<char*>(memory);
    for (int i = 0; i < 1500; ++i) {
      const bool aligned = random() % 2 == 0;
      const off_t unit = aligned ? 4096 : 1;
      const off_t at = static_cast<off_t>(random() % kSize) / unit * unit;
      const off_t size =
          std::min<off_t>(kSize - at, (1 + static_cast<off_t>(random() % 30'000)) / unit * unit + (aligned ? 4096 : 0));
      const auto fill = static_cast<char>(random());
      const auto bytes = static_cast<size_t>(size);
      const auto see = [&](const char* what, ssize_t got) {
        t.call(what, got);
        t.note(std::to_string(std::hash<std::string>{}(std::string(buffer, got > 0 ? static_cast<size_t>(got) : 0))));
      };
      switch (random() % 7) {
        case 0: std::memset(buffer, fill, bytes), t.call("write", ::pwrite(cached, buffer, bytes, at)); break;
        case 1: std::memset(map + at, fill, bytes); break;
        case 2:
          if (aligned) std::memset(buffer, fill, bytes), t.call("direct write", ::pwrite(direct, buffer, bytes, at));
          break;
        case 3:
          if (aligned) see("direct read", ::pread(direct, buffer, bytes, at));
          break;
        case 4: see("read", ::pread(cached, buffer, bytes, at)); break;
        case 5: std::memcpy(buffer, map + at, bytes), see("mapped", size); break;
        default: t.call("punch", ::fallocate(cached, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size));
      }
    }
    ::free(memory);
    ::munmap(map, kSize);
    ::close(direct);
    ::close(cached);
    t.content("f");
  });
}
