// Nothing a view says, and nothing somebody does to the target meanwhile, makes a restore write outside its target.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include <catch2/catch.hpp>

#include "restore/remove_tree.h"
#include "restore/restore.h"
#include "restore/safe_path.h"
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

}  // namespace

TEST_CASE("names that lead elsewhere write nothing at all") {
  Scratch scratch;
  ::mkdir(scratch.path("outer").c_str(), 0755);
  std::string name = GENERATE("..", ".", "../escaped", "a/b", "/tmp/tidemark-escaped", "x/../../escaped");
  MemoryView view;
  view.add_file(kRootIno, "a good one", "x");
  view.add_file(kRootIno, name, "evil");
  auto report = restore_to_directory(view, into(scratch.path("outer/target"), true));
  REQUIRE_FALSE(report.ok());
  CHECK(report.status().code() == Code::kCorrupt);
  CHECK(names(scratch.path()) == std::vector<std::string>{"outer"});
  CHECK(names(scratch.path("outer")).empty());
  CHECK(look("/tmp/tidemark-escaped").st_mode == 0);
}

TEST_CASE("a symbolic link, and then a file below it") {
  Scratch outside;
  Scratch scratch;
  // A view that lists 'l' as a directory, and shows it as a link when it is looked at the second time.
  class Turncoat : public MemoryView {
   public:
    Ino turning;
    std::string to;
    std::atomic<int> asked{0};
    Result<Attr> get_attr(Ino ino) override {
      auto attr = MemoryView::get_attr(ino);
      if (ino == turning && attr.ok() && asked++ > 0) attr->mode = S_IFLNK | 0777;
      return attr;
    }
    Result<std::string> read_link(Ino) override { return to; }
  } view;
  view.to = outside.path();
  view.turning = view.add_directory(kRootIno, "l");
  view.add_file(view.turning, "passwd", "evil");
  static_cast<void>(restore_to_directory(view, into(scratch.path("target"))));
  static_cast<void>(restore_to_directory(view, into(scratch.path("target"), true)));
  CHECK(names(outside.path()).empty());
}

TEST_CASE("a link to the outside stays a link, also when the same name comes again as a directory") {
  Scratch outside;
  Scratch scratch;
  MemoryView first;
  first.add_symlink(kRootIno, "l", outside.path());
  REQUIRE(restore_to_directory(first, into(scratch.path("target"))).ok());
  MemoryView second;
  second.add_file(second.add_directory(kRootIno, "l"), "file", "content");
  REQUIRE(restore_to_directory(second, into(scratch.path("target"), true)).ok());
  CHECK(names(outside.path()).empty());
  CHECK(read_whole(scratch.path("target/l/file")) == "content");
}

TEST_CASE("somebody who keeps swapping directories for links gets nothing written elsewhere") {
  Scratch outside;
  Scratch scratch;
  write_file(outside.path("secret"), "unchanged");
  REQUIRE(::chmod(outside.path("secret").c_str(), 0600) == 0);
  auto secret = look(outside.path("secret"));
  auto directory = look(outside.path());
  std::string target = scratch.path("target");
  MemoryView view;
  for (int i = 0; i < 20; ++i) {
    Ino d = view.add_directory(kRootIno, "d" + std::to_string(i));
    for (int k = 0; k < 20; ++k) view.add_file(d, "f" + std::to_string(k), "evil", 0777);
    view.add_file(d, "secret", "evil", 0777);
  }
  std::atomic<bool> over{false};
  std::atomic<int> swaps{0};
  ::mkdir(target.c_str(), 0755);
  // Keeps exchanging the directories for links to the outside, and files for hard links to what is there.
  std::thread attacker([&] {
    Fd inside(::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; !over; i = (i + 1) % 20) {
      std::string name = "d" + std::to_string(i), link = "attack" + std::to_string(i);
      if (S_ISDIR(look(target + "/" + link).st_mode)) static_cast<void>(remove_tree(inside.get(), link).ok());
      static_cast<void>(::symlinkat(outside.path().c_str(), inside.get(), link.c_str()));
      if (::renameat2(inside.get(), name.c_str(), inside.get(), link.c_str(), RENAME_EXCHANGE) == 0) ++swaps;
      std::string file = "d" + std::to_string((i + 7) % 20) + "/f3";
      if (::unlinkat(inside.get(), file.c_str(), 0) != 0) continue;
      static_cast<void>(::linkat(AT_FDCWD, outside.path("secret").c_str(), inside.get(), file.c_str(), 0));
    }
  });
  int failed = 0;
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < until) {
    auto report = restore_to_directory(view, into(target, true));
    if (!report.ok()) ++failed;
  }
  over = true;
  attacker.join();
  INFO(swaps << " swaps, " << failed << " restores refused to go on");
  CHECK(swaps > 20);
  CHECK(failed > 0);
  CHECK(names(outside.path()) == std::vector<std::string>{"secret"});
  CHECK(read_whole(outside.path("secret")) == "unchanged");
  auto now = look(outside.path("secret"));
  CHECK(now.st_mode == secret.st_mode);
  CHECK(now.st_uid == secret.st_uid);
  CHECK(now.st_mtim.tv_sec == secret.st_mtim.tv_sec);
  CHECK(now.st_mtim.tv_nsec == secret.st_mtim.tv_nsec);
  CHECK(look(outside.path()).st_mode == directory.st_mode);
  CHECK(look(outside.path()).st_mtim.tv_nsec == directory.st_mtim.tv_nsec);
}

TEST_CASE("a directory swapped between making it and filling it is refused") {
  Scratch outside;
  Scratch scratch;
  std::string target = scratch.path("target");
  class Swapper : public MemoryView {
   public:
    std::string target, outside;
    bool link = false;
    Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) override {
      // The first file is being read: the other directory is there, and empty.
      ::rename((target + "/b").c_str(), (target + "/gone").c_str());
      if (link) {
        static_cast<void>(::symlink(outside.c_str(), (target + "/b").c_str()));
      } else {
        ::mkdir((target + "/b").c_str(), 0777);
      }
      return MemoryView::read(ino, at, out);
    }
  } view;
  view.target = target;
  view.outside = outside.path();
  view.link = GENERATE(true, false);
  view.add_file(view.add_directory(kRootIno, "a"), "file", "x");
  view.add_file(view.add_directory(kRootIno, "b"), "file", "y");
  RestoreOptions options = into(target);
  options.jobs = 1;
  auto report = restore_to_directory(view, options);
  REQUIRE_FALSE(report.ok());
  CHECK(report.status().text().find("/b") != std::string::npos);
  CHECK(report.status().text().find("was replaced") != std::string::npos);
  CHECK(names(outside.path()).empty());
}

TEST_CASE("two names that are one are told, not merged") {
  // What a file system that ignores case does, seen from here: the entry is already there, and it is ours.
  Scratch scratch;
  MemoryView view;
  view.add_file(kRootIno, "a", "1");
  std::string target = scratch.path("target");
  class Maker : public MemoryView {
   public:
    std::string target;
    Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) override {
      static_cast<void>(::link((target + "/a").c_str(), (target + "/b").c_str()));
      return MemoryView::read(ino, at, out);
    }
  } maker;
  maker.target = target;
  maker.add_file(kRootIno, "a", "1");
  maker.add_file(kRootIno, "b", "2");
  RestoreOptions options = into(target, true);
  options.jobs = 1;
  auto report = restore_to_directory(maker, options);
  CHECK(report.status().code() == Code::kExists);
  CHECK(report.status().text().find("/b: ") != std::string::npos);
}

TEST_CASE("a view whose files are shorter, or longer, than it says") {
  Scratch scratch;
  class Liar : public MemoryView {
   public:
    size_t answer = 0;
    Result<size_t> read(Ino, uint64_t, MutableBytes) override { return answer; }
  } view;
  view.answer = GENERATE(size_t{0}, size_t{3}, size_t{5000});
  view.add_file(kRootIno, "file", "0123456789");
  auto report = restore_to_directory(view, into(scratch.path("target")));
  CHECK(report.status().code() == Code::kCorrupt);
  CHECK(report.status().text().find("/file: ") != std::string::npos);
  CHECK(names(scratch.path("target")).empty());
}

TEST_CASE("open_beneath leads nowhere else") {
  Scratch scratch;
  Scratch outside;
  write_file(outside.path("file"), "x");
  ::mkdir(scratch.path("d").c_str(), 0755);
  REQUIRE(::symlink(outside.path().c_str(), scratch.path("out").c_str()) == 0);
  REQUIRE(::symlink("d", scratch.path("in").c_str()) == 0);
  Fd root(::open(scratch.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(open_beneath(root.get(), "d", O_RDONLY, Mounts::kStay).valid());
  CHECK(open_beneath(root.get(), "", O_RDONLY, Mounts::kStay).valid());
  for (std::string path : {"out", "out/file", "in", "..", "../x", "/etc", "d/../..", "/proc/self/cwd"}) {
    INFO(path);
    CHECK_FALSE(open_beneath(root.get(), path, O_RDONLY, Mounts::kCross).valid());
  }
  CHECK_FALSE(open_beneath(root.get(), std::string("d\0/x", 4), O_RDONLY, Mounts::kCross).valid());
  CHECK(open_beneath(root.get(), "out", O_PATH | O_NOFOLLOW, Mounts::kStay).valid());
  Fd slash(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  CHECK(open_beneath(slash.get(), "proc", O_RDONLY, Mounts::kCross).valid());
  CHECK_FALSE(open_beneath(slash.get(), "proc", O_RDONLY, Mounts::kStay).valid());
}

TEST_CASE("removing a tree follows no link and leaves its depth limit alone") {
  Scratch scratch;
  Scratch outside;
  write_file(outside.path("kept"), "x");
  std::filesystem::create_directories(scratch.path("tree/a/b"));
  REQUIRE(::symlink(outside.path().c_str(), scratch.path("tree/a/link").c_str()) == 0);
  Fd root(::open(scratch.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(remove_tree(root.get(), "tree").ok());
  CHECK(remove_tree(root.get(), "tree").ok());
  CHECK(names(scratch.path()).empty());
  CHECK(read_whole(outside.path("kept")) == "x");
  CHECK(remove_tree(root.get(), "..").code() == Code::kCorrupt);
  CHECK(remove_tree(root.get(), "").code() == Code::kCorrupt);
}
