// Times, beside a native directory: far away ones, and the order in which things were done.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <ctime>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

// The birth too, which stat() does not have.
struct statx times_of(const std::string& path) {
  struct statx about {};
  REQUIRE(::statx(AT_FDCWD, path.c_str(), 0, STATX_BASIC_STATS | STATX_BTIME, &about) == 0);
  REQUIRE((about.stx_mask & STATX_BTIME) != 0);
  return about;
}

int64_t ns(const statx_timestamp& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

}  // namespace

// Some times are set by the kernel (writes), others by the daemon (births, names): they have to come from one clock, or make(1)
// finds a file older than another that was there before.
TEST_CASE("What is done later never looks older, whoever sets the time") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    int wrong = 0;
    int64_t last = 0;
    const auto done = [&](int64_t time) {
      if (time < last) ++wrong;
      last = time;
    };
    for (int i = 0; i < 500; ++i) {
      const std::string name = std::to_string(i);
      ::mkdir(t.at("d" + name).c_str(), 0755);
      done(ns(times_of(t.at("d" + name)).stx_btime));
      int fd = ::open(t.at("f" + name).c_str(), O_RDWR | O_CREAT, 0644);
      done(ns(times_of(t.at("f" + name)).stx_btime));
      ::pwrite(fd, "x", 1, 0);
      done(ns(times_of(t.at("f" + name)).stx_mtime));
      ::close(fd);
      ::link(t.at("f" + name).c_str(), t.at("g" + name).c_str());
      done(ns(times_of(t.at("g" + name)).stx_ctime));
      ::truncate(t.at("f" + name).c_str(), 0);
      done(ns(times_of(t.at("f" + name)).stx_mtime));
      ::chmod(t.at("f" + name).c_str(), 0600);
      done(ns(times_of(t.at("f" + name)).stx_ctime));
      ::unlink(t.at("g" + name).c_str());
      done(ns(times_of(t.directory()).stx_mtime));
    }
    t.note(std::to_string(wrong) + " times go back");
  });
}

TEST_CASE("Times before 1970 and after 2038, 2106 and 2400, also after a remount") {
  if (!can_mount()) return;
  Mounted mounted;
  const int64_t seconds[] = {
      -(int64_t{1} << 31) + 1, -1, 0, (int64_t{1} << 31) - 1, int64_t{1} << 31, (int64_t{1} << 32) - 1, int64_t{1} << 32,
      13'569'465'600};
  const auto name = [](int64_t second) { return "at " + std::to_string(second); };
  same_as_native(mounted, [&](Trace& t) {
    for (int64_t second : seconds) {
      write_file(t.at(name(second)), "");
      const timespec times[2] = {{second, 1}, {second, 999'999'999}};
      t.call(name(second), ::utimensat(AT_FDCWD, t.at(name(second)).c_str(), times, 0));
      const struct statx about = times_of(t.at(name(second)));
      t.note(std::to_string(about.stx_atime.tv_sec) + "." + std::to_string(about.stx_atime.tv_nsec) + " " +
             std::to_string(about.stx_mtime.tv_sec) + "." + std::to_string(about.stx_mtime.tv_nsec));
    }
  });
  for (int64_t second : seconds) {
    write_file(mounted / name(second), "");
    const timespec times[2] = {{second, 1}, {second, 999'999'999}};
    REQUIRE(::utimensat(AT_FDCWD, (mounted / name(second)).c_str(), times, 0) == 0);
  }
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  for (int64_t second : seconds) {
    const struct statx about = times_of(mounted / name(second));
    CHECK(about.stx_atime.tv_sec == second);
    CHECK(about.stx_atime.tv_nsec == 1);
    CHECK(about.stx_mtime.tv_sec == second);
    CHECK(about.stx_mtime.tv_nsec == 999'999'999);
  }
}

TEST_CASE("A write through a descriptor and through a mapping, a truncation to the same size, an empty write") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    int fd = ::open(t.at("f").c_str(), O_RDWR | O_CREAT, 0644);
    ::pwrite(fd, "content", 7, 0);
    const auto changed_by = [&](const char* what, auto act) {
      const timespec old[2] = {{1000, 0}, {1000, 0}};
      ::futimens(fd, old);
      const int64_t ctime_before = ns(times_of(t.at("f")).stx_ctime);
      ::usleep(20'000);
      act();
      const struct statx after = times_of(t.at("f"));
      t.note(std::string(what) + ": mtime " + (after.stx_mtime.tv_sec == 1000 ? "old" : "new") + ", ctime " +
             (ns(after.stx_ctime) == ctime_before ? "old" : "new"));
    };
    changed_by("write", [&] { ::pwrite(fd, "x", 1, 0); });
    changed_by("empty write", [&] { ::pwrite(fd, "x", 0, 0); });
    changed_by("ftruncate to the same size", [&] { ::ftruncate(fd, 7); });
    changed_by("truncate to another size", [&] { ::truncate(t.at("f").c_str(), 5); });
    changed_by("fallocate", [&] { ::fallocate(fd, 0, 0, 100); });
    changed_by("punch", [&] { ::fallocate(fd, 3, 0, 4096); });
    changed_by("open with O_TRUNC", [&] { ::close(::open(t.at("f").c_str(), O_WRONLY | O_TRUNC)); });
    changed_by("open with O_TRUNC, empty already", [&] { ::close(::open(t.at("f").c_str(), O_WRONLY | O_TRUNC)); });
    changed_by("chmod", [&] { ::fchmod(fd, 0600); });
    changed_by("chown to the same", [&] { ::fchown(fd, ::geteuid(), ::getegid()); });
    ::close(fd);
  });
}
