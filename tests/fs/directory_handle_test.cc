#include "fs/directory_handle.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <map>

#include "tests/support/scratch.h"

using namespace tidemark;
using fs::DirectoryHandle;

namespace {

std::string numbered(int i) { return "n" + std::to_string(100'000 + i); }

struct OpenHandle {
  OpenHandle() {
    REQUIRE(Group::init(scratch / "volume", {.name = "test"}).ok());
    auto opened = Group::open(scratch / "volume", OpenMode::kPrimary);
    REQUIRE(opened.ok());
    group = std::move(*opened);
    for (int i = 0; i < 3'000; ++i) make(numbered(i));
  }
  void make(const std::string& name) { REQUIRE(group->volume().make_node(kRootIno, name, {.mode = S_IFREG | 0644}).ok()); }
  void remove(const std::string& name) { REQUIRE(group->volume().unlink(kRootIno, name).ok()); }

  test::Scratch scratch{test::memory_directory()};
  std::unique_ptr<Group> group;
  fs::RecentPages recent;
};

// Up to `most` entries from `cookie` on, which moves behind them.
std::map<std::string, int> take(DirectoryHandle& handle, uint64_t& cookie, size_t most) {
  std::map<std::string, int> seen;
  size_t count = 0;
  Status status = handle.each(cookie, [&](const DirEntry& entry, uint64_t place, Seq) {
    if (count == most) return false;
    ++seen[entry.name];
    ++count;
    cookie = place;
    return true;
  });
  INFO(status.text());
  REQUIRE(status.ok());
  return seen;
}

}  // namespace

TEST_CASE("An open directory does not hold the base, and what is in it all the time is listed once all the same") {
  OpenHandle o;
  DirectoryHandle handle(o.group.get(), nullptr, kRootIno.value(), kRootIno, o.recent);
  uint64_t cookie = 0;
  std::map<std::string, int> seen = take(handle, cookie, 1'500);
  CHECK(seen.size() == 1'500);
  for (int i = 1'400; i < 1'600; ++i) o.remove(numbered(i));
  REQUIRE(o.group->sync().ok());
  PruneRequest request;
  request.to = o.group->newest();
  auto pruned = o.group->prune(request);
  INFO(pruned.status().text());
  REQUIRE(pruned.ok());
  CHECK(o.group->base() == request.to);
  for (const auto& [name, times] : take(handle, cookie, 10'000)) seen[name] += times;
  for (int i = 0; i < 3'000; ++i) {
    INFO(i);
    if (i < 1'400 || i >= 1'600) CHECK(seen[numbered(i)] == 1);
  }
}

TEST_CASE("A reply may be taken in part, from any of its pages, and a place found again after more was read") {
  OpenHandle o;
  DirectoryHandle handle(o.group.get(), nullptr, kRootIno.value(), kRootIno, o.recent);
  std::vector<std::pair<uint64_t, std::string>> all;
  REQUIRE(handle
              .each(0,
                    [&](const DirEntry& entry, uint64_t place, Seq) {
                      all.emplace_back(place, entry.name);
                      return true;
                    })
              .ok());
  REQUIRE(all.size() == 3'002);
  for (size_t from : {1'500u, 1'023u, 1'024u, 1'025u, 1'026u, 2'500u, 1u, 0u, 3'001u, 700u, 2'049u}) {
    INFO(from);
    uint64_t cookie = all[from].first;
    const auto next = take(handle, cookie, 1);
    CHECK(next.size() == (from == 3'001 ? 0 : 1));
    if (from < 3'001) CHECK(next.begin()->first == all[from + 1].second);
  }
}

TEST_CASE("A place behind a name that is gone leads on in a handle that never saw it") {
  OpenHandle o;
  uint64_t cookie = 0;
  {
    DirectoryHandle handle(o.group.get(), nullptr, kRootIno.value(), kRootIno, o.recent);
    take(handle, cookie, 1'002);
  }
  for (int i = 0; i < 1'100; ++i) o.remove(numbered(i));
  fs::RecentPages none;  // as after a restart
  DirectoryHandle handle(o.group.get(), nullptr, kRootIno.value(), kRootIno, none);
  const auto rest = take(handle, cookie, 10'000);
  CHECK(rest.size() == 1'900);
  CHECK(rest.begin()->first == numbered(1'100));
}
