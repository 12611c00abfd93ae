// Paths: how long they may be, where symlinks lead, what open's flags make of them. Beside a native directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <climits>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

int touch(const std::string& path, int flags = O_WRONLY | O_CREAT, mode_t mode = 0644) {
  int fd = ::open(path.c_str(), flags, mode);
  return fd >= 0 ? ::close(fd) : -1;
}

// `path` with "./" in front of its last name as often as needed for `size` bytes.
std::string padded(const std::string& directory, const std::string& name, size_t size) {
  std::string path = directory + "/";
  while (path.size() + 2 + name.size() <= size) path += "./";
  while (path.size() + name.size() < size) path += "/";
  return path + name;
}

}  // namespace

TEST_CASE("Paths of PATH_MAX bytes, and of one less") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    for (size_t size : {size_t{PATH_MAX - 1}, size_t{PATH_MAX}}) {
      const std::string text = std::to_string(size) + " bytes";
      t.call("open, " + text, touch(padded(t.directory(), "f", size)));
      t.call("mkdir, " + text, ::mkdir(padded(t.directory(), "d", size).c_str(), 0755));
      t.call("rename, " + text,
             ::rename(padded(t.directory(), "f", size).c_str(), padded(t.directory(), "g", size).c_str()));
      t.call("unlink, " + text, ::unlink(padded(t.directory(), "g", size).c_str()));
      t.call("symlink to " + text, ::symlink(std::string(size, 's').c_str(), t.at("s").c_str()));
      char target[PATH_MAX + 1];
      t.call("readlink", ::readlink(t.at("s").c_str(), target, sizeof target));
      ::unlink(t.at("s").c_str());
    }
    t.list(".");
  });
}

TEST_CASE("A tree deeper than any path is long can be made, walked, moved and removed") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    const std::string name(250, 'd');
    constexpr int kDepth = 40;  // about 10,000 bytes
    int at = ::open(t.at(".").c_str(), O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < kDepth; ++i) {
      t.call("mkdirat", ::mkdirat(at, name.c_str(), 0755));
      const int below = ::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY);
      ::close(at);
      at = below;
    }
    const int deepest = ::openat(at, "file", O_RDWR | O_CREAT, 0644);
    t.call("write at the bottom", ::write(deepest, "deep", 4));
    ::close(deepest);
    t.call("renameat", ::renameat(at, "file", at, "moved"));
    t.call("move the whole tree", ::rename(t.at(name).c_str(), t.at("top").c_str()));
    struct stat about {};
    t.call("still reachable", ::fstatat(at, "moved", &about, 0));
    ::close(at);
    t.note(run("rm -r '" + t.at("top") + "'"));
    t.list(".");
  });
}

TEST_CASE("Symlinks: chains, loops, and what open's flags make of them") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), "content");
    ::mkdir(t.at("d").c_str(), 0755);
    std::string before = "f";
    for (int i = 1; i <= 41; ++i) {
      const std::string name = "chain" + std::to_string(i);
      ::symlink(before.c_str(), t.at(name).c_str());
      before = name;
    }
    ::symlink("loop", t.at("loop").c_str());
    ::symlink("nowhere", t.at("dangling").c_str());
    ::symlink("d", t.at("to-d").c_str());
    ::symlink("", t.at("empty").c_str());
    t.call("40 links", touch(t.at("chain40"), O_RDONLY));
    t.call("41 links", touch(t.at("chain41"), O_RDONLY));
    t.call("a loop", touch(t.at("loop"), O_RDONLY));
    t.call("O_NOFOLLOW", touch(t.at("chain1"), O_RDONLY | O_NOFOLLOW));
    t.call("O_NOFOLLOW on a file", touch(t.at("f"), O_RDONLY | O_NOFOLLOW));
    t.call("O_PATH | O_NOFOLLOW", touch(t.at("chain1"), O_PATH | O_NOFOLLOW));
    t.call("O_DIRECTORY on a file", touch(t.at("f"), O_RDONLY | O_DIRECTORY));
    t.call("O_DIRECTORY through a link", touch(t.at("to-d"), O_RDONLY | O_DIRECTORY));
    t.call("O_EXCL on a link", touch(t.at("dangling"), O_WRONLY | O_CREAT | O_EXCL));
    t.call("O_CREAT through a link", touch(t.at("dangling")));
    t.stat("nowhere");
    t.call("write to a directory", touch(t.at("d"), O_WRONLY));
    t.call("O_CREAT on a directory", touch(t.at("d"), O_RDONLY | O_CREAT));
    t.call("a file with a slash", touch(t.at("f/"), O_RDONLY));
    t.call("new with a slash", touch(t.at("new/")));
    t.call("unlink with a slash", ::unlink(t.at("f/").c_str()));
    t.call("rename to a slash", ::rename(t.at("f").c_str(), t.at("g/").c_str()));
    t.call("rmdir of a link", ::rmdir(t.at("to-d").c_str()));
    t.call("rmdir of a link with a slash", ::rmdir(t.at("to-d/").c_str()));
    t.call("stat beyond a file", ::access(t.at("f/..").c_str(), F_OK));
    t.call("chmod through a loop", ::chmod(t.at("loop").c_str(), 0600));
    t.list(".");
  });
}

TEST_CASE("Append, truncate and read-only: each flag means what it says") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    write_file(t.at("f"), "0123456789");
    int fd = ::open(t.at("f").c_str(), O_RDWR | O_APPEND);
    t.call("append", ::write(fd, "A", 1));
    t.call("pwrite appends too", ::pwrite(fd, "B", 1, 0));
    t.call("position", ::lseek(fd, 0, SEEK_CUR));
    ::truncate(t.at("f").c_str(), 5);
    t.call("append after a truncation", ::write(fd, "C", 1));
    t.content("f");
    ::close(fd);
    fd = ::open(t.at("f").c_str(), O_RDONLY);
    t.call("write to a reader", ::write(fd, "x", 1));
    t.call("truncate a reader", ::ftruncate(fd, 0));
    ::close(fd);
    fd = ::open(t.at("f").c_str(), O_WRONLY);
    char byte = 0;
    t.call("read from a writer", ::read(fd, &byte, 1));
    t.call("seek before the start", ::lseek(fd, -1, SEEK_SET));
    t.call("seek far", ::lseek(fd, 1 << 20, SEEK_END));
    t.call("write there", ::write(fd, "far", 3));
    ::close(fd);
    t.call("O_TRUNC of a reader", touch(t.at("f"), O_RDONLY | O_TRUNC));
    t.stat("f");
  });
}
