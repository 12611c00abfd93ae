// Requests that wait for a slow site hold nobody up, and what they did is seen even where they fail.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "tests/fs/mounted.h"

using namespace tidemark::test;
using namespace std::chrono_literals;

namespace {

constexpr size_t kMany = 60;  // more than a mount has threads

// Processes of their own, each doing one thing that waits.
class Waiting {
 public:
  void add(const std::function<int()>& body) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(body());
    children_.push_back(child);
  }
  // Whether none has ended.
  [[nodiscard]] bool all_wait() const {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
  }
  // How many ended with 0.
  size_t succeeded() {
    size_t good = 0;
    for (pid_t child : children_) {
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) ++good;
    }
    children_.clear();
    return good;
  }
  ~Waiting() {
    for (pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
  }

 private:
  std::vector<pid_t> children_;
};

// Everything an ordinary user of the mount does meanwhile; false where it takes longer than a slow machine explains.
bool others_go_on(const Mounted& mounted, const std::string& name) {
  Waiting other;
  other.add([&] {
    if (::mkdir((mounted / name).c_str(), 0755) != 0) return 1;
    const int fd = ::open((mounted / (name + "/f")).c_str(), O_RDWR | O_CREAT, 0644);
    if (fd < 0 || ::write(fd, "x", 1) != 1 || ::close(fd) != 0) return 2;
    struct stat about {};
    return ::stat((mounted / (name + "/f")).c_str(), &about) == 0 ? 0 : 3;
  });
  for (int tenths = 0; tenths < 200; ++tenths) {
    std::this_thread::sleep_for(100ms);
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) return other.succeeded() == 1;
  }
  return false;
}

}  // namespace

TEST_CASE("However many wait for a slow site with fsync, others go on") {
  if (!can_mount()) return;
  Mounted mounted({.sync_pair = true});
  mounted.site("slow");
  Waiting waiting;
  for (size_t i = 0; i < kMany; ++i) {
    waiting.add([&] {
      const int fd = ::open((mounted / std::to_string(i)).c_str(), O_RDWR | O_CREAT, 0644);
      return fd >= 0 && ::write(fd, "x", 1) == 1 && ::fsync(fd) == 0 ? 0 : 1;
    });
  }
  std::this_thread::sleep_for(1s);
  CHECK(waiting.all_wait());
  CHECK(others_go_on(mounted, "meanwhile"));
  CHECK(waiting.all_wait());
  mounted.site("quick");
  CHECK(waiting.succeeded() == kMany);
}

TEST_CASE("With -o sync whatever waits for a slow site, others go on reading") {
  if (!can_mount()) return;
  Mounted mounted({.options = {"sync"}, .sync_pair = true});
  REQUIRE(::mkdir((mounted / "d").c_str(), 0755) == 0);
  write_file(mounted / "d/there", "x");
  for (size_t i = 0; i < kMany; ++i) {
    REQUIRE(::mkdir((mounted / std::to_string(i)).c_str(), 0755) == 0);
    write_file(mounted / (std::to_string(i) + "/f"), "x");
  }
  mounted.site("slow");
  Waiting waiting;
  for (size_t i = 0; i < kMany; ++i) {
    const std::string base = mounted / std::to_string(i);
    waiting.add([base, i] {
      switch (i % 6) {
        case 0: return ::setxattr((base + "/f").c_str(), "user.x", "y", 1, 0);
        case 1: return ::open(base.c_str(), O_TMPFILE | O_RDWR, 0600) >= 0 ? 0 : 1;
        case 2: return ::unlink((base + "/f").c_str());
        case 3: return ::mkdir((base + "/new").c_str(), 0755);
        case 4: return ::chmod((base + "/f").c_str(), 0600);
        default: return ::rename((base + "/f").c_str(), (base + "/g").c_str());
      }
    });
  }
  std::this_thread::sleep_for(1s);
  CHECK(waiting.all_wait());
  Waiting reader;
  reader.add([&] {
    struct stat about {};
    const int fd = ::open((mounted / "d/there").c_str(), O_RDONLY);
    char byte = 0;
    return fd >= 0 && ::read(fd, &byte, 1) == 1 && ::stat((mounted / "d/not there").c_str(), &about) == -1 ? 0 : 1;
  });
  CHECK(reader.succeeded() == 1);
  mounted.site("quick");
  CHECK(waiting.succeeded() == kMany);
}

TEST_CASE("What took effect but did not become durable in time is an error, and is seen") {
  if (!can_mount()) return;
  Mounted mounted({.options = {"sync"}, .sync_pair = true});
  write_file(mounted / "old", "content");
  write_file(mounted / "moved", "content");
  ::chmod((mounted / "old").c_str(), 0644);
  struct stat about {};
  const auto there = [&](const char* name) { return ::stat((mounted / name).c_str(), &about) == 0; };
  // The kernel remembers all of this for a day.
  CHECK_FALSE(there("new"));
  CHECK_FALSE(there("target"));
  CHECK(there("old"));
  CHECK(there("moved"));
  mounted.site("slow");
  Waiting waiting;
  waiting.add([&] { return ::mkdir((mounted / "new").c_str(), 0755) == -1 && errno == EROFS ? 0 : 1; });
  waiting.add(
      [&] { return ::rename((mounted / "moved").c_str(), (mounted / "target").c_str()) == -1 && errno == EROFS ? 0 : 1; });
  waiting.add([&] { return ::chmod((mounted / "old").c_str(), 0600) == -1 && errno == EROFS ? 0 : 1; });
  // Each has to have taken effect before the site is lost; they wait for each other in the directory, so one may have not.
  std::this_thread::sleep_for(2s);
  mounted.site("lost");
  waiting.succeeded();
  mounted.site("quick");
  // What the log says now is what a new mount would show.
  const auto shown = [&] {
    std::string all;
    for (const char* name : {"new", "moved", "target"}) all += there(name) ? "1" : "0";
    CHECK(there("old"));
    return all + " " + std::to_string(about.st_mode & 0777);
  };
  std::string before;
  for (int tenths = 0; tenths < 50; ++tenths) {  // the kernel is told a moment after the error
    before = shown();
    std::this_thread::sleep_for(100ms);
  }
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  CHECK(shown() == before);
  CHECK(before != "010 420");  // control: something took effect
}
