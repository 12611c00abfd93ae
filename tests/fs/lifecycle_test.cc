// Mounting and unmounting, cleanly and not.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tidemark/mark.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <thread>

#include "fs/mount.h"
#include "tests/fs/mounted.h"

using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("A mount is listed with its source, and gone after unmount") {
  if (!can_mount()) return;
  Mounted mounted;
  const auto listed = [&] {
    auto mounts = list_mounts();
    REQUIRE(mounts.ok());
    for (const MountedVolume& one : *mounts) {
      if (one.mountpoint == mounted.path()) return one.source;
    }
    return std::string();
  };
  CHECK(listed() == mounted.volume());
  CHECK(run("stat -f -c %T " + mounted.path()) == "fuseblk\n");
  CHECK(mounted.unmount() == 0);
  CHECK(listed() == "");
  CHECK(unmount(mounted.path(), false).code() == Code::kInvalid);
}

TEST_CASE("A directory in use is not unmounted, and it is said so") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  Status busy = unmount(mounted.path(), false);
  CHECK(busy.code() == Code::kBusy);
  CHECK(busy.text().find(mounted.path()) != std::string::npos);
  ::close(fd);
  CHECK(mounted.unmount() == 0);
}

TEST_CASE("After a lazy unmount the open file can still be written; the daemon ends with the last one") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(unmount(mounted.path(), true).ok());
  CHECK(::write(fd, "late", 4) == 4);
  CHECK(::fsync(fd) == 0);
  ::close(fd);
  CHECK(mounted.wait_for_end() == 0);
  REQUIRE(mounted.start({}) == "");
  CHECK(read_file(mounted / "f") == "late");
}

TEST_CASE("The mountpoint of a killed daemon is cleaned by the next mount, however often") {
  if (!can_mount()) return;
  Mounted mounted;
  for (int i = 0; i < 3; ++i) {
    write_file(mounted / "f", std::to_string(i));
    run("sync " + (mounted / "f"));
    mounted.kill();
    CHECK(::open((mounted / "f").c_str(), O_RDONLY) == -1);
    CHECK(errno == ENOTCONN);
    REQUIRE(mounted.start({}) == "");
    CHECK(read_file(mounted / "f") == std::to_string(i));
  }
  auto mounts = list_mounts();
  REQUIRE(mounts.ok());
  size_t here = 0;
  for (const MountedVolume& one : *mounts) here += one.mountpoint == mounted.path() ? 1 : 0;
  CHECK(here == 1);
}

TEST_CASE("A dead mountpoint can also be unmounted") {
  if (!can_mount()) return;
  Mounted mounted;
  mounted.kill();
  CHECK(unmount(mounted.path(), false).ok());
  CHECK(::access(mounted.path().c_str(), F_OK) == 0);
}

TEST_CASE("What cannot be mounted says why") {
  if (!can_mount()) return;
  Mounted first;
  Mounted other;
  CHECK(other.unmount() == 0);
  const auto why = [&](const std::string& mountpoint, std::vector<std::string> options = {}) {
    const std::string error = other.start({.options = std::move(options), .mountpoint = mountpoint});
    UNSCOPED_INFO(error);
    const size_t colon = error.find(": ");
    CHECK(colon < error.size() - 10);  // and says something
    return error.substr(0, colon);
  };
  CHECK(why(first.path()) == "busy");
  CHECK(why(first.scratch() / "absent") == "not-found");
  write_file(first.scratch() / "file", "x");
  CHECK(why(first.scratch() / "file") == "not-a-directory");
  CHECK(why(first.scratch() / "file/x") == "not-a-directory");
  CHECK(why(other.path(), {"frobnicate"}) == "invalid");
  CHECK(why(other.volume()) == "invalid");  // the volume would hide itself
  CHECK(why(other.scratch().path()) == "invalid");
}

TEST_CASE("An odd mountpoint and source survive the way through libfuse and /proc") {
  if (!can_mount()) return;
  Mounted mounted;
  CHECK(mounted.unmount() == 0);
  const std::string odd = mounted.scratch() / "a b\\c,d\te";
  REQUIRE(::mkdir(odd.c_str(), 0755) == 0);
  const std::string source = "so,urce\\ of all";
  const auto listed = [&] {
    auto mounts = list_mounts();
    REQUIRE(mounts.ok());
    for (const MountedVolume& one : *mounts) {
      if (one.mountpoint == odd) return one.source;
    }
    return std::string();
  };
  REQUIRE(mounted.start({.mountpoint = odd, .source_name = source}) == "");
  CHECK(listed() == source);
  write_file(odd + "/f", "x");
  CHECK(unmount(odd, false).ok());
  CHECK(mounted.wait_for_end() == 0);
  CHECK(listed() == "");
}

TEST_CASE("A mount that is never served is unmounted all the same") {
  if (!can_mount()) return;
  Mounted mounted;
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({.serve = false}) == "the daemon ended: 0");
  auto mounts = list_mounts();
  REQUIRE(mounts.ok());
  for (const MountedVolume& one : *mounts) CHECK(one.mountpoint != mounted.path());
}

TEST_CASE("stop() unmounts and lets serve() return") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "x");
  mounted.stop();
  CHECK(mounted.wait_for_end() == 0);
  REQUIRE(mounted.start({}) == "");
  CHECK(read_file(mounted / "f") == "x");
}

TEST_CASE("stop() makes safe what was written, then takes the mount away from those who use it") {
  if (!can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000});
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::write(fd, "dirty", 5) == 5);
  mounted.stop();
  CHECK(mounted.wait_for_end() == 0);
  CHECK(::access(mounted.path().c_str(), F_OK) == 0);
  CHECK(::fsync(fd) == -1);
  ::close(fd);
  REQUIRE(mounted.start({}) == "");
  CHECK(read_file(mounted / "f") == "dirty");
}

TEST_CASE("a connection that is aborted among requests has ended, not failed") {
  if (!can_mount()) return;
  Mounted mounted;
  for (int round = 0; round < 60; ++round) {
    if (round > 0) REQUIRE(mounted.start({}) == "");
    std::atomic<bool> over = false;
    std::vector<std::thread> askers;
    for (int asker = 0; asker < 4; ++asker) {
      askers.emplace_back([&, asker] {
        const int root = ::open(mounted.path().c_str(), O_RDONLY | O_DIRECTORY);
        for (int i = 0; !over; ++i) {
          struct stat ignored {};
          (void)::fstatat(root, (std::to_string(asker) + "-" + std::to_string(i)).c_str(), &ignored, 0);
        }
        ::close(root);
      });
    }
    ::usleep(10'000);
    ::umount2(mounted.path().c_str(), MNT_FORCE);
    CHECK(mounted.wait_for_end() == 0);
    over = true;
    for (std::thread& asker : askers) asker.join();
  }
}

TEST_CASE("ro serves a live volume that cannot be changed") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "x");
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({.options = {"ro"}}) == "");
  CHECK(read_file(mounted / "f") == "x");
  CHECK(::open((mounted / "f").c_str(), O_WRONLY) == -1);
  CHECK(errno == EROFS);
  CHECK(::unlink((mounted / "f").c_str()) == -1);
  CHECK(errno == EROFS);
  CHECK(mounted.unmount() == 0);
}

TEST_CASE("noexec and atime options reach the kernel") {
  if (!can_mount()) return;
  Mounted mounted({.options = {"noexec", "nodev"}});
  const std::string line = run("grep ' " + mounted.path() + " ' /proc/mounts");
  CHECK(line.find("noexec") != std::string::npos);
  CHECK(line.find("nodev") != std::string::npos);
  CHECK(line.find("default_permissions") != std::string::npos);
}

TEST_CASE("Files left without a name by a killed daemon are freed by the next") {
  if (!can_mount()) return;
  Mounted mounted;
  int fd = ::open((mounted / "f").c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(::write(fd, "x", 1) == 1);
  REQUIRE(::unlink((mounted / "f").c_str()) == 0);
  REQUIRE(::fsync(fd) == 0);
  CHECK(mounted.seqs().unnamed == 1);
  mounted.kill();
  ::close(fd);
  REQUIRE(mounted.start({}) == "");
  for (int i = 0; i < 100 && mounted.seqs().unnamed > 0; ++i) ::usleep(20'000);
  CHECK(mounted.seqs().unnamed == 0);
}

namespace {

constexpr unsigned kUser = 65534;  // nobody: fusermount3 wants a user with a name

bool users_can_mount() {
  if (!can_mount() || !is_root()) return false;
  struct stat about {};
  if (::stat("/usr/bin/fusermount3", &about) != 0 || !(about.st_mode & S_ISUID)) {
    WARN("SKIP: fusermount3 is not installed setuid");
    return false;
  }
  if (as_user(kUser, [] { return ::access("/dev/fuse", R_OK | W_OK); }) == 0) return true;
  WARN("SKIP: /dev/fuse is closed to users here");
  return false;
}

int write_as_user(const std::string& path, mode_t mode) {
  return as_user(kUser, [&] {
    int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode);
    const bool ok = fd >= 0 && ::write(fd, "user's", 6) == 6 && ::close(fd) == 0;
    return ok ? 0 : errno;
  });
}

}  // namespace

TEST_CASE("An ordinary user mounts in private") {
  if (!users_can_mount()) return;
  Mounted mounted({.user = kUser});
  const std::string line = run("grep ' " + mounted.path() + " ' /proc/mounts");
  CHECK(line.find("nosuid") != std::string::npos);
  CHECK(line.find("nodev") != std::string::npos);
  CHECK(line.find("allow_other") == std::string::npos);
  CHECK(write_as_user(mounted / "f", 0644) == 0);
  CHECK(::access((mounted / "f").c_str(), R_OK) == -1);  // not even root
  CHECK(as_user(kUser, [&] { return ::access((mounted / "f").c_str(), R_OK) == 0 ? 0 : 1; }) == 0);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({.user = kUser}) == "");
  CHECK(as_user(kUser, [&] { return ::access((mounted / "f").c_str(), R_OK) == 0 ? 0 : 1; }) == 0);
  mounted.kill();
  REQUIRE(mounted.start({.user = kUser}) == "");  // a dead mount is cleaned without root, too
  CHECK(as_user(kUser, [&] { return ::access((mounted / "f").c_str(), R_OK) == 0 ? 0 : 1; }) == 0);
  CHECK(mounted.unmount() == 0);
  CHECK(mounted.start({.options = {"suid"}, .user = kUser}).starts_with("not-permitted"));
}

TEST_CASE("A user's mark contains files that even he may only write") {
  if (!users_can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000, .user = kUser});
  const int result = as_user(kUser, [&] {
    int fd = ::open((mounted / "f").c_str(), O_WRONLY | O_CREAT, 0200);
    if (::write(fd, "dirty", 5) != 5) return 1;
    if (::tidemark_mark(fd, "users", nullptr, nullptr, 0, nullptr) != 0) return 2;
    struct stat about {};
    if (::stat((mounted / ".tidemark/at/users/f").c_str(), &about) != 0) return 3;
    return about.st_size == 5 ? 0 : 4;
  });
  CHECK(result == 0);
  CHECK(mounted.unmount() == 0);
}

TEST_CASE("A user's daemon can be stopped while the mount is in use") {
  if (!users_can_mount()) return;
  Mounted mounted({.commit_interval_ms = 3'600'000, .user = kUser});
  int ready[2];
  REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::setgid(kUser) != 0 || ::setuid(kUser) != 0) ::_exit(1);
    int fd = ::open((mounted / "f").c_str(), O_WRONLY | O_CREAT, 0644);
    if (::write(fd, "dirty", 5) != 5 || ::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  mounted.stop();
  CHECK(mounted.wait_for_end() == 0);
  ::kill(child, SIGKILL);
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  REQUIRE(mounted.start({.user = kUser}) == "");
  CHECK(as_user(kUser, [&] { return read_file(mounted / "f") == "dirty" ? 0 : 1; }) == 0);
  CHECK(mounted.unmount() == 0);
  ::close(ready[0]);
  ::close(ready[1]);
}
