// Reading directories: large ones, ones that change, and from the middle.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <map>
#include <set>

#include "tests/fs/parity.h"

using namespace tidemark::test;

namespace {

class Reader {
 public:
  explicit Reader(const std::string& path) : directory_(::opendir(path.c_str())) { REQUIRE(directory_ != nullptr); }
  ~Reader() { ::closedir(directory_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  // "" at the end.
  std::string next() {
    dirent* entry = ::readdir(directory_);
    return entry ? entry->d_name : "";
  }
  std::vector<std::string> rest() {
    std::vector<std::string> names;
    for (std::string name = next(); !name.empty(); name = next()) names.push_back(name);
    return names;
  }
  long tell() { return ::telldir(directory_); }
  void seek(long place) { ::seekdir(directory_, place); }
  void rewind() { ::rewinddir(directory_); }

 private:
  DIR* directory_;
};

void make(const std::string& path) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT, 0644);
  REQUIRE(fd >= 0);
  ::close(fd);
}

std::string numbered(int i) {
  char name[16];
  std::snprintf(name, sizeof name, "n%06d", i);
  return name;
}

}  // namespace

TEST_CASE("A directory of 100,000 names is made, listed, looked up and removed in time") {
  if (!can_mount()) return;
  Mounted mounted;
  constexpr int kNames = 100'000;
  const std::string big = mounted / "big";
  REQUIRE(::mkdir(big.c_str(), 0755) == 0);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kNames; ++i) REQUIRE(::mknod((big + "/" + numbered(i)).c_str(), S_IFREG | 0644, 0) == 0);
  const auto made = std::chrono::steady_clock::now();
  std::vector<std::string> names = Reader(big).rest();
  const auto listed = std::chrono::steady_clock::now();
  CHECK(names.size() == kNames + 2);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == kNames + 2);
  struct stat about {};
  for (int i = 0; i < kNames; i += 997) CHECK(::stat((big + "/" + numbered(i)).c_str(), &about) == 0);
  const auto seconds = [](auto from, auto to) { return std::chrono::duration<double>(to - from).count(); };
  WARN("100,000 names: made in " << seconds(begin, made) << " s, listed in " << seconds(made, listed) << " s");
  CHECK(seconds(made, listed) < 10);
  CHECK(run("rm -rf " + big) == "");
}

TEST_CASE("telldir and seekdir come back to where they were, across pages and after changes") {
  if (!can_mount()) return;
  Mounted mounted;
  const std::string dir = mounted / "d";
  REQUIRE(::mkdir(dir.c_str(), 0755) == 0);
  for (int i = 0; i < 5'000; ++i) make(dir + "/" + numbered(i));
  Reader reader(dir);
  std::map<long, std::string> places;
  for (;;) {
    const long place = reader.tell();
    const std::string name = reader.next();
    places[place] = name;
    if (name.empty()) break;
  }
  CHECK(places.size() == 5'003);
  for (int i = 0; i < 5'000; i += 7) REQUIRE(::unlink((dir + "/" + numbered(i)).c_str()) == 0);
  for (int step : {4'999, 1, 3'333, 1'024, 1'026, 2'050, 17, 0}) {
    auto place = std::next(places.begin(), step);
    reader.seek(place->first);
    CHECK(reader.next() == place->second);
  }
}

TEST_CASE("Nothing is seen twice or lost while others create, rename and remove") {
  if (!can_mount()) return;
  Mounted mounted;
  const std::string dir = mounted / "d";
  REQUIRE(::mkdir(dir.c_str(), 0755) == 0);
  for (int i = 0; i < 3'000; ++i) make(dir + "/" + numbered(i * 2));
  Reader reader(dir);
  std::multiset<std::string> seen;
  int step = 0;
  for (std::string name = reader.next(); !name.empty(); name = reader.next(), ++step) {
    seen.insert(name);
    make(dir + "/" + numbered(step * 2 + 1));
    if (step % 3 == 0) ::rename((dir + "/" + numbered(5'998 - step)).c_str(), (dir + "/!" + std::to_string(step)).c_str());
  }
  for (const std::string& name : seen) CHECK(seen.count(name) == 1);
  // What was there all the time, whatever it was called, was seen; a snapshot shows the names of the beginning.
  size_t of_the_beginning = 0;
  for (int i = 0; i < 3'000; ++i) of_the_beginning += seen.count(numbered(i * 2));
  CHECK(of_the_beginning == 3'000);
  reader.rewind();
  const std::vector<std::string> again = reader.rest();
  CHECK(again.size() > 3'002);
}

namespace {

// One READDIR of an NFS server: the directory is opened anew, entered behind `cookie` and read a little. Empty: the end.
std::vector<std::string> piece(const std::string& path, long& cookie) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY);
  REQUIRE(fd >= 0);
  REQUIRE(::lseek(fd, cookie, SEEK_SET) == cookie);
  alignas(dirent64) char buffer[4096];
  const long got = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer);
  REQUIRE(got >= 0);
  std::vector<std::string> names;
  for (long at = 0; at < got;) {
    const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
    names.emplace_back(entry->d_name);
    cookie = entry->d_off;
    at += entry->d_reclen;
  }
  ::close(fd);
  return names;
}

}  // namespace

TEST_CASE("A directory is emptied by whoever opens it anew for each piece, whatever he removed before") {
  if (!can_mount()) return;
  Mounted mounted;
  const std::string dir = mounted / "d";
  REQUIRE(::mkdir(dir.c_str(), 0755) == 0);
  for (int i = 0; i < 5'000; ++i) REQUIRE(::mknod((dir + "/" + numbered(i)).c_str(), S_IFREG | 0644, 0) == 0);
  long cookie = 0;
  int removed = 0;
  bool remounted = false;
  for (auto names = piece(dir, cookie); !names.empty(); names = piece(dir, cookie)) {
    for (const std::string& name : names) {
      if (name[0] != 'n') continue;
      REQUIRE(::unlink((dir + "/" + name).c_str()) == 0);
      ++removed;
    }
    if (removed < 2'000 || remounted) continue;
    remounted = true;
    // Places outlive the mount, though the names they stand behind are gone.
    REQUIRE(mounted.unmount() == 0);
    REQUIRE(mounted.start({}) == "");
  }
  CHECK(removed == 5'000);
  CHECK(::rmdir(dir.c_str()) == 0);
}

TEST_CASE("What stays is listed once by whoever opens the directory anew for each piece, while other names come and go") {
  if (!can_mount()) return;
  Mounted mounted;
  const std::string dir = mounted / "d";
  REQUIRE(::mkdir(dir.c_str(), 0755) == 0);
  for (int i = 0; i < 4'000; ++i) REQUIRE(::mknod((dir + "/" + numbered(i)).c_str(), S_IFREG | 0644, 0) == 0);
  std::map<std::string, int> seen;
  long cookie = 0;
  int round = 0;
  for (auto names = piece(dir, cookie); !names.empty(); names = piece(dir, cookie), ++round) {
    for (const std::string& name : names) ++seen[name];
    for (int i = round * 20; i < round * 20 + 20 && i < 2'000; ++i) {
      REQUIRE(::unlink((dir + "/" + numbered(i * 2)).c_str()) == 0);
      make(dir + "/" + numbered(i * 2) + "x");
    }
  }
  int once = 0;
  for (int i = 1; i < 4'000; i += 2) once += seen[numbered(i)] == 1 ? 1 : 0;
  CHECK(once == 2'000);
  for (const auto& [name, times] : seen) {
    INFO(name);
    CHECK(times <= 1);
  }
}

TEST_CASE("A place that never was is refused") {
  if (!can_mount()) return;
  Mounted mounted;
  make(mounted / "f");
  const int fd = ::open(mounted.path().c_str(), O_RDONLY | O_DIRECTORY);
  REQUIRE(::lseek(fd, 123'456'789, SEEK_SET) == 123'456'789);
  char buffer[4096];
  CHECK(::syscall(SYS_getdents64, fd, buffer, sizeof buffer) == -1);
  CHECK(errno == EINVAL);
  ::close(fd);
}

TEST_CASE("Everything can be removed while it is being read") {
  if (!can_mount()) return;
  Mounted mounted;
  const std::string dir = mounted / "d";
  REQUIRE(::mkdir(dir.c_str(), 0755) == 0);
  for (int i = 0; i < 3'000; ++i) make(dir + "/" + numbered(i));
  Reader reader(dir);
  for (std::string name = reader.next(); !name.empty(); name = reader.next()) {
    if (name[0] == 'n') REQUIRE(::unlink((dir + "/" + name).c_str()) == 0);
  }
  CHECK(::rmdir(dir.c_str()) == 0);
}

TEST_CASE("What readdir says of an inode is what stat says") {
  if (!can_mount()) return;
  Mounted mounted;
  run("mkdir -p " + (mounted / "d/sub") + "; ln -s x " + (mounted / "d/link") + "; mkfifo " + (mounted / "d/fifo") +
      "; echo 1 > " + (mounted / "d/file"));
  DIR* directory = ::opendir((mounted / "d").c_str());
  REQUIRE(directory);
  int found = 0;
  while (dirent* entry = ::readdir(directory)) {
    struct stat about {};
    REQUIRE(::lstat((mounted / ("d/" + std::string(entry->d_name))).c_str(), &about) == 0);
    CHECK(entry->d_ino == about.st_ino);
    CHECK(static_cast<mode_t>(DTTOIF(entry->d_type)) == (about.st_mode & S_IFMT));
    ++found;
  }
  ::closedir(directory);
  CHECK(found == 6);
}

TEST_CASE("A removed directory that is still open is empty") {
  if (!can_mount()) return;
  Mounted mounted;
  same_as_native(mounted, [](Trace& t) {
    ::mkdir(t.at("d").c_str(), 0755);
    int fd = ::open(t.at("d").c_str(), O_RDONLY | O_DIRECTORY);
    t.call("rmdir", ::rmdir(t.at("d").c_str()));
    t.call("create in it", ::openat(fd, "x", O_WRONLY | O_CREAT, 0644) >= 0 ? 0 : -1);
    DIR* directory = ::fdopendir(fd);
    int names = 0;
    while (::readdir(directory)) ++names;
    t.note(std::to_string(names) + " names");
    ::closedir(directory);
  });
}
