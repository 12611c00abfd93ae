// POSIX, call by call, beside a native directory.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

int touch(const std::string& path, int flags = O_WRONLY | O_CREAT, mode_t mode = 0666) {
  int fd = ::open(path.c_str(), flags, mode);
  if (fd >= 0) ::close(fd);
  return fd >= 0 ? 0 : -1;
}

int rename2(const std::string& from, const std::string& to, unsigned flags) {
  return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
}

}  // namespace

TEST_CASE("The comparison sees a difference where there is one") {
  if (!can_mount()) return;
  Mounted mounted;
  std::string difference;
  CHECK_FALSE(equal_traces(
      mounted, [](Trace& t) { t.note(t.directory()); }, difference));
  difference.clear();
  CHECK_FALSE(equal_traces(
      mounted,
      [&](Trace& t) {
        touch(t.at("f"));
        if (t.directory().starts_with(mounted.path())) ::chmod(t.at("f").c_str(), 0600);
        t.stat("f");
      },
      difference));
}

TEST_CASE("Files, directories, symlinks, fifos, sockets and devices are made with their modes") {
  if (!can_mount()) return;
  Mounted mounted;
  const mode_t before = ::umask(027);
  same_as_native(mounted, [](Trace& t) {
    t.call("open", touch(t.at("file"), O_WRONLY | O_CREAT | O_EXCL, 0666));
    t.call("again", touch(t.at("file"), O_WRONLY | O_CREAT | O_EXCL, 0666));
    t.call("odd mode", touch(t.at("odd"), O_WRONLY | O_CREAT, 06755));
    t.call("mkdir", ::mkdir(t.at("dir").c_str(), 01777));
    t.call("mkdir again", ::mkdir(t.at("dir").c_str(), 0777));
    t.call("symlink", ::symlink("to nowhere", t.at("link").c_str()));
    t.call("fifo", ::mkfifo(t.at("fifo").c_str(), 0664));
    t.call("char", ::mknod(t.at("char").c_str(), S_IFCHR | 0600, makedev(300, 70000)));
    t.call("block", ::mknod(t.at("block").c_str(), S_IFBLK | 0660, makedev(7, 3)));
    t.call("plain mknod", ::mknod(t.at("plain").c_str(), S_IFREG | 0640, 0));
    for (const char* name : {"file", "odd", "dir", "link", "fifo", "char", "block", "plain", "absent"}) t.stat(name);
    char target[64] = {};
    t.call("readlink", ::readlink(t.at("link").c_str(), target, sizeof target));
    t.note(target);
    t.call("readlink file", ::readlink(t.at("file").c_str(), target, sizeof target));
    t.call("in a file", touch(t.at("file/x")));
    t.call("in nothing", touch(t.at("absent/x")));
    t.call("mkdir ends in slash", ::mkdir(t.at("dir2/").c_str(), 0700));
    t.list(".");
  });
  ::umask(before);
}

TEST_CASE("A socket in the mount can be bound and reached") {
  if (!can_mount()) return;
  Mounted mounted;
  REQUIRE(::chdir(mounted.path().c_str()) == 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "socket");
  int server = ::socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(::bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(::listen(server, 1) == 0);
  int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::close(client);
  ::close(server);
  REQUIRE(::chdir("/") == 0);
}

TEST_CASE("Hard links") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    touch(t.at("a"));
    ::mkdir(t.at("d").c_str(), 0755);
    t.call("link", ::link(t.at("a").c_str(), t.at("d/b").c_str()));
    t.call("link to itself", ::link(t.at("a").c_str(), t.at("a").c_str()));
    t.call("link of a directory", ::link(t.at("d").c_str(), t.at("e").c_str()));
    t.call("link of nothing", ::link(t.at("x").c_str(), t.at("y").c_str()));
    ::symlink("a", t.at("s").c_str());
    t.call("link of a symlink", ::linkat(AT_FDCWD, t.at("s").c_str(), AT_FDCWD, t.at("s2").c_str(), 0));
    for (const char* name : {"a", "d/b", "s", "s2", "d"}) t.stat(name);
    write_file(t.at("a"), "one inode");
    t.content("d/b");
    t.call("unlink", ::unlink(t.at("a").c_str()));
    t.stat("d/b");
    struct stat one {
    }, two{};
    ::lstat(t.at("s").c_str(), &one);
    ::lstat(t.at("s2").c_str(), &two);
    t.note(one.st_ino == two.st_ino ? "same inode" : "different inodes");
  });
}

TEST_CASE("Directories count the directories in them") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    for (const char* name : {"a", "a/b", "a/c", "a/c/d"}) ::mkdir(t.at(name).c_str(), 0755);
    touch(t.at("a/f"));
    t.stat("a");
    t.call("rmdir full", ::rmdir(t.at("a").c_str()));
    t.call("rmdir a file", ::rmdir(t.at("a/f").c_str()));
    t.call("unlink a directory", ::unlink(t.at("a/b").c_str()));
    t.call("rmdir", ::rmdir(t.at("a/b").c_str()));
    t.call("rmdir nothing", ::rmdir(t.at("a/b").c_str()));
    t.call("rmdir dot", ::rmdir(t.at("a/c/.").c_str()));
    t.call("move a directory", ::rename(t.at("a/c").c_str(), t.at("c").c_str()));
    t.stat("a");
    t.stat("c");
    t.stat(".");
    t.list("a");
    t.list("c/d/..");
  });
}

TEST_CASE("rename, with each flag, onto each kind") {
  if (!can_mount() || !is_root()) return;
  Mounted mounted;
  constexpr unsigned kFlags[] = {0,
                                 RENAME_NOREPLACE,
                                 RENAME_EXCHANGE,
                                 RENAME_WHITEOUT,
                                 RENAME_WHITEOUT | RENAME_NOREPLACE,
                                 RENAME_EXCHANGE | RENAME_NOREPLACE};
  for (unsigned flags : kFlags) {
    same_as_native(mounted, [flags](Trace& t) {
      const char* kinds[] = {"file", "empty", "full", "link", "absent"};
      for (const char* from : kinds) {
        for (const char* to : kinds) {
          const std::string base = std::string(from) + "-" + to;
          ::mkdir(t.at(base).c_str(), 0755);
          for (const char* side : {"from", "to"}) {
            const std::string kind = side[0] == 'f' ? from : to;
            const std::string path = base + "/" + side;
            if (kind == "file") write_file(t.at(path), side);
            if (kind == "empty" || kind == "full") ::mkdir(t.at(path).c_str(), 0755);
            if (kind == "full") touch(t.at(path + "/in"));
            if (kind == "link") ::symlink(side, t.at(path).c_str());
          }
          t.call(base, rename2(t.at(base + "/from"), t.at(base + "/to"), flags));
          t.list(base);
          t.stat(base);
          t.stat(base + "/from");
          t.stat(base + "/to");
        }
      }
    });
  }
}

TEST_CASE("rename keeps its hands off what must stay") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    ::mkdir(t.at("a").c_str(), 0755);
    ::mkdir(t.at("a/b").c_str(), 0755);
    touch(t.at("f"));
    ::link(t.at("f").c_str(), t.at("g").c_str());
    t.call("into itself", ::rename(t.at("a").c_str(), t.at("a/b/c").c_str()));
    t.call("onto its parent", ::rename(t.at("a/b").c_str(), t.at("a").c_str()));
    t.call("exchange with its child", rename2(t.at("a"), t.at("a/b"), RENAME_EXCHANGE));
    t.call("same inode", ::rename(t.at("f").c_str(), t.at("g").c_str()));
    t.call("same name", ::rename(t.at("f").c_str(), t.at("f").c_str()));
    t.list(".");
    t.stat("f");
  });
}

TEST_CASE("Names: 255 bytes, any bytes, none too long") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    const std::string longest(255, 'n');
    const std::string odd = "line\nbreak\ttab \xff\xfe\x80 *?[]'\"\\";
    for (const std::string& name :
         {longest, odd, std::string("\xc3\xa4\xe2\x82\xac"), std::string("..."), std::string(" ")}) {
      t.call("open", touch(t.at(name)));
      t.stat(name);
    }
    const std::string too_long(256, 'n');
    t.call("open", touch(t.at(too_long)));
    t.call("mkdir", ::mkdir(t.at(too_long).c_str(), 0755));
    t.call("symlink", ::symlink("x", t.at(too_long).c_str()));
    t.call("unlink", ::unlink(t.at(too_long).c_str()));
    t.call("rename", ::rename(t.at(longest).c_str(), t.at(too_long).c_str()));
    t.call("link", ::link(t.at(longest).c_str(), t.at(too_long).c_str()));
    t.stat(too_long);
    t.list(".");
    t.call("symlink target of 4,095 bytes", ::symlink(std::string(4095, 's').c_str(), t.at("s").c_str()));
    t.stat("s");
  });
}

TEST_CASE("An unlinked file lives as long as it is open, then leaves nothing behind") {
  if (!can_mount()) return;
  Mounted mounted;
  const std::string path = mounted / "gone";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0644);
  REQUIRE(fd >= 0);
  REQUIRE(::write(fd, "before", 6) == 6);
  REQUIRE(::unlink(path.c_str()) == 0);
  REQUIRE(::write(fd, " after", 6) == 6);
  REQUIRE(::fsync(fd) == 0);
  char text[16] = {};
  CHECK(::pread(fd, text, 12, 0) == 12);
  CHECK(std::string(text) == "before after");
  struct stat about {};
  CHECK(::fstat(fd, &about) == 0);
  CHECK(about.st_nlink == 0);
  CHECK(::fchmod(fd, 0600) == 0);
  CHECK(::ftruncate(fd, 3) == 0);
  CHECK(mounted.seqs().unnamed == 1);
  ::close(fd);
  for (int i = 0; i < 100 && mounted.seqs().unnamed > 0; ++i) ::usleep(20'000);
  CHECK(mounted.seqs().unnamed == 0);
}

TEST_CASE("A replaced file and a removed directory are freed as well") {
  if (!can_mount()) return;
  Mounted mounted;
  for (int i = 0; i < 50; ++i) {
    const std::string n = std::to_string(i);
    write_file(mounted / ("old" + n), "old");
    write_file(mounted / ("new" + n), "new");
    REQUIRE(::rename((mounted / ("new" + n)).c_str(), (mounted / ("old" + n)).c_str()) == 0);
    REQUIRE(::mkdir((mounted / ("dir" + n)).c_str(), 0755) == 0);
    REQUIRE(::rmdir((mounted / ("dir" + n)).c_str()) == 0);
  }
  for (int i = 0; i < 100 && mounted.seqs().unnamed > 0; ++i) ::usleep(20'000);
  CHECK(mounted.seqs().unnamed == 0);
}

TEST_CASE("O_TMPFILE: a file without a name, which may get one") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    int fd = ::open(t.directory().c_str(), O_TMPFILE | O_RDWR, 0640);
    t.call("open", fd >= 0 ? 0 : -1);
    t.call("write", ::write(fd, "content", 7));
    const std::string self = "/proc/self/fd/" + std::to_string(fd);
    t.call("link", ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, t.at("named").c_str(), AT_SYMLINK_FOLLOW));
    ::close(fd);
    t.stat("named");
    t.content("named");
    int never = ::open(t.directory().c_str(), O_TMPFILE | O_RDWR | O_EXCL, 0640);
    const std::string other = "/proc/self/fd/" + std::to_string(never);
    t.call("link of O_EXCL", ::linkat(AT_FDCWD, other.c_str(), AT_FDCWD, t.at("no").c_str(), AT_SYMLINK_FOLLOW));
    struct stat about {};
    t.call("fstat", ::fstat(never, &about));
    t.note("links " + std::to_string(about.st_nlink) + " mode " + std::to_string(about.st_mode));
    ::close(never);
    t.call("in a file", ::open(t.at("named").c_str(), O_TMPFILE | O_RDWR, 0640) >= 0 ? 0 : -1);
    t.list(".");
  });
  for (int i = 0; i < 100 && mounted.seqs().unnamed > 0; ++i) ::usleep(20'000);
  CHECK(mounted.seqs().unnamed == 0);
}

TEST_CASE("Times: nanoseconds, before 1970, now, omitted") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    touch(t.at("f"));
    ::mkdir(t.at("d").c_str(), 0755);
    ::symlink("f", t.at("s").c_str());
    const auto set = [&](const char* name, timespec atime, timespec mtime) {
      const timespec times[2] = {atime, mtime};
      t.call(std::string("utimensat ") + name, ::utimensat(AT_FDCWD, t.at(name).c_str(), times, AT_SYMLINK_NOFOLLOW));
      struct stat about {};
      ::lstat(t.at(name).c_str(), &about);
      t.note(std::to_string(about.st_atim.tv_sec) + "." + std::to_string(about.st_atim.tv_nsec) + " " +
             std::to_string(about.st_mtim.tv_sec) + "." + std::to_string(about.st_mtim.tv_nsec));
    };
    for (const char* name : {"f", "d", "s"}) {
      set(name, {1'000'000'000, 123'456'789}, {2'000'000'000, 999'999'999});
      set(name, {-1, 1}, {-1'000'000'000, 500'000'000});
      set(name, {5, 5}, {0, UTIME_OMIT});
      set(name, {0, UTIME_OMIT}, {7, 7});
      set(name, {0, UTIME_OMIT}, {0, UTIME_OMIT});
    }
    const timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    t.call("now", ::utimensat(AT_FDCWD, t.at("f").c_str(), now, 0));
    struct stat about {};
    ::lstat(t.at("f").c_str(), &about);
    t.note(about.st_mtime > 1'700'000'000 && about.st_atime > 1'700'000'000 ? "recent" : "not recent");
  });
}

TEST_CASE("What changes an inode's times") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    struct Change {
      const char* what;
      std::function<void()> act;
    };
    ::mkdir(t.at("d").c_str(), 0755);
    touch(t.at("d/f"));
    const Change changes[] = {
        {"chmod", [&] { ::chmod(t.at("d/f").c_str(), 0600); }},
        {"write", [&] { write_file(t.at("d/f"), "x"); }},
        {"truncate", [&] { ::truncate(t.at("d/f").c_str(), 100); }},
        {"link", [&] { ::link(t.at("d/f").c_str(), t.at("d/g").c_str()); }},
        {"unlink", [&] { ::unlink(t.at("d/g").c_str()); }},
        {"rename",
         [&] { ::rename(t.at("d/f").c_str(), t.at("d/h").c_str()), ::rename(t.at("d/h").c_str(), t.at("d/f").c_str()); }},
        {"mkdir", [&] { ::mkdir(t.at("d/e").c_str(), 0755); }},
    };
    for (const Change& change : changes) {
      const timespec old[2] = {{1000, 0}, {1000, 0}};
      ::utimensat(AT_FDCWD, t.at("d/f").c_str(), old, 0);
      ::utimensat(AT_FDCWD, t.at("d").c_str(), old, 0);
      struct stat file_before {
      }, dir_before{}, file{}, dir{};
      ::stat(t.at("d/f").c_str(), &file_before);
      ::stat(t.at("d").c_str(), &dir_before);
      ::usleep(20'000);
      change.act();
      ::stat(t.at("d/f").c_str(), &file);
      ::stat(t.at("d").c_str(), &dir);
      const auto changed = [](const timespec& a, const timespec& b) {
        return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
      };
      t.note(std::string(change.what) + ": file mtime " + (changed(file.st_mtim, file_before.st_mtim) ? "new" : "old") +
             " ctime " + (changed(file.st_ctim, file_before.st_ctim) ? "new" : "old") + "; directory mtime " +
             (changed(dir.st_mtim, dir_before.st_mtim) ? "new" : "old") + " ctime " +
             (changed(dir.st_ctim, dir_before.st_ctim) ? "new" : "old"));
    }
  });
}

TEST_CASE("Attributes survive a remount, birth time too") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted / "f", "content");
  const timespec times[2] = {{-5, 5}, {1'234'567'890, 987'654'321}};
  REQUIRE(::utimensat(AT_FDCWD, (mounted / "f").c_str(), times, 0) == 0);
  REQUIRE(::chmod((mounted / "f").c_str(), 0604) == 0);
  struct statx before {
  }, after{};
  REQUIRE(::statx(AT_FDCWD, (mounted / "f").c_str(), 0, STATX_BASIC_STATS | STATX_BTIME, &before) == 0);
  CHECK(mounted.unmount() == 0);
  REQUIRE(mounted.start({}) == "");
  REQUIRE(::statx(AT_FDCWD, (mounted / "f").c_str(), 0, STATX_BASIC_STATS | STATX_BTIME, &after) == 0);
  CHECK(after.stx_mode == before.stx_mode);
  CHECK(after.stx_size == 7);
  CHECK(after.stx_ino == before.stx_ino);
  CHECK(after.stx_blocks == 8);
  CHECK(after.stx_atime.tv_sec == -5);
  CHECK(after.stx_mtime.tv_sec == 1'234'567'890);
  CHECK(after.stx_mtime.tv_nsec == 987'654'321);
  CHECK(after.stx_ctime.tv_sec == before.stx_ctime.tv_sec);
  CHECK(after.stx_ctime.tv_nsec == before.stx_ctime.tv_nsec);
  // Birth times are known where the kernel asks for them (Linux 6.6).
  CHECK((after.stx_mask & STATX_BTIME) == (before.stx_mask & STATX_BTIME));
  if (after.stx_mask & STATX_BTIME) {
    CHECK(after.stx_btime.tv_sec == before.stx_btime.tv_sec);
    CHECK(after.stx_btime.tv_nsec == before.stx_btime.tv_nsec);
    CHECK(std::abs(after.stx_btime.tv_sec - ::time(nullptr)) < 60);
  }
}

TEST_CASE("Locks of both kinds hold between processes") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    int fd = ::open(t.at("f").c_str(), O_RDWR | O_CREAT, 0644);
    t.call("flock", ::flock(fd, LOCK_EX));
    int other = ::open(t.at("f").c_str(), O_RDWR);
    t.call("second flock", ::flock(other, LOCK_EX | LOCK_NB));
    t.call("unlock", ::flock(fd, LOCK_UN));
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_len = 10;
    t.call("posix lock", ::fcntl(fd, F_SETLK, &lock));
    const int child = as_user(::geteuid(), [&] {
      int mine = ::open(t.at("f").c_str(), O_RDWR);
      struct flock wanted {};
      wanted.l_type = F_WRLCK;
      wanted.l_start = 5;
      wanted.l_len = 1;
      return ::fcntl(mine, F_SETLK, &wanted) == 0 ? 0 : errno;
    });
    t.note("the other process gets " + std::to_string(child));
    ::close(fd);
    ::close(other);
  });
}

TEST_CASE("statfs tells the disk's room and the longest name") {
  if (!can_mount()) return;
  Mounted mounted;
  struct statvfs here {
  }, disk{};
  REQUIRE(::statvfs(mounted.path().c_str(), &here) == 0);
  REQUIRE(::statvfs(mounted.volume().c_str(), &disk) == 0);
  CHECK(here.f_namemax == 255);
  CHECK(here.f_frsize == 4096);
  CHECK(here.f_blocks * here.f_frsize == disk.f_blocks * disk.f_frsize);
  CHECK(here.f_bavail > 0);
  CHECK(here.f_files > here.f_ffree);
}
