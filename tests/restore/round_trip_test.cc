// Import, view, restore: nothing is lost on the way, compared with the original by ourselves and by rsync.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include <catch2/catch.hpp>

#include "restore/native_view.h"
#include "restore/restore.h"
#include "tests/restore/nasty_tree.h"
#include "tests/restore/scratch.h"
#include "tests/support/compare_tree.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

// As a CLI says it: what differs, a line each.
std::string differences(const std::string& here, const std::string& there, CompareOptions options = {}) {
  std::string all;
  for (const std::string& line : compare_trees(here, there, options)) all += line + "\n";
  return all;
}

CompareOptions everything() {
  CompareOptions options;
  options.atime = true;
  options.holes = true;
  return options;
}

std::string rsync_finds(const std::string& here, const std::string& there) {
  if (!have_tool("rsync")) return "";
  Ran ran = run({"rsync", "-aHAXn", "--delete", "--checksum", "-i",
                 "--exclude=sparse over 4 GiB",  // it would read every hole of it, for half a minute
                 here + "/", there + "/"});
  CHECK(ran.exit == 0);
  return ran.output;
}

std::unique_ptr<Group> new_group(const std::string& directory) {
  InitOptions init;
  init.name = "test";
  Status made = Group::init(directory, init);
  INFO(made.text());
  REQUIRE(made.ok());
  auto group = Group::open(directory, OpenMode::kPrimary);
  INFO(group.status().text());
  REQUIRE(group.ok());
  return std::move(group).value();
}

std::shared_ptr<TreeView> newest(Group& group) {
  auto view = group.view(kLatest);
  REQUIRE(view.ok());
  return *view;
}

RestoreOptions into(const std::string& target) {
  RestoreOptions options;
  options.target = target;
  return options;
}

void check_ok(const Result<RestoreReport>& report) {
  INFO(report.status().text());
  REQUIRE(report.ok());
  for (const std::string& warning : report->warnings) WARN(warning);
  CHECK(report->warnings.empty());
}

}  // namespace

TEST_CASE("the comparer sees what differs") {
  Scratch scratch;
  for (const char* side : {"a", "b"}) {
    ::mkdir(scratch.path(side).c_str(), 0755);
    make_nasty_tree(scratch.path(side));
  }
  std::string a = scratch.path("a"), b = scratch.path("b");
  CompareOptions options;
  options.mtime = false;
  REQUIRE(differences(a, b, options).empty());
  std::string expected;
  SECTION("a byte") {
    int fd = ::open((b + "/content/large").c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(::pwrite(fd, "\1\2", 2, 20'000'000) == 2);
    ::close(fd);
    expected = "content/large: content differs at byte 20000000\n";
  }
  SECTION("a mode") {
    ::chmod((b + "/modes/file511").c_str(), 0776);
    expected = "modes/file511: type and mode 100777 here, 100776 there\n";
  }
  SECTION("a nanosecond") {
    timespec times[2] = {{0, 0}, {0, 1}};
    ::utimensat(AT_FDCWD, (b + "/times/t0").c_str(), times, 0);
    options.mtime = true;
    options.directory_mtime = false;
    auto all = differences(a + "/times", b + "/times", options);
    CHECK(all.find("t0: mtime 0.000000000 here, 0.000000001 there\n") != std::string::npos);
    return;
  }
  SECTION("a link that is none any more") {
    ::unlink((b + "/third").c_str());
    write_file(b + "/third", "linked three times");
    expected = "third: the same inode as links/a/second here, nothing there\n";
  }
  SECTION("a file more") {
    write_file(b + "/more", "");
    expected = "more: is missing here\n";
  }
  SECTION("a hole") {
    int fd = ::open((b + "/content/only a hole").c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(::pwrite(fd, "\0", 1, 12345) == 1);
    ::close(fd);
    CHECK(differences(a, b, options).empty());
    options.holes = true;
    expected = "content/only a hole: its holes are elsewhere\n";
  }
  SECTION("an attribute") {
    REQUIRE(run({"setfattr", "-n", "user.empty", "-v", "x", b + "/xattrs/file"}).exit == 0);
    expected = "xattrs/file: extended attribute user.empty differs\n";
  }
  CHECK(differences(a, b, options) == expected);
}

TEST_CASE("a nasty tree: import, restore to a directory") {
  Scratch scratch;
  std::string source = scratch.path("source"), target = scratch.path("target");
  ::mkdir(source.c_str(), 0751);
  make_nasty_tree(source);
  auto group = new_group(scratch.path("group"));
  check_ok(import_directory(source, *group, {}));
  RestoreOptions options = into(target);
  options.jobs = 4;
  auto report = restore_to_directory(*newest(*group), options);
  check_ok(report);
  CHECK(differences(source, target, everything()) == "");
  CHECK(rsync_finds(source, target) == "");
  if (have_tool("rsync")) {  // and it would have found something
    REQUIRE(::chmod((target + "/content/large").c_str(), 0600) == 0);
    CHECK(rsync_finds(source, target).find("content/large") != std::string::npos);
    REQUIRE(::chmod((target + "/content/large").c_str(), 0644) == 0);
  }
  CHECK(report->plan.hard_links == 4);
  CHECK(report->plan.bytes > uint64_t{4} << 30);
  CHECK(report->plan.data_bytes < uint64_t{64} << 20);

  // Over itself by force, and from the reopened group: the same again.
  Status closed = group->close();
  INFO(closed.text());
  REQUIRE(closed.ok());
  group.reset();
  auto again = Group::open(scratch.path("group"), OpenMode::kRead);
  REQUIRE(again.ok());
  options.force = true;
  check_ok(restore_to_directory(*newest(**again), options));
  CompareOptions later = everything();
  later.atime = false;  // rsync has read the source
  CHECK(differences(source, target, later) == "");
}

TEST_CASE("a nasty tree: import, restore to a new volume, restore that to a directory") {
  Scratch scratch;
  std::string source = scratch.path("source"), target = scratch.path("target");
  ::mkdir(source.c_str(), 02770);
  make_nasty_tree(source);
  auto group = new_group(scratch.path("group"));
  check_ok(import_directory(source, *group, {}));
  RestoreOptions options = into(scratch.path("copy"));
  options.jobs = 3;
  check_ok(restore_to_volume(*newest(*group), options, "copy"));
  auto copy = Group::open(scratch.path("copy"), OpenMode::kPrimary);
  INFO(copy.status().text());
  REQUIRE(copy.ok());
  auto mark = (*copy)->find_mark("restored");
  REQUIRE(mark.ok());
  CHECK(mark->note.find("seq:") != std::string::npos);
  CHECK((*copy)->identity().name == "copy");
  auto view = (*copy)->view(mark->seq);
  REQUIRE(view.ok());
  check_ok(restore_to_directory(**view, into(target)));
  CHECK(differences(source, target, everything()) == "");
  CHECK(restore_to_volume(*newest(*group), options, "copy").status().code() != Code::kOk);
}

TEST_CASE("a point in the past is restored as it was") {
  Scratch scratch;
  std::string source = scratch.path("source");
  ::mkdir(source.c_str(), 0755);
  write_file(source + "/file", "first");
  write_file(source + "/gone", "will go");
  auto group = new_group(scratch.path("group"));
  check_ok(import_directory(source, *group, {}));
  auto mark = group->create_mark({"good", "", "", 0, 0});
  REQUIRE(mark.ok());
  Volume& volume = group->volume();
  auto file = volume.lookup(kRootIno, "file");
  REQUIRE(file.ok());
  REQUIRE(volume.write(file->ino, 0, as_bytes("SECOND and longer"), false).ok());
  REQUIRE(volume.unlink(kRootIno, "gone").ok());
  auto view = group->view(mark->seq);
  REQUIRE(view.ok());
  check_ok(restore_to_directory(**view, into(scratch.path("then"))));
  check_ok(restore_to_directory(*newest(*group), into(scratch.path("now"))));
  CHECK(differences(source, scratch.path("then"), everything()) == "");
  CHECK(read_whole(scratch.path("now/file")) == "SECOND and longer");
  CHECK(names(scratch.path("now")) == std::vector<std::string>{"file"});
}

TEST_CASE("import leaves out sockets, other file systems and the volume itself, and says so") {
  Scratch scratch;
  std::string source = scratch.path();
  write_file(source + "/file", "x");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = source + "/socket";
  REQUIRE(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  ::close(fd);
  auto group = new_group(source + "/group");
  auto report = import_directory(source, *group, {});
  INFO(report.status().text());
  REQUIRE(report.ok());
  std::string all;
  for (const std::string& line : report->warnings) all += line + "\n";
  CHECK(all == "left out because it is the volume itself: /group\nsocket left out: /socket\n");
  auto listed = newest(*group)->list(kRootIno, "", 100);
  REQUIRE(listed.ok());
  CHECK(listed->size() == 1);

  Warnings warnings;
  auto slash = NativeView::open("/", "", warnings);
  REQUIRE(slash.ok());
  auto proc = (*slash)->lookup((*slash)->root(), "proc");
  REQUIRE(proc.ok());
  auto inside = (*slash)->list(proc->ino, "", 10);
  REQUIRE(inside.ok());
  CHECK(inside->empty());
  CHECK(warnings.take() ==
        std::vector<std::string>{"kept as an empty directory because another file system is mounted on it: /proc"});
}

TEST_CASE("import notices what changes under it") {
  Scratch scratch;
  std::string source = scratch.path("source");
  ::mkdir(source.c_str(), 0755);
  write_file(source + "/grows", std::string(100, 'a'));
  write_file(source + "/shrinks", std::string(100, 'b'));
  write_file(source + "/goes", std::string(100, 'c'));
  write_file(source + "/stays", std::string(100, 'd'));
  write_file(source + "/becomes a link", std::string(100, 'e'));
  write_file(scratch.path("outside"), std::string(100, 'z'));
  Warnings warnings;
  auto view = NativeView::open(source, "", warnings);
  REQUIRE(view.ok());
  auto listed = (*view)->list(kRootIno, "", 100);
  REQUIRE(listed.ok());
  REQUIRE(listed->size() == 5);
  write_file(source + "/grows", std::string(200, 'A'));
  write_file(source + "/shrinks", "B");
  ::unlink((source + "/goes").c_str());
  ::unlink((source + "/becomes a link").c_str());
  REQUIRE(::symlink(scratch.path("outside").c_str(), (source + "/becomes a link").c_str()) == 0);
  Buffer out(100);
  for (const DirEntry& entry : *listed) {
    auto got = (*view)->read(entry.ino, 0, out.span());
    INFO(entry.name);
    if (entry.name == "goes" || entry.name == "becomes a link") {
      CHECK(got.status().code() == Code::kStale);
    } else {
      REQUIRE(got.ok());
      CHECK(*got == 100);
      if (entry.name == "shrinks") CHECK(as_text(out.bytes()) == "B" + std::string(99, '\0'));
    }
  }
  auto told = warnings.take();
  REQUIRE(told.size() == 1);
  CHECK(told[0].find("it changed while it was copied") == 0);
  CHECK(told[0].find("/grows") != std::string::npos);
  CHECK(told[0].find("/shrinks") != std::string::npos);
  CHECK(told[0].find("/stays") == std::string::npos);
}

TEST_CASE("import of a tree in use: what goes meanwhile is left out, with its links") {
  Scratch scratch;
  std::string source = scratch.path("source");
  ::mkdir(source.c_str(), 0755);
  for (int i = 0; i < 500; ++i) write_file(source + "/f" + std::to_string(i), random_bytes(3000, 1));
  std::atomic<bool> over{false};
  std::thread other([&] {
    for (int round = 0; !over; ++round) {
      std::string name = source + "/f" + std::to_string(round * 7 % 500);
      ::unlink(name.c_str());
      write_file(name, random_bytes(3000, 1));
    }
  });
  auto group = new_group(scratch.path("group"));
  auto report = import_directory(source, *group, {});
  over = true;
  other.join();
  INFO(report.status().text());
  CHECK(report.ok());
  check_ok(restore_to_directory(*newest(*group), into(scratch.path("target"))));
}

TEST_CASE("a bit flipped in the log: the failure names the file, and nothing of it is claimed") {
  Scratch scratch;
  std::string source = scratch.path("source");
  ::mkdir(source.c_str(), 0755);
  ::mkdir((source + "/d").c_str(), 0755);
  std::string content = random_bytes(300'000, 5);
  write_file(source + "/d/bad", content);
  write_file(source + "/good", random_bytes(300'000, 6));
  auto group = new_group(scratch.path("group"));
  check_ok(import_directory(source, *group, {}));
  // Under an open group: recovery at open would refuse a damaged last segment as a whole.
  std::string log = scratch.path("group/log");
  bool flipped = false;
  for (const std::string& segment : names(log)) {
    std::string bytes = read_whole(log + "/" + segment);
    size_t at = bytes.find(content.substr(200'000, 64));
    if (at == std::string::npos) continue;
    int fd = ::open((log + "/" + segment).c_str(), O_WRONLY | O_CLOEXEC);
    char byte = static_cast<char>(bytes[at] ^ 4);
    REQUIRE(::pwrite(fd, &byte, 1, static_cast<off_t>(at)) == 1);
    ::close(fd);
    flipped = true;
  }
  REQUIRE(flipped);
  auto report = restore_to_directory(*newest(*group), into(scratch.path("target")));
  REQUIRE_FALSE(report.ok());
  CHECK(report.status().code() == Code::kCorrupt);
  CHECK(report.status().text().find("/d/bad: ") == 0);
  CHECK(look(scratch.path("target/d/bad")).st_mode == 0);
  RestoreOptions good = into(scratch.path("part"));
  good.include = {"good"};
  CHECK(restore_to_directory(*newest(*group), good).ok());
  auto volume = restore_to_volume(*newest(*group), into(scratch.path("copy")), "copy");
  REQUIRE_FALSE(volume.ok());
  CHECK(volume.status().code() == Code::kCorrupt);
  CHECK(volume.status().text().find("remove it") != std::string::npos);
  CHECK(Group::open(scratch.path("copy"), OpenMode::kRead).status().code() == Code::kNotFound);
  GroupOptions finishing;
  finishing.finishing = true;
  auto copy = Group::open(scratch.path("copy"), OpenMode::kRead, finishing);
  REQUIRE(copy.ok());
  CHECK_FALSE((*copy)->find_mark("restored").ok());
  auto d = (*copy)->volume().lookup(kRootIno, "d");
  if (d.ok()) CHECK((*copy)->volume().lookup(d->ino, "bad").status().code() == Code::kNotFound);
}

TEST_CASE("an import and a restore to a volume can be interrupted") {
  Scratch scratch;
  std::string source = scratch.path("source");
  ::mkdir(source.c_str(), 0755);
  for (int i = 0; i < 50; ++i) write_file(source + "/f" + std::to_string(i), "content");
  auto group = new_group(scratch.path("group"));
  check_ok(import_directory(source, *group, {}));
  std::atomic<bool> interrupted{false};
  RestoreOptions options = into(scratch.path("copy"));
  options.interrupted = &interrupted;
  // The first report comes while directories are being made.
  options.progress = [&](const RestoreProgress&) { interrupted = true; };
  CHECK(restore_to_volume(*newest(*group), options, "copy").status().code() == Code::kInterrupted);
  interrupted = false;
  auto other = new_group(scratch.path("other"));
  CHECK(import_directory(source, *other, options).status().code() == Code::kInterrupted);
}

TEST_CASE("a restore to a volume that cannot begin leaves everything as it was") {
  Scratch scratch;
  std::string source = scratch.path("source");
  ::mkdir(source.c_str(), 0755);
  write_file(source + "/file", "x");
  auto group = new_group(scratch.path("group"));
  check_ok(import_directory(source, *group, {}));
  RestoreOptions options = into(scratch.path("copy"));
  options.include = {"nothing"};
  CHECK(restore_to_volume(*newest(*group), options, "copy").status().code() == Code::kNotFound);
  CHECK(look(scratch.path("copy")).st_mode == 0);
  options.include.clear();
  options.target = scratch.path("source");
  auto refused = restore_to_volume(*newest(*group), options, "copy");
  CHECK(refused.status().code() == Code::kNotEmpty);
  CHECK(names(source) == std::vector<std::string>{"file"});
}
