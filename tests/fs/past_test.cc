// The past grants nothing: what a local user reaches below /.tidemark/at, and at a point mounted by itself.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <tidemark/mark.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "tests/fs/mounted.h"

using namespace tidemark::test;

namespace {

constexpr unsigned kUser = 4711;
constexpr unsigned kOther = 4712;
constexpr unsigned kNewOwner = 4713;

void mark(const Mounted& mounted, const char* name) {
  REQUIRE(::tidemark_mark_path(mounted.path().c_str(), name, nullptr, nullptr, 0, nullptr) == 0);
}

std::string reads(unsigned id, const std::string& path) {
  const int error = as_user(id, [&] {
    const int fd = ::open(path.c_str(), O_RDONLY);
    if (fd < 0) return errno;
    char byte = 0;
    return ::read(fd, &byte, 1) < 0 && errno != EISDIR ? errno : 0;
  });
  return error == 0 ? "ok" : strerrorname_np(error);
}

void own(const std::string& path, unsigned id) { REQUIRE(::chown(path.c_str(), id, id) == 0); }

}  // namespace

TEST_CASE("A setuid program, a file capability and a device of the past are dead, whoever asks") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  REQUIRE(run("cp /usr/bin/id " + (mounted / "id")) == "");
  REQUIRE(::chmod((mounted / "id").c_str(), 06755) == 0);
  REQUIRE(run("cp /usr/bin/id " + (mounted / "able")) == "");
  // cap_net_raw+ep, as setcap(8) writes it
  const std::string capability("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  REQUIRE(::setxattr((mounted / "able").c_str(), "security.capability", capability.data(), capability.size(), 0) == 0);
  REQUIRE(::mknod((mounted / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0);
  ::chmod((mounted / "null").c_str(), 0666);
  REQUIRE(reads(kUser, mounted / "null") == "ok");
  const auto euid_of = [](const std::string& program) {
    return as_user(kUser, [&] { return run(program + " -u") == "0\n" ? 0 : 1; });
  };
  REQUIRE(euid_of(mounted / "id") == 0);  // control: it works today
  mark(mounted, "then");
  REQUIRE(::chmod((mounted / "id").c_str(), 0755) == 0);
  const std::string past = mounted / ".tidemark/at/then/";
  CHECK(euid_of(past + "id") == 1);
  CHECK(run(past + "able -u") == "0\n");  // it still runs
  struct stat about {};
  REQUIRE(::stat((past + "id").c_str(), &about) == 0);
  CHECK((about.st_mode & 07777) == 0755);
  char value[64];
  CHECK(::getxattr((mounted / "able").c_str(), "security.capability", value, sizeof value) == 20);
  CHECK(::getxattr((past + "able").c_str(), "security.capability", value, sizeof value) == -1);
  CHECK(errno == ENODATA);
  CHECK(::listxattr((past + "able").c_str(), value, sizeof value) == 0);
  CHECK(::open((past + "null").c_str(), O_RDONLY) == -1);  // root
  CHECK(reads(kUser, past + "null") != "ok");
  // Still set today: the past one is dead all the same.
  REQUIRE(::chmod((mounted / "id").c_str(), 04755) == 0);
  CHECK(euid_of(past + "id") == 1);
  CHECK(euid_of(mounted / ".tidemark/at/latest/id") == 1);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({.point = "then"}) == "");
  CHECK(euid_of(mounted / "id") == 1);
  CHECK(::open((mounted / "null").c_str(), O_RDONLY) == -1);
  CHECK(errno == EACCES);
}

TEST_CASE("What was closed since is closed in the past as well, at once") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  const auto path = [&](const std::string& name) { return mounted / name; };
  const std::string past = mounted / ".tidemark/at/then/";
  for (const char* name : {"file", "given", "gone", "kept"}) {
    write_file(path(name), "secret");
    own(path(name), kUser);
    ::chmod(path(name).c_str(), 0644);
  }
  for (const char* name : {"closed", "moved", "dropped"}) {
    REQUIRE(::mkdir(path(name).c_str(), 0755) == 0);
    own(path(name), kUser);
    write_file(path(std::string(name) + "/in"), "deep");
    own(path(std::string(name) + "/in"), kUser);
  }
  REQUIRE(::mkdir(path("vault").c_str(), 0700) == 0);
  mark(mounted, "then");
  for (const char* name : {"file", "given", "gone", "kept", "closed/in", "moved/in", "dropped/in"}) {
    INFO(name);
    CHECK(reads(kOther, past + name) == "ok");  // control; and now the kernel has their attributes
  }
  REQUIRE(::chmod(path("file").c_str(), 0600) == 0);
  REQUIRE(::chmod(path("given").c_str(), 0600) == 0);
  own(path("given"), kNewOwner);
  REQUIRE(::unlink(path("gone").c_str()) == 0);
  REQUIRE(::chmod(path("closed").c_str(), 0700) == 0);
  REQUIRE(::rename(path("moved").c_str(), path("vault/moved").c_str()) == 0);
  REQUIRE(run("rm -r " + path("dropped")) == "");
  for (const char* name : {"file", "given", "gone", "closed/in", "moved/in", "dropped/in"}) {
    INFO(name);
    CHECK(reads(kOther, past + name) == "EACCES");
    CHECK(reads(0, past + name) == "ok");
  }
  CHECK(reads(kOther, past + "kept") == "ok");
  // The owner gets back what he lost; who has given a file away has given away its past.
  for (const char* name : {"file", "gone", "closed/in", "dropped/in"}) {
    INFO(name);
    CHECK(reads(kUser, past + name) == "ok");
  }
  CHECK(reads(kUser, past + "given") == "EACCES");
  CHECK(reads(kNewOwner, past + "given") == "EACCES");
  // Opened again, it is open again.
  REQUIRE(::chmod(path("file").c_str(), 0644) == 0);
  CHECK(reads(kOther, past + "file") == "ok");
}

TEST_CASE("An access ACL of the past grants nothing that was taken away since") {
  if (!can_mount() || !is_root()) return;
  if (::access("/usr/bin/setfacl", X_OK) != 0) {
    WARN("SKIP: setfacl is not installed");
    return;
  }
  Mounted mounted;
  const auto path = [&](const std::string& name) { return mounted / name; };
  const std::string past = mounted / ".tidemark/at/then/";
  const auto set_acl = [&](const std::string& name, const std::string& text) {
    REQUIRE(run("setfacl -n --set " + text + " " + path(name)) == "");
  };
  for (const char* name : {"taken", "same", "refused"}) {
    write_file(path(name), "secret");
    set_acl(name, "u::rw,u:4712:r,g::-,m::r,o::-");
  }
  set_acl("refused", "u::rw,u:4712:-,g::r,m::r,o::r");
  mark(mounted, "then");
  CHECK(reads(kOther, past + "taken") == "ok");
  CHECK(reads(kOther, past + "refused") == "EACCES");
  set_acl("taken", "u::rw,u:4711:r,g::-,m::r,o::-");
  set_acl("refused", "u::rw,g::r,o::r");
  CHECK(reads(kOther, past + "taken") == "EACCES");
  CHECK(reads(kUser, past + "taken") == "EACCES");
  CHECK(reads(kOther, past + "same") == "ok");
  CHECK(reads(kUser, past + "same") == "EACCES");
  CHECK(reads(kOther, past + "refused") == "EACCES");
  CHECK(::getxattr((past + "taken").c_str(), "system.posix_acl_access", nullptr, 0) == -1);
}

TEST_CASE("With -o history=root nobody but root enters the past") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted({.options = {"history=root"}});
  write_file(mounted / "f", "x");
  mark(mounted, "then");
  CHECK(reads(kUser, mounted / "f") == "ok");
  CHECK(reads(kUser, mounted / ".tidemark/at/then/f") == "EACCES");
  CHECK(reads(kUser, mounted / ".tidemark/at") == "EACCES");
  CHECK(reads(0, mounted / ".tidemark/at/then/f") == "ok");
}

TEST_CASE("Marks can be kept to root or a group, and a user's are bounded in number and pace") {
  if (!can_mount() || !is_root()) return;
  const auto marks_as = [](Mounted& mounted, unsigned id, const std::string& name) {
    const int error = as_user(id, [&] {
      return ::tidemark_mark_path(mounted.path().c_str(), name.c_str(), nullptr, nullptr, 0, nullptr) == 0 ? 0 : errno;
    });
    return error == 0 ? "ok" : strerrorname_np(error);
  };
  {
    Mounted mounted({.options = {"mark=root"}});
    CHECK(std::string(marks_as(mounted, kUser, "a")) == "EPERM");
    CHECK(std::string(marks_as(mounted, 0, "a")) == "ok");
  }
  {
    Mounted mounted({.options = {"mark=4712"}});
    CHECK(std::string(marks_as(mounted, kUser, "a")) == "EPERM");
    CHECK(std::string(marks_as(mounted, kOther, "a")) == "ok");
  }
  Mounted mounted;
  CHECK(as_user(kUser, [&] {
          for (int i = 0; i < 1'000; ++i) {
            const std::string name = "m" + std::to_string(i);
            if (::tidemark_mark_path(mounted.path().c_str(), name.c_str(), nullptr, nullptr, 0, nullptr) != 0)
              return i >= 20 && errno == EBUSY ? 0 : 1;
          }
          return 2;
        }) == 0);
  for (int i = 0; i < 100; ++i) CHECK(std::string(marks_as(mounted, 0, "root" + std::to_string(i))) == "ok");
}
