// Extended attributes.
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

void names(Trace& t, const std::string& name) {
  char list[4096] = {};
  const ssize_t size = t.call("list", ::llistxattr(t.at(name).c_str(), list, sizeof list));
  std::vector<std::string> found;
  for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(found.back().size()) + 1) found.emplace_back(list + at);
  std::sort(found.begin(), found.end());
  for (const std::string& one : found) t.note("  " + one);
}

void get(Trace& t, const std::string& name, const char* xattr, size_t size = 4096) {
  std::string value(size, '\0');
  const ssize_t got = t.call(std::string("get ") + xattr, ::lgetxattr(t.at(name).c_str(), xattr, value.data(), size));
  if (got > 0 && size > 0) t.note(value.substr(0, static_cast<size_t>(got)));
}

}  // namespace

TEST_CASE("Extended attributes, call by call") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), "x");
    ::mkdir(t.at("d").c_str(), 0755);
    ::symlink("f", t.at("s").c_str());
    for (const char* name : {"f", "d", "s"}) {
      const auto set = [&](const char* xattr, const std::string& value, int flags) {
        t.call(std::string("set ") + xattr + " on " + name,
               ::lsetxattr(t.at(name).c_str(), xattr, value.data(), value.size(), flags));
      };
      set("user.a", "one", 0);
      set("user.a", "two", XATTR_CREATE);
      set("user.a", "three", XATTR_REPLACE);
      set("user.b", "", XATTR_REPLACE);
      set("user.b", "", 0);
      set("user.binary", std::string("\0\1\2\xff", 4), XATTR_CREATE);
      set("trusted.t", "root's", 0);
      set("security.s", "safe", 0);
      set("nonsense", "x", 0);
      set("user.", "x", 0);
      set("user.much", std::string(3000, 'm'), 0);
      get(t, name, "user.a");
      get(t, name, "user.b");
      get(t, name, "user.a", 0);
      get(t, name, "user.a", 2);
      get(t, name, "user.none");
      names(t, name);
      t.call("remove", ::lremovexattr(t.at(name).c_str(), "user.a"));
      t.call("remove again", ::lremovexattr(t.at(name).c_str(), "user.a"));
      names(t, name);
    }
    t.note("trusted seen by a user: " + std::to_string(as_user(4711, [&] {
             char list[4096] = {};
             const ssize_t size = ::llistxattr(t.at("f").c_str(), list, sizeof list);
             return std::string(list, size > 0 ? static_cast<size_t>(size) : 0).find("trusted") != std::string::npos ? 1 : 0;
           })));
  });
}

TEST_CASE("Long names and values of an attribute, whole after a remount") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "x");
  const std::string longest = "user." + std::string(250, 'n');
  const std::string large(65'536, 'v');
  CHECK(::setxattr((mounted / "f").c_str(), longest.c_str(), large.data(), large.size(), 0) == 0);
  CHECK(::setxattr((mounted / "f").c_str(), (longest + "x").c_str(), "v", 1, 0) == -1);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  std::string value(70'000, '\0');
  CHECK(::getxattr((mounted / "f").c_str(), longest.c_str(), value.data(), value.size()) == 65'536);
  CHECK(value.substr(0, 65'536) == large);
}

TEST_CASE("user.tidemark.seq tells the newest change, is not listed and cannot be set") {
  if (!can_mount()) return;
  Mounted mounted;
  const auto seq = [&](const std::string& name) {
    char value[32] = {};
    REQUIRE(::getxattr((mounted / name).c_str(), "user.tidemark.seq", value, sizeof value) > 0);
    return std::stoull(value);
  };
  write_file(mounted / "f", "one");
  const auto first = seq("f");
  CHECK(first > 0);
  write_file(mounted / "f", "two");
  run("sync " + (mounted / "f"));
  CHECK(seq("f") > first);
  CHECK(seq("f") <= mounted.seqs().appended);
  CHECK(seq(".") > 0);
  CHECK(::setxattr((mounted / "f").c_str(), "user.tidemark.seq", "1", 1, 0) == -1);
  CHECK(errno == EPERM);
  CHECK(::removexattr((mounted / "f").c_str(), "user.tidemark.seq") == -1);
  CHECK(errno == EPERM);
  char list[64] = {};
  CHECK(::listxattr((mounted / "f").c_str(), list, sizeof list) == 0);
}

TEST_CASE("File capabilities are kept, and fall with a write") {
  if (!can_mount() || !is_root()) return;
  if (::access("/usr/sbin/setcap", X_OK) != 0 && ::access("/sbin/setcap", X_OK) != 0) {
    WARN("SKIP: setcap is not installed");
    return;
  }
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    run("cp /bin/true " + t.at("p") + " && chmod 777 " + t.at("p"));
    t.note(run("PATH=$PATH:/sbin:/usr/sbin; cd " + t.directory() + " && setcap cap_net_raw+ep p && getcap p"));
    t.note(std::to_string(as_user(4711, [&] {
      FILE* file = ::fopen(t.at("p").c_str(), "a");
      return file && ::fputs("x", file) >= 0 && ::fclose(file) == 0 ? 0 : 1;
    })));
    t.note(run("PATH=$PATH:/sbin:/usr/sbin; cd " + t.directory() + " && getcap p"));
  });
}
