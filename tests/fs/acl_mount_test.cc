// POSIX ACLs on a mount, with the tools people use, beside a native directory.
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

bool have_setfacl() {
  if (::access("/usr/bin/setfacl", X_OK) == 0) return true;
  WARN("SKIP: setfacl is not installed");
  return false;
}

// Runs commands in the trace's directory and notes what they print.
void shell(Trace& t, const std::string& commands) {
  t.note(commands + ": " + run("cd " + t.directory() + " && " + commands));
}

}  // namespace

TEST_CASE("ACLs are set, shown, changed by chmod and removed as on a local filesystem") {
  if (!can_mount() || !is_root() || !have_setfacl()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), "x");
    shell(t, "setfacl -m u:4711:rw,g:4712:r f && getfacl -n f && stat -c %a f");
    shell(t, "chmod 640 f && getfacl -n f && stat -c %a f");
    shell(t, "chmod 604 f && getfacl -n f");
    shell(t, "setfacl -m m::rwx f && getfacl -n f && stat -c %a f");
    shell(t, "setfacl -m u::r,g::-,o::x f && getfacl -n f && stat -c %a f");
    shell(t, "setfacl -x u:4711,g:4712 f && getfacl -n f && stat -c %a f");
    shell(t, "setfacl -b f && getfacl -n f && stat -c %a f && getfattr -d -m - f");
    shell(t, "setfacl -b f; setfacl -m d:u:4711:r f");
    shell(t, "ln -s f s && setfacl -m u:4711:r s && getfacl -n f");
  });
}

TEST_CASE("A default ACL is inherited, and takes the umask's place") {
  if (!can_mount() || !is_root() || !have_setfacl()) return;
  Mounted mounted;
  const mode_t before = ::umask(077);
  same_as_native(mounted, [](Trace& t) {
    shell(t, "mkdir d && setfacl -m d:u:4711:rwx,d:g:4712:rx,d:o::- d && getfacl -n d");
    shell(t, "touch d/f && mkdir d/sub && mkdir d/sub/deeper && mkfifo d/p && ln -s x d/l");
    shell(t, "getfacl -n d/f d/sub d/sub/deeper d/p && stat -c '%n %A' d/*");
    shell(t, "mkdir -m 700 d/narrow && getfacl -n d/narrow");
    shell(t, "install -m 4755 /bin/true d/program && getfacl -n d/program");
    shell(t,
          "setfacl -k d/sub && getfacl -n d/sub && touch d/sub/plain && getfacl -n d/sub/plain && stat -c %a d/sub/plain");
    shell(t,
          "mkdir plain && setfacl -m d:u::rwx,d:g::rx,d:o::r plain && touch plain/f && getfacl -n plain/f && stat -c %a "
          "plain/f && getfattr -d -m - plain/f");
    shell(t,
          "mkdir -m 2775 g && chgrp 4712 g && setfacl -m d:g::rwx g && mkdir g/sub && touch g/f && stat -c '%n %a %g' g/* "
          "&& getfacl -n g/sub");
  });
  ::umask(before);
}

TEST_CASE("ACLs are enforced") {
  if (!can_mount() || !is_root() || !have_setfacl()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), "x");
    ::chmod(t.at("f").c_str(), 0600);
    const auto readable = [&](unsigned id) {
      return as_user(id, [&] { return ::access(t.at("f").c_str(), R_OK) == 0 ? 0 : errno; });
    };
    t.note("before " + std::to_string(readable(4711)));
    shell(t, "setfacl -m u:4711:r f");
    t.note("named " + std::to_string(readable(4711)) + ", other " + std::to_string(readable(4713)));
    shell(t, "chmod 600 f");
    t.note("masked " + std::to_string(readable(4711)));
    shell(t, "chmod 640 f");
    t.note("unmasked " + std::to_string(readable(4711)));
    shell(t, "setfacl -x u:4711 f");
    t.note("removed " + std::to_string(readable(4711)));
  });
}

TEST_CASE("Setting an ACL from outside the group loses setgid") {
  if (!can_mount() || !is_root() || !have_setfacl()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), "x");
    ::chown(t.at("f").c_str(), 4711, 4712);
    ::chmod(t.at("f").c_str(), 02755);
    shell(t, "setpriv --reuid 4711 --regid 4711 --clear-groups setfacl -m u:4713:r f; stat -c %a f");
    ::chmod(t.at("f").c_str(), 02755);
    shell(t, "setfacl -m u:4714:r f; stat -c %a f");
  });
}

TEST_CASE("ACLs survive a remount") {
  if (!can_mount() || !is_root() || !have_setfacl()) return;
  Mounted mounted;
  run("cd " + mounted.path() + " && mkdir d && setfacl -m u:4711:rwx,d:u:4711:rx d && touch d/f");
  const std::string before = run("cd " + mounted.path() + " && getfacl -n d d/f");
  CHECK(before.find("user:4711:") != std::string::npos);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  CHECK(run("cd " + mounted.path() + " && getfacl -n d d/f") == before);
}
