// Who may do what, and what a change by somebody else takes away.
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

constexpr unsigned kUser = 4711;
constexpr unsigned kOther = 4712;

std::string as(unsigned id, const std::function<int()>& call) {
  const int error = as_user(id, [&] { return call() == 0 ? 0 : errno; });
  return error == 0 ? "ok" : strerrorname_np(error);
}

std::string as_member(unsigned id, unsigned group, const std::function<int()>& call) {
  const int error = as_user(0, [&] {
    const gid_t groups[] = {99'999, group};
    if (::setgroups(2, groups) != 0 || ::setgid(id) != 0 || ::setuid(id) != 0) return 126;
    return call() == 0 ? 0 : errno;
  });
  return error == 0 ? "ok" : strerrorname_np(error);
}

int append_byte(const std::string& path) {
  int fd = ::open(path.c_str(), O_WRONLY | O_APPEND);
  if (fd < 0) return -1;
  const bool ok = ::write(fd, "x", 1) == 1;
  ::close(fd);
  return ok ? 0 : -1;
}

}  // namespace

TEST_CASE("New files belong to whoever makes them, or to the group of a setgid directory") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    ::mkdir(t.at("shared").c_str(), 0755);
    t.call("chown", ::chown(t.at("shared").c_str(), 0, kOther));
    t.call("chmod", ::chmod(t.at("shared").c_str(), 02777));
    for (const std::string& base : {std::string(""), std::string("shared/")}) {
      t.note(as(kUser, [&] { return ::mknod(t.at(base + "file").c_str(), S_IFREG | 0644, 0); }));
      t.note(as(kUser, [&] { return ::mkdir(t.at(base + "dir").c_str(), 0755); }));
      t.note(as(kUser, [&] { return ::symlink("x", t.at(base + "link").c_str()); }));
      t.note(as(kUser, [&] { return ::mkdir(t.at(base + "dir/deeper").c_str(), 0755); }));
      t.note(as(kUser, [&] {
        int fd = ::open(t.at(base + "setgid").c_str(), O_WRONLY | O_CREAT, 02775);
        return fd >= 0 ? ::close(fd) : -1;
      }));
      for (const char* name : {"file", "dir", "link", "dir/deeper", "setgid"}) t.stat(base + name);
    }
  });
}

TEST_CASE("Permissions are checked as anywhere") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("private"), "secret");
    ::chmod(t.at("private").c_str(), 0600);
    ::mkdir(t.at("closed").c_str(), 0700);
    write_file(t.at("closed/in"), "x");
    ::mkdir(t.at("listed").c_str(), 0744);
    write_file(t.at("listed/in"), "x");
    const auto open = [&](const char* name, int flags) {
      return [&t, name, flags] {
        int fd = ::open(t.at(name).c_str(), flags);
        return fd >= 0 ? ::close(fd) : -1;
      };
    };
    t.note("read " + as(kUser, open("private", O_RDONLY)));
    t.note("write " + as(kUser, open("private", O_WRONLY)));
    t.note("through closed " + as(kUser, open("closed/in", O_RDONLY)));
    t.note("list closed " + as(kUser, open("closed", O_RDONLY | O_DIRECTORY)));
    t.note("list " + as(kUser, open("listed", O_RDONLY | O_DIRECTORY)));
    t.note("through listed " + as(kUser, open("listed/in", O_RDONLY)));
    t.note("create " + as(kUser, [&] { return ::mknod(t.at("listed/new").c_str(), S_IFREG | 0644, 0); }));
    t.note("unlink " + as(kUser, [&] { return ::unlink(t.at("listed/in").c_str()); }));
    t.note("chmod " + as(kUser, [&] { return ::chmod(t.at("private").c_str(), 0666); }));
    t.note("chown " + as(kUser, [&] { return ::chown(t.at("private").c_str(), kUser, kUser); }));
    t.note("utimes " + as(kUser, [&] { return ::utimensat(AT_FDCWD, t.at("private").c_str(), nullptr, 0); }));
    t.note("truncate " + as(kUser, [&] { return ::truncate(t.at("private").c_str(), 0); }));
    t.note("access " + as(kUser, [&] { return ::access(t.at("private").c_str(), R_OK); }));
    t.note("device " + as(kUser, [&] { return ::mknod(t.at("null").c_str(), S_IFCHR | 0666, 0x103); }));
  });
}

TEST_CASE("In a sticky directory only owners remove") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    ::mkdir(t.at("tmp").c_str(), 0755);
    ::chmod(t.at("tmp").c_str(), 01777);
    t.note(as(kUser, [&] { return ::mknod(t.at("tmp/mine").c_str(), S_IFREG | 0666, 0); }));
    t.note("unlink by other " + as(kOther, [&] { return ::unlink(t.at("tmp/mine").c_str()); }));
    t.note("rename by other " + as(kOther, [&] { return ::rename(t.at("tmp/mine").c_str(), t.at("tmp/theirs").c_str()); }));
    t.note("unlink by owner " + as(kUser, [&] { return ::unlink(t.at("tmp/mine").c_str()); }));
    t.list("tmp");
  });
}

TEST_CASE("A write, a truncation or a new owner takes setuid and setgid away") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    for (mode_t mode : {06777u, 06767u, 04777u, 02767u}) {
      const std::string name = "f" + std::to_string(mode);
      const std::string path = t.at(name);
      const auto reset = [&] {
        write_file(path, "content");
        ::chown(path.c_str(), kUser, kUser);
        ::chmod(path.c_str(), mode);
        t.stat(name);
      };
      reset();
      t.note("write by owner " + as(kUser, [&] { return append_byte(path); }));
      t.stat(name);
      reset();
      t.note("write by other " + as(kOther, [&] { return append_byte(path); }));
      t.stat(name);
      reset();
      t.call("write by root", append_byte(path));
      t.stat(name);
      reset();
      t.note("truncate by other " + as(kOther, [&] { return ::truncate(path.c_str(), 3); }));
      t.stat(name);
      reset();
      t.note("O_TRUNC by other " + as(kOther, [&] {
               int fd = ::open(path.c_str(), O_WRONLY | O_TRUNC);
               return fd >= 0 ? ::close(fd) : -1;
             }));
      t.stat(name);
      reset();
      t.call("truncate by root", ::truncate(path.c_str(), 2));
      t.stat(name);
      reset();
      t.call("chown by root", ::chown(path.c_str(), kOther, kOther));
      t.stat(name);
      reset();
      t.note("chgrp by owner " + as(kUser, [&] { return ::chown(path.c_str(), -1u, kUser); }));
      t.stat(name);
      reset();
      ::chown(path.c_str(), kUser, kOther);
      ::chmod(path.c_str(), mode);
      t.note("write by owner outside the group " + as(kUser, [&] { return append_byte(path); }));
      t.stat(name);
      ::chmod(path.c_str(), mode);
      t.note("chgrp by owner outside the group " + as(kUser, [&] { return ::chown(path.c_str(), -1u, kUser); }));
      t.stat(name);
      reset();
      t.note("write by a member of the group " + as_member(kOther, kUser, [&] { return append_byte(path); }));
      t.stat(name);
    }
    ::mkdir(t.at("dir").c_str(), 0755);
    ::chmod(t.at("dir").c_str(), 06775);
    t.call("chown of a directory", ::chown(t.at("dir").c_str(), kUser, kUser));
    t.stat("dir");
  });
}

TEST_CASE("fallocate and copy_file_range take setuid and setgid away like a write") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("from"), std::string(100'000, 'c'));
    for (mode_t mode : {06777u, 06767u, 04777u, 02767u, 02777u}) {
      const std::string name = "f" + std::to_string(mode);
      const auto changed_by = [&](const std::string& what, const std::function<int(int)>& call) {
        for (unsigned id : {kUser, kOther, 0u}) {
          write_file(t.at(name), std::string(200'000, 'x'));
          ::chown(t.at(name).c_str(), kUser, kUser);
          ::chmod(t.at(name).c_str(), mode);
          t.note(what + " by " + std::to_string(id) + ": " + as(id, [&] {
                   int fd = ::open(t.at(name).c_str(), O_RDWR);
                   return fd >= 0 && call(fd) == 0 ? ::close(fd) : -1;
                 }));
          t.stat(name);
        }
      };
      changed_by("extend", [](int fd) { return ::fallocate(fd, 0, 0, 300'000); });
      changed_by("allocate", [](int fd) { return ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000); });
      changed_by("punch", [](int fd) { return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536); });
      changed_by("zero", [](int fd) { return ::fallocate(fd, FALLOC_FL_ZERO_RANGE, 4096, 65536); });
      changed_by("copy", [&](int fd) {
        int from = ::open(t.at("from").c_str(), O_RDONLY);
        const bool ok = ::copy_file_range(from, nullptr, fd, nullptr, 65536, 0) == 65536;
        ::close(from);
        return ok ? 0 : -1;
      });
    }
  });
}

TEST_CASE("chmod by someone outside the group loses setgid") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), "x");
    ::chown(t.at("f").c_str(), kUser, kOther);
    t.note(as(kUser, [&] { return ::chmod(t.at("f").c_str(), 02755); }));
    t.stat("f");
  });
}

TEST_CASE("A setuid program runs as its owner, unless the mount says nosuid") {
  if (!can_mount() || !is_root()) return;
  for (bool suid : {true, false}) {
    Mounted mounted({.options = {suid ? "suid" : "nosuid"}});
    run("cp /usr/bin/id " + (mounted / "id") + " && chmod 4755 " + (mounted / "id"));
    const std::string out = run("setpriv --reuid 4711 --regid 4711 --clear-groups " + (mounted / "id") + " -u");
    CHECK(out == (suid ? "0\n" : "4711\n"));
  }
}

TEST_CASE("A device works, unless the mount says nodev") {
  if (!can_mount() || !is_root()) return;
  for (bool dev : {true, false}) {
    Mounted mounted({.options = {dev ? "dev" : "nodev"}});
    REQUIRE(::mknod((mounted / "zero").c_str(), S_IFCHR | 0666, 0x105) == 0);
    int fd = ::open((mounted / "zero").c_str(), O_RDONLY);
    CHECK((fd >= 0) == dev);
    if (fd >= 0) ::close(fd);
  }
}

TEST_CASE("Without allow_other nobody else gets in") {
  if (!can_mount() || !is_root()) return;
  Mounted open_mount;
  write_file(open_mount / "f", "x");
  CHECK(as(kUser, [&] { return ::access((open_mount / "f").c_str(), R_OK); }) == "ok");
  Mounted closed({.options = {"noallow_other"}});
  write_file(closed / "f", "x");
  CHECK(as(kUser, [&] { return ::access((closed / "f").c_str(), R_OK); }) == "EACCES");
}
