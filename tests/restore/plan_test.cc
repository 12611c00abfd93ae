// What a plan says, and what a plan refuses.
#include <catch2/catch.hpp>

#include "restore/plan.h"
#include "restore/sink.h"
#include "tests/restore/memory_view.h"

using namespace tidemark;
using test::MemoryView;

namespace {

std::vector<std::string> paths(const RestorePlan& plan) {
  std::vector<std::string> all;
  for (const PlanEntry& entry : plan.entries) all.push_back(entry.path);
  return all;
}

void build_small_tree(MemoryView& view) {
  Ino a = view.add_directory(kRootIno, "a");
  Ino deep = view.add_directory(a, "deep");
  view.add_file(deep, "file", "hello");
  view.add_file(a, "b", "12");
  view.add_file(kRootIno, "a-", "stands between 'a' and 'a/b' bytewise, but not in a tree");
  view.add_symlink(kRootIno, "link", "a/b");
  view.add(kRootIno, "pipe", S_IFIFO | 0600);
}

}  // namespace

TEST_CASE("a plan has parents before children, every directory in one piece") {
  MemoryView view;
  build_small_tree(view);
  auto plan = plan_restore(view, {});
  REQUIRE(plan.ok());
  CHECK(paths(*plan) == std::vector<std::string>{"", "a", "a/b", "a/deep", "a/deep/file", "a-", "link", "pipe"});
  CHECK(plan->point == Seq(42));
  CHECK(plan->directories == 3);
  CHECK(plan->files == 3);
  CHECK(plan->symlinks == 1);
  CHECK(plan->others == 1);
  CHECK(plan->hard_links == 0);
  CHECK(plan->bytes == 7 + 56);
  CHECK(plan->data_bytes == plan->bytes);
  CHECK(plan->entries[6].symlink_target == "a/b");
}

TEST_CASE("a plan is the same whoever walks first") {
  MemoryView view;
  for (int i = 0; i < 20; ++i) {
    Ino directory = view.add_directory(kRootIno, "d" + std::to_string(i));
    for (int k = 0; k < 300; ++k) {
      Ino file = view.add_file(directory, "f" + std::to_string(k), "x");
      if (k % 50 == 0) view.add_xattr(file, "user.k", std::to_string(k));
      if (k % 100 == 0) view.add_link(kRootIno, "l" + std::to_string(i) + "-" + std::to_string(k), file);
    }
  }
  PlanOptions one;
  one.jobs = 1;
  auto first = make_plan(view, one);
  REQUIRE(first.ok());
  CHECK(first->entries.size() == 1 + 20 + 20 * 300 + 60);
  CHECK(first->hard_links == 60);
  for (unsigned jobs : {2u, 8u, 32u}) {
    PlanOptions many;
    many.jobs = jobs;
    auto again = make_plan(view, many);
    REQUIRE(again.ok());
    REQUIRE(paths(*again) == paths(*first));
    for (size_t i = 0; i < first->entries.size(); ++i) {
      REQUIRE(again->entries[i].xattrs == first->entries[i].xattrs);
      REQUIRE(again->entries[i].link_to == first->entries[i].link_to);
      REQUIRE(again->entries[i].attr == first->entries[i].attr);
    }
  }
}

TEST_CASE("further names of an inode are hard links to the first, wherever they are") {
  MemoryView view;
  Ino z = view.add_directory(kRootIno, "z");
  Ino file = view.add_file(z, "original", "content");
  view.add_xattr(file, "user.colour", "blue");
  view.add_link(kRootIno, "a", file);
  Ino link = view.add_symlink(z, "symlink", "nowhere");
  view.add_link(kRootIno, "b", link);
  auto plan = plan_restore(view, {});
  REQUIRE(plan.ok());
  REQUIRE(paths(*plan) == std::vector<std::string>{"", "a", "b", "z", "z/original", "z/symlink"});
  CHECK(plan->entries[1].link_to.empty());
  CHECK(plan->entries[1].xattrs.size() == 1);
  CHECK(plan->entries[2].symlink_target == "nowhere");
  CHECK(plan->entries[4].link_to == "a");
  CHECK(plan->entries[4].xattrs.empty());
  CHECK(plan->entries[5].link_to == "b");
  CHECK(plan->files == 1);
  CHECK(plan->hard_links == 2);
  CHECK(plan->bytes == 7);
  auto tree = tree_of(*plan);
  REQUIRE(tree.ok());
  CHECK(tree->parents == std::vector<size_t>{0, 0, 0, 0, 3, 3});
  CHECK(&tree->details(5) == &plan->entries[2]);
}

TEST_CASE("holes are sizes, not data") {
  MemoryView view;
  Ino sparse = view.add(kRootIno, "sparse", S_IFREG | 0600);
  for (uint64_t i = 0; i < 1000; ++i) view.add_data(sparse, i << 20, std::string(4096, 'x'));
  view.node(sparse).attr.size = uint64_t{5} << 30;
  view.node(view.add(kRootIno, "empty space", S_IFREG | 0600)).attr.size = uint64_t{1} << 40;
  auto plan = plan_restore(view, {});
  REQUIRE(plan.ok());
  CHECK(plan->bytes == (uint64_t{5} << 30) + (uint64_t{1} << 40));
  CHECK(plan->data_bytes == 1000 * 4096);
}

TEST_CASE("includes: each with everything below it, and the directories above it") {
  MemoryView view;
  build_small_tree(view);
  auto plan = plan_restore(view, {"/a/deep"});
  REQUIRE(plan.ok());
  CHECK(paths(*plan) == std::vector<std::string>{"", "a", "a/deep", "a/deep/file"});
  plan = plan_restore(view, {"a/deep/file", "./a//deep/", "link"});
  REQUIRE(plan.ok());
  CHECK(paths(*plan) == std::vector<std::string>{"", "a", "a/deep", "a/deep/file", "link"});
  plan = plan_restore(view, {"a", "/", "pipe"});
  REQUIRE(plan.ok());
  CHECK(plan->entries.size() == 8);
}

TEST_CASE("an include that is not there is named, with the point") {
  MemoryView view;
  build_small_tree(view);
  auto plan = plan_restore(view, {"a/b", "a/nothing/x"});
  REQUIRE_FALSE(plan.ok());
  CHECK(plan.status().code() == Code::kNotFound);
  CHECK(plan.status().text() == "'a/nothing/x' does not exist at seq:42: /a has no entry nothing");
  plan = plan_restore(view, {"a/b/c"});
  CHECK(plan.status().code() == Code::kNotFound);
  CHECK(plan.status().text().find("/a/b is not a directory") != std::string::npos);
  plan = plan_restore(view, {"a/../link"});
  CHECK(plan.status().code() == Code::kInvalid);
}

TEST_CASE("the mount's own extended attributes are no part of a tree") {
  MemoryView view;
  Ino file = view.add_file(kRootIno, "f", "x");
  view.add_xattr(file, "user.tidemark.seq", "12");
  view.add_xattr(file, "user.mine", "1");
  auto plan = plan_restore(view, {});
  REQUIRE(plan.ok());
  CHECK(plan->entries[1].xattrs == std::vector<std::pair<std::string, std::string>>{{"user.mine", "1"}});
}

TEST_CASE("planning stops when asked to") {
  MemoryView view;
  build_small_tree(view);
  std::atomic<bool> interrupted{true};
  PlanOptions options;
  options.interrupted = &interrupted;
  CHECK(make_plan(view, options).status().code() == Code::kInterrupted);
}

TEST_CASE("what no tree can have is refused, naming the path") {
  MemoryView view;
  build_small_tree(view);
  Ino a = view.lookup(kRootIno, "a")->ino;
  Ino file = view.lookup(a, "b")->ino;
  std::string where = "/a/b: ";
  SECTION("an unknown type") { view.node(file).attr.mode = 0170644; }
  SECTION("a size beyond every file") { view.node(file).attr.size = UINT64_MAX; }
  SECTION("a time that means 'now' to the kernel") { view.node(file).attr.mtime.nanoseconds = (1u << 30) - 1; }
  SECTION("an owner that means 'leave it' to the kernel") { view.node(file).attr.uid = UINT32_MAX; }
  SECTION("an empty symbolic link") { view.node(file).attr.mode = S_IFLNK | 0777; }
  SECTION("a zero byte in a symbolic link") {
    view.node(file).attr.mode = S_IFLNK | 0777;
    view.node(file).symlink_target = std::string("a\0b", 3);
  }
  SECTION("an extended attribute without a name") { view.add_xattr(file, "", "x"); }
  SECTION("a directory inside itself") {
    view.node(a).entries["again"] = a;
    where = "/a/again: ";
  }
  for (std::string name : {std::string(".."), std::string("."), std::string("x/y"), std::string("/etc"),
                           std::string("n\0l", 3), std::string(256, 'x')}) {
    SECTION("a name that is none: " + name.substr(0, 10)) {
      view.add_file(a, name, "evil");
      where = "/a";
    }
  }
  auto plan = plan_restore(view, {});
  REQUIRE_FALSE(plan.ok());
  CHECK(plan.status().code() == Code::kCorrupt);
  CHECK(plan.status().text().find(where) != std::string::npos);
  INFO(plan.status().text());
}

TEST_CASE("a listing that never ends is left") {
  class Circle : public MemoryView {
   public:
    using MemoryView::MemoryView;
    Result<std::vector<DirEntry>> list(Ino directory, std::string_view, size_t max) override {
      return MemoryView::list(directory, "", max);  // whatever is asked: the first page
    }
  } view;
  for (size_t i = 0; i < kPlanPage + 5; ++i) view.add_file(kRootIno, "f" + std::to_string(i), "");
  CHECK(plan_restore(view, {}).status().code() == Code::kCorrupt);
}

TEST_CASE("a map of data that no file has is refused") {
  class Liar : public MemoryView {
   public:
    std::vector<DataRange> lie;
    Result<std::vector<DataRange>> data_ranges(Ino, uint64_t, uint64_t, size_t) override { return lie; }
  } view;
  Ino file = view.add_file(kRootIno, "f", std::string(4096, 'x'));
  view.node(file).attr.size = 1 << 20;
  SECTION("beyond the end") { view.lie = {{1 << 20, 1}}; }
  SECTION("too long") { view.lie = {{4096, UINT64_MAX}}; }
  SECTION("empty") { view.lie = {{0, 0}}; }
  SECTION("backwards") { view.lie = {{8192, 4096}, {0, 4096}}; }
  CHECK(plan_restore(view, {}).status().code() == Code::kCorrupt);
}
