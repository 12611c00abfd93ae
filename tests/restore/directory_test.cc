// Restoring to a directory: what is kept, what is refused, what is replaced, what is left after a failure.
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <thread>

#include <catch2/catch.hpp>

#include "restore/restore.h"
#include "tests/restore/memory_view.h"
#include "tests/restore/scratch.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

RestoreOptions into(const std::string& target, bool force = false) {
  RestoreOptions options;
  options.target = target;
  options.force = force;
  return options;
}

// The ACL "user::rw-,user:1:r--,group::r--,mask::r--,other::---" as the kernel has it.
std::string acl_for_user_1() {
  auto entry = [](uint16_t tag, uint16_t rights, uint32_t id) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &tag, 2);
    std::memcpy(bytes.data() + 2, &rights, 2);
    std::memcpy(bytes.data() + 4, &id, 4);
    return bytes;
  };
  return std::string("\x02\0\0\0", 4) + entry(1, 6, UINT32_MAX) + entry(2, 4, 1) + entry(4, 4, UINT32_MAX) +
         entry(16, 4, UINT32_MAX) + entry(32, 0, UINT32_MAX);
}

std::string xattr(const std::string& path, const std::string& name) {
  std::string value(65536, '\0');
  ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (size < 0) return "(none)";
  value.resize(static_cast<size_t>(size));
  return value;
}

}  // namespace

TEST_CASE("a tree of every type, with its attributes") {
  Scratch scratch;
  MemoryView view;
  Ino directory = view.add_directory(kRootIno, "directory", 02750);
  Ino file = view.add_file(directory, "file", "content", 04711);
  view.add_xattr(file, "user.colour", "blue");
  view.add_link(kRootIno, "hard link", file);
  view.add_symlink(directory, "symlink", "/etc/passwd");
  view.add(directory, "pipe", S_IFIFO | 0640);
  view.add(directory, "socket", S_IFSOCK | 0600);
  Ino sealed = view.add_file(directory, "read only", "x", 0400);
  view.add_xattr(sealed, "user.on a sealed file", std::string("a\0b", 3));
  view.node(directory).attr.mtime = {-86400 * 365, 999'999'999};
  view.node(kRootIno).attr.mtime = {12345, 6789};
  auto report = restore_to_directory(view, into(scratch.path("target")));
  INFO(report.status().text());
  REQUIRE(report.ok());
  CHECK(report->warnings.empty());

  std::string target = scratch.path("target");
  CHECK(look(target).st_mtim.tv_sec == 12345);
  CHECK(look(target).st_mtim.tv_nsec == 6789);
  CHECK(look(target).st_mode == (S_IFDIR | 0755));
  CHECK(look(target + "/directory").st_mode == (S_IFDIR | 02750));
  CHECK(look(target + "/directory").st_mtim.tv_sec == -86400 * 365);
  CHECK(look(target + "/directory").st_mtim.tv_nsec == 999'999'999);
  CHECK(read_whole(target + "/directory/file") == "content");
  CHECK(look(target + "/directory/file").st_mode == (S_IFREG | 04711));
  CHECK(look(target + "/directory/file").st_ino == look(target + "/hard link").st_ino);
  CHECK(look(target + "/directory/file").st_nlink == 2);
  CHECK(xattr(target + "/directory/file", "user.colour") == "blue");
  CHECK(xattr(target + "/directory/read only", "user.on a sealed file") == std::string("a\0b", 3));
  CHECK(look(target + "/directory/read only").st_mode == (S_IFREG | 0400));
  CHECK(S_ISLNK(look(target + "/directory/symlink").st_mode));
  CHECK(look(target + "/directory/symlink").st_mtim.tv_nsec == 123'456'789);
  CHECK(look(target + "/directory/pipe").st_mode == (S_IFIFO | 0640));
  CHECK(S_ISSOCK(look(target + "/directory/socket").st_mode));
}

TEST_CASE("holes stay holes, and large files are shared by threads") {
  Scratch scratch;
  MemoryView view;
  Ino sparse = view.add(kRootIno, "sparse", S_IFREG | 0600);
  std::string piece = random_bytes(4096, 1);
  for (uint64_t i = 0; i < 600; ++i) view.add_data(sparse, i * 8192, piece);
  view.add_data(sparse, uint64_t{5} << 30, random_bytes(20 << 20, 2));
  view.add_data(sparse, (uint64_t{6} << 30) - 100, std::string(100, 'e'));
  view.node(sparse).attr.size = uint64_t{7} << 30;
  RestoreOptions options = into(scratch.path("target"));
  options.jobs = 4;
  auto report = restore_to_directory(view, options);
  INFO(report.status().text());
  REQUIRE(report.ok());
  std::string path = scratch.path("target/sparse");
  CHECK(look(path).st_size == off_t{7} << 30);
  CHECK(look(path).st_blocks * 512 < 24 << 20);
  CHECK(view.bytes_read == 600 * 4096 + (20 << 20) + 100);
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string back(20 << 20, '\0');
  REQUIRE(::pread(fd, back.data(), back.size(), off_t{5} << 30) == static_cast<ssize_t>(back.size()));
  CHECK(back == random_bytes(20 << 20, 2));
  back.resize(4096);
  REQUIRE(::pread(fd, back.data(), 4096, 599 * 8192) == 4096);
  CHECK(back == piece);
  REQUIRE(::pread(fd, back.data(), 100, (off_t{6} << 30) - 100) == 100);
  CHECK(back.substr(0, 100) == std::string(100, 'e'));
  ::close(fd);
}

TEST_CASE("a view that tells of data in small portions loses none") {
  class Sparing : public MemoryView {
   public:
    Result<std::vector<DataRange>> data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) override {
      return MemoryView::data_ranges(ino, from, to, std::min<size_t>(max, 3));
    }
  } view;
  Scratch scratch;
  Ino file = view.add(kRootIno, "f", S_IFREG | 0600);
  for (uint64_t i = 0; i < 1000; ++i) view.add_data(file, i * 8192, std::string(4096, static_cast<char>('a' + i % 26)));
  view.node(file).attr.size = 1000 * 8192;
  RestoreOptions options = into(scratch.path("target"));
  options.jobs = 8;
  auto report = restore_to_directory(view, options);
  REQUIRE(report.ok());
  CHECK(report->plan.data_bytes == 1000 * 4096);
  std::string back = read_whole(scratch.path("target/f"));
  REQUIRE(back.size() == 1000 * 8192);
  for (size_t i = 0; i < 1000; ++i) {
    REQUIRE(back[i * 8192 + 4095] == static_cast<char>('a' + i % 26));
    REQUIRE(back[i * 8192 + 4096] == '\0');
  }
}

TEST_CASE("a target that is not empty is refused and untouched") {
  Scratch scratch;
  write_file(scratch.path("mine"), "precious");
  MemoryView view;
  view.add_file(kRootIno, "mine", "new");
  auto report = restore_to_directory(view, into(scratch.path()));
  REQUIRE_FALSE(report.ok());
  CHECK(report.status().code() == Code::kNotEmpty);
  CHECK(report.status().text().find("--force") != std::string::npos);
  CHECK(read_whole(scratch.path("mine")) == "precious");
  CHECK(restore_to_directory(view, into(scratch.path("mine"))).status().code() == Code::kNotDirectory);
  CHECK(restore_to_directory(view, into(scratch.path("not/there"))).status().code() == Code::kNotFound);
}

TEST_CASE("an include that is missing makes no target") {
  Scratch scratch;
  MemoryView view;
  RestoreOptions options = into(scratch.path("target"));
  options.include = {"nothing"};
  CHECK(restore_to_directory(view, options).status().code() == Code::kNotFound);
  CHECK(look(scratch.path("target")).st_mode == 0);
}

TEST_CASE("force replaces what is in the way and leaves everything else") {
  Scratch scratch;
  Scratch outside;
  write_file(outside.path("linked"), "outside");
  std::string target = scratch.path();
  ::mkdir((target + "/file").c_str(), 0755);
  ::mkdir((target + "/file/with").c_str(), 0755);
  write_file(target + "/file/with/content", "goes");
  REQUIRE(::symlink(outside.path().c_str(), (target + "/file/with/link").c_str()) == 0);
  write_file(target + "/directory", "a file where a directory comes");
  REQUIRE(::link(outside.path("linked").c_str(), (target + "/linked").c_str()) == 0);
  REQUIRE(::symlink(outside.path().c_str(), (target + "/through").c_str()) == 0);
  ::mkdir((target + "/kept").c_str(), 0700);
  write_file(target + "/kept/stranger", "stays");
  REQUIRE(::setxattr((target + "/kept").c_str(), "user.old", "1", 1, 0) == 0);
  write_file(target + "/stranger", "stays");

  MemoryView view;
  view.add_file(kRootIno, "file", "a file");
  Ino directory = view.add_directory(kRootIno, "directory");
  view.add_file(directory, "inside", "1");
  view.add_file(kRootIno, "linked", "new content");
  Ino through = view.add_directory(kRootIno, "through");
  view.add_file(through, "linked", "inside the target");
  Ino kept = view.add_directory(kRootIno, "kept", 0751);
  view.add_file(kept, "new", "2");
  auto report = restore_to_directory(view, into(target, true));
  INFO(report.status().text());
  REQUIRE(report.ok());
  CHECK(read_whole(target + "/file") == "a file");
  CHECK(read_whole(target + "/directory/inside") == "1");
  CHECK(read_whole(target + "/linked") == "new content");
  CHECK(read_whole(target + "/through/linked") == "inside the target");
  CHECK(read_whole(outside.path("linked")) == "outside");
  CHECK(names(outside.path()) == std::vector<std::string>{"linked"});
  CHECK(names(target + "/kept") == std::vector<std::string>{"new", "stranger"});
  CHECK(look(target + "/kept").st_mode == (S_IFDIR | 0751));
  CHECK(xattr(target + "/kept", "user.old") == "(none)");
  CHECK(read_whole(target + "/stranger") == "stays");
  // And once more over itself.
  CHECK(restore_to_directory(view, into(target, true)).ok());
}

TEST_CASE("ACLs are kept, and those of the target are not inherited") {
  Scratch scratch;
  std::string target = scratch.path("target");
  ::mkdir(target.c_str(), 0755);
  std::string acl = acl_for_user_1();
  if (::setxattr(target.c_str(), "system.posix_acl_default", acl.data(), acl.size(), 0) != 0) {
    WARN("SKIP: no ACLs on this file system");
    return;
  }
  MemoryView view;
  Ino directory = view.add_directory(kRootIno, "directory");
  view.add_xattr(directory, "system.posix_acl_default", acl);
  Ino with = view.add_file(directory, "with", "x", 0640);
  view.add_xattr(with, "system.posix_acl_access", acl);
  view.add_file(directory, "without", "x", 0664);
  view.add_directory(directory, "plain");
  auto report = restore_to_directory(view, into(target));
  INFO(report.status().text());
  REQUIRE(report.ok());
  CHECK(report->warnings.empty());
  CHECK(xattr(target, "system.posix_acl_default") == "(none)");
  CHECK(xattr(target + "/directory", "system.posix_acl_default") == acl);
  CHECK(xattr(target + "/directory/with", "system.posix_acl_access") == acl);
  CHECK(look(target + "/directory/with").st_mode == (S_IFREG | 0640));
  CHECK(xattr(target + "/directory/without", "system.posix_acl_access") == "(none)");
  CHECK(look(target + "/directory/without").st_mode == (S_IFREG | 0664));
  CHECK(xattr(target + "/directory/plain", "system.posix_acl_default") == "(none)");
}

TEST_CASE("a plain user gets warnings for what only root may do") {
  if (::geteuid() != 0) {
    WARN("SKIP: needs root, to become somebody else");
    return;
  }
  Scratch scratch;
  REQUIRE(::chown(scratch.path().c_str(), 65534, 65534) == 0);
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) ::_exit(10);
    MemoryView view;  // owned by nobody, who we are now
    Ino theirs = view.add_file(kRootIno, "theirs", "x", 04755);
    view.node(theirs).attr.uid = 0;
    Ino second = view.add_file(kRootIno, "theirs too", "x", 0640);
    view.node(second).attr.uid = 0;
    Ino device = view.add(kRootIno, "device", S_IFCHR | 0600);
    view.node(device).attr.device = makedev(1, 3);
    view.node(device).attr.nlink = 2;
    view.node(kRootIno).entries["e"] = device;
    view.add_xattr(theirs, "trusted.x", "1");
    Ino mine = view.add_file(view.add_directory(kRootIno, "closed", 0500), "mine", "y", 04755);
    view.add_xattr(mine, "user.x", "1");
    auto report = restore_to_directory(view, into(scratch.path("target")));
    if (!report.ok()) {
      std::fprintf(stderr, "%s\n", report.status().text().c_str());
      ::_exit(11);
    }
    std::string all;
    for (const std::string& line : report->warnings) all += line + "\n";
    std::fprintf(stderr, "%s", all.c_str());
    bool told = all.find("the owner is not kept (Operation not permitted): /theirs, /theirs too\n") != std::string::npos &&
                all.find("trusted.x is not kept") != std::string::npos &&
                all.find("set-user-id and set-group-id are left out because the owner is not kept: /theirs\n") !=
                    std::string::npos &&
                all.find("device or pipe left out because this user may not create it: /device\n") != std::string::npos &&
                all.find("hard link to: /e\n") != std::string::npos;
    ::_exit(told ? 0 : 12);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(look(scratch.path("target/theirs")).st_mode == (S_IFREG | 0755));
  CHECK(look(scratch.path("target/closed")).st_mode == (S_IFDIR | 0500));
  CHECK(look(scratch.path("target/closed/mine")).st_mode == (S_IFREG | 04755));
}

TEST_CASE("a damaged block: the failure names the path, and the file is not there") {
  Scratch scratch;
  MemoryView view;
  Ino directory = view.add_directory(kRootIno, "directory");
  view.add_file(kRootIno, "before", "whole");
  uint64_t size = GENERATE(uint64_t{10000}, uint64_t{32} << 20);
  Ino bad = view.add_file(directory, "bad\nfile", random_bytes(size, 3));
  view.corrupt(bad, size / 2);
  auto report = restore_to_directory(view, into(scratch.path("target")));
  REQUIRE_FALSE(report.ok());
  CHECK(report.status().code() == Code::kCorrupt);
  CHECK(report.status().text().find("/directory/bad\\x0afile: block 7") != std::string::npos);
  CHECK(report.status().text().find("incomplete") != std::string::npos);
  CHECK(look(scratch.path("target/directory/bad\nfile")).st_mode == 0);
  CHECK(read_whole(scratch.path("target/before")) == "whole");
}

TEST_CASE("an interrupted restore stops soon and leaves whole files only") {
  class Slow : public MemoryView {
   public:
    Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) override {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return MemoryView::read(ino, at, out);
    }
  } view;
  Scratch scratch;
  for (int i = 0; i < 1000; ++i) view.add_file(kRootIno, "f" + std::to_string(i), "0123456789");
  view.add_file(kRootIno, "a large one", std::string(200 << 20, 'x'));
  std::atomic<bool> interrupted{false};
  RestoreOptions options = into(scratch.path("target"));
  options.interrupted = &interrupted;
  options.progress = [&](const RestoreProgress& progress) {
    if (progress.bytes_done > 5 << 20) interrupted = true;
  };
  auto begun = std::chrono::steady_clock::now();
  auto report = restore_to_directory(view, options);
  CHECK(report.status().code() == Code::kInterrupted);
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(3));
  for (const std::string& name : names(scratch.path("target"))) {
    REQUIRE(read_whole(scratch.path("target/" + name)) == "0123456789");
  }
}

TEST_CASE("progress comes from one thread, at most ten times a second, and ends at the total") {
  Scratch scratch;
  MemoryView view;
  for (int i = 0; i < 3000; ++i) view.add_file(kRootIno, "f" + std::to_string(i), "0123456789");
  std::vector<RestoreProgress> seen;
  auto self = std::this_thread::get_id();
  bool same_thread = true;
  RestoreOptions options = into(scratch.path("target"));
  options.progress = [&](const RestoreProgress& progress) {
    seen.push_back(progress);
    same_thread = same_thread && std::this_thread::get_id() == self;
  };
  auto report = restore_to_directory(view, options);
  REQUIRE(report.ok());
  CHECK(same_thread);
  REQUIRE_FALSE(seen.empty());
  CHECK(seen.size() <= static_cast<size_t>(report->seconds * 10) + 2);
  CHECK(seen.back().entries_done == 3001);
  CHECK(seen.back().entries_total == 3001);
  CHECK(seen.back().bytes_done == 30000);
  CHECK(seen.back().bytes_total == 30000);
}

TEST_CASE("what was planned is what was written") {
  Scratch scratch;
  MemoryView view;
  Ino a = view.add_directory(kRootIno, "a");
  Ino file = view.add_file(a, "f", "1");
  view.add_link(a, "g", file);
  view.add_symlink(kRootIno, "s", "a");
  auto plan = plan_restore(view, {"a"});
  REQUIRE(plan.ok());
  RestoreOptions options = into(scratch.path("target"));
  options.include = {"a"};
  auto report = restore_to_directory(view, options);
  REQUIRE(report.ok());
  REQUIRE(report->plan.entries.size() == plan->entries.size());
  for (size_t i = 0; i < plan->entries.size(); ++i) {
    CHECK(report->plan.entries[i].path == plan->entries[i].path);
    CHECK(report->plan.entries[i].attr == plan->entries[i].attr);
    CHECK(report->plan.entries[i].link_to == plan->entries[i].link_to);
    CHECK(look(scratch.path("target/" + plan->entries[i].path)).st_mode == plan->entries[i].attr.mode);
  }
  CHECK(report->plan.data_bytes == plan->data_bytes);
  CHECK(names(scratch.path("target")) == std::vector<std::string>{"a"});
}

TEST_CASE("more hard links than the target can have: copies, and a warning") {
  Scratch scratch;
  MemoryView view;
  Ino file = view.add_file(kRootIno, "00000", "linked often");
  view.add_xattr(file, "user.x", "1");
  constexpr int kLinks = 65'010;  // ext4 has 65,000
  for (int i = 1; i < kLinks; ++i) view.add_link(kRootIno, std::to_string(100'000 + i), file);
  auto report = restore_to_directory(view, into(scratch.path("target")));
  INFO(report.status().text());
  REQUIRE(report.ok());
  CHECK(report->plan.hard_links == kLinks - 1);
  auto first = look(scratch.path("target/00000"));
  auto last = look(scratch.path("target/" + std::to_string(100'000 + kLinks - 1)));
  CHECK(read_whole(scratch.path("target/" + std::to_string(100'000 + kLinks - 1))) == "linked often");
  CHECK(xattr(scratch.path("target/" + std::to_string(100'000 + kLinks - 1)), "user.x") == "1");
  if (first.st_ino == last.st_ino) {
    WARN("this file system has no such limit: the copy was not tried");
    CHECK(report->warnings.empty());
  } else {
    CHECK(first.st_nlink + last.st_nlink == kLinks);
    REQUIRE(report->warnings.size() == 1);
    CHECK(report->warnings[0].find("kept as a copy") == 0);
  }
}

TEST_CASE("paths longer than the kernel's longest") {
  Scratch scratch;
  MemoryView view;
  Ino here = kRootIno;
  for (int i = 0; i < 60; ++i) here = view.add_directory(here, std::string(200, static_cast<char>('a' + i % 26)));
  view.add_file(here, "deepest", "content");
  auto report = restore_to_directory(view, into(scratch.path("target")));
  INFO(report.status().text());
  REQUIRE(report.ok());
  CHECK(report->plan.entries.back().path.size() > 12000);
  // Again over it, with something in the way at the top: removes the whole depth.
  MemoryView file;
  file.add_file(kRootIno, std::string(200, 'a'), "small");
  report = restore_to_directory(file, into(scratch.path("target"), true));
  INFO(report.status().text());
  REQUIRE(report.ok());
  CHECK(read_whole(scratch.path("target/" + std::string(200, 'a'))) == "small");
}
