#include "tests/restore/nasty_tree.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/restore/scratch.h"

namespace tidemark::test {
namespace {

void set_times(const std::string& path, int64_t atime, long atime_ns, int64_t mtime, long mtime_ns) {
  timespec times[2] = {{atime, atime_ns}, {mtime, mtime_ns}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
}

void put(const std::string& path, uint64_t at, const std::string& bytes) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  REQUIRE(fd >= 0);
  REQUIRE(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)) == static_cast<ssize_t>(bytes.size()));
  ::close(fd);
}

void make_names(const std::string& root) {
  ::mkdir((root + "/names").c_str(), 0755);
  for (std::string name :
       {std::string("with\nnewline"), std::string("tab\tand \x01"), std::string(255, 'n'),
        std::string("not utf-8 \xff\xfe\x80"), std::string("-rf"), std::string(" "), std::string("back\\slash"),
        std::string("a:b@c"), std::string("…"), std::string("..."), std::string("*?[x]'\"$(x)`;|&")}) {
    write_file(root + "/names/" + name, "named " + name);
  }
}

void make_modes(const std::string& root) {
  ::mkdir((root + "/modes").c_str(), 0755);
  for (mode_t mode : {0u, 0777u, 0400u, 04755u, 02755u, 01644u, 06711u}) {
    std::string path = root + "/modes/file" + std::to_string(mode);
    write_file(path, "x");
    if (::geteuid() == 0) REQUIRE(::chown(path.c_str(), 1234, 4321) == 0);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    std::string directory = root + "/modes/directory" + std::to_string(mode);
    ::mkdir(directory.c_str(), 0755);
    write_file(directory + "/inside", "y");
    REQUIRE(::chmod(directory.c_str(), mode) == 0);
  }
}

void make_content(const std::string& root) {
  ::mkdir((root + "/content").c_str(), 0755);
  for (size_t size : {0u, 1u, 511u, 4095u, 4096u, 4097u, 65536u, 1048575u, 1048577u}) {
    write_file(root + "/content/random" + std::to_string(size), random_bytes(size, size));
    write_file(root + "/content/text" + std::to_string(size), std::string(size, 't'));
  }
  write_file(root + "/content/large", random_bytes(24 << 20, 24));
  std::string sparse = root + "/content/sparse over 4 GiB";
  put(sparse, 0, random_bytes(5000, 1));
  put(sparse, (uint64_t{4} << 30) - 2048, random_bytes(4096, 2));
  put(sparse, (uint64_t{4} << 30) + (20 << 20), random_bytes(3 << 20, 3));
  REQUIRE(::truncate(sparse.c_str(), (off_t{4} << 30) + (40 << 20) + 12345) == 0);
  std::string holes = root + "/content/every second block";
  for (uint64_t i = 0; i < 700; ++i) put(holes, i * 8192 + 4096, random_bytes(4096, i));
  REQUIRE(::truncate((root + "/content/text4097").c_str(), 4000) == 0);
  write_file(root + "/content/only a hole", "");
  REQUIRE(::truncate((root + "/content/only a hole").c_str(), 16 << 20) == 0);
}

void make_types(const std::string& root) {
  ::mkdir((root + "/types").c_str(), 0755);
  REQUIRE(::symlink("../content/large", (root + "/types/symlink").c_str()) == 0);
  REQUIRE(::symlink("/nowhere/at all", (root + "/types/dangling").c_str()) == 0);
  REQUIRE(::symlink(std::string(4000, 'l').c_str(), (root + "/types/long").c_str()) == 0);
  REQUIRE(::symlink("..", (root + "/types/up").c_str()) == 0);
  REQUIRE(::mkfifo((root + "/types/pipe").c_str(), 0620) == 0);
  if (::geteuid() == 0) {
    REQUIRE(::lchown((root + "/types/dangling").c_str(), 77, 88) == 0);
    static_cast<void>(::mknod((root + "/types/null").c_str(), S_IFCHR | 0666, makedev(1, 3)));
    static_cast<void>(::mknod((root + "/types/block").c_str(), S_IFBLK | 0660, makedev(259, 70000)));
  }
  set_times(root + "/types/symlink", -5, 1, -1'000'000, 999'999'999);
  set_times(root + "/types/pipe", 5, 0, 77, 1);
}

void make_links(const std::string& root) {
  ::mkdir((root + "/links").c_str(), 0755);
  ::mkdir((root + "/links/a").c_str(), 0755);
  ::mkdir((root + "/links/b").c_str(), 0755);
  write_file(root + "/links/b/first", "linked three times");
  REQUIRE(::link((root + "/links/b/first").c_str(), (root + "/links/a/second").c_str()) == 0);
  REQUIRE(::link((root + "/links/b/first").c_str(), (root + "/third").c_str()) == 0);
  REQUIRE(::linkat(AT_FDCWD, (root + "/types/dangling").c_str(), AT_FDCWD, (root + "/links/symlink").c_str(), 0) == 0);
  REQUIRE(::link((root + "/types/pipe").c_str(), (root + "/links/pipe").c_str()) == 0);
}

void make_xattrs(const std::string& root) {
  ::mkdir((root + "/xattrs").c_str(), 0755);
  std::string file = root + "/xattrs/file";
  write_file(file, "x");
  auto set = [](const std::string& path, const std::string& name, const std::string& value) {
    if (::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) WARN("no " << name << " here");
  };
  set(file, "user.empty", "");
  set(file, "user.zeros", std::string(10, '\0'));
  set(file, "user." + std::string(200, 'n'), random_bytes(2000, 7));
  set(root + "/xattrs", "user.on a directory", "yes");
  set(root, "user.on the root", "yes");
  if (::geteuid() == 0) {
    set(root + "/types/symlink", "trusted.on a symlink", "1");
    set(root + "/types/pipe", "trusted.on a pipe", "2");
    set(file, "security.capability", std::string("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
  }
  for (const char* acl : {"u:1:r--,g:2:rwx,m::r-x", "d:u:1:rwx,d:g::r-x"}) {
    bool on_directory = acl[0] == 'd';
    write_file(root + "/xattrs/acl", "x");
    ::mkdir((root + "/xattrs/acl directory").c_str(), 0755);
    Ran ran = run({"setfacl", "-m", acl, root + (on_directory ? "/xattrs/acl directory" : "/xattrs/acl")});
    if (ran.exit != 0) WARN("no ACLs here: " << ran.output);
  }
}

void make_times(const std::string& root) {
  ::mkdir((root + "/times").c_str(), 0755);
  struct Case {
    int64_t seconds;
    long nanoseconds;
  };
  for (Case one :
       {Case{-1, 999'999'999}, Case{-2'000'000'000, 5}, Case{0, 0}, Case{4'294'967'296, 1}, Case{10'000'000'000, 123}}) {
    std::string path = root + "/times/t" + std::to_string(one.seconds);
    write_file(path, "x");
    set_times(path, one.seconds + 1, 17, one.seconds, one.nanoseconds);
    ::mkdir((path + "d").c_str(), 0755);
    write_file(path + "d/inside", "x");
    set_times(path + "d", one.seconds, one.nanoseconds, one.seconds, one.nanoseconds);
  }
}

}  // namespace

void make_nasty_tree(const std::string& root) {
  make_names(root);
  make_modes(root);
  make_content(root);
  make_types(root);
  make_links(root);
  make_xattrs(root);
  make_times(root);
  std::string deep = root + "/deep";
  for (int i = 0; i < 40; ++i) {
    ::mkdir(deep.c_str(), 0755);
    deep += "/" + std::string(50, 'd');
  }
  set_times(root, 1'000'000'000, 1, 1'000'000'001, 2);
}

}  // namespace tidemark::test
