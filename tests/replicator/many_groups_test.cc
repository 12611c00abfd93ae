// A site with many groups: what each of them costs it while nobody ships.
#include <catch2/catch.hpp>

#include "tests/replicator/support.h"
#include "tests/support/threads.h"

namespace tidemark::test {

TEST_CASE("a site's groups have threads for nothing but what is going on") {
  constexpr int kGroups = 30;
  Scratch work;
  for (int i = 0; i < kGroups; ++i) {
    const std::string name = "group" + std::to_string(i);
    GroupIdentity identity{.name = name, .role = Role::kReplica};
    identity.id[0] = static_cast<std::byte>(i + 1);
    std::filesystem::create_directories(work / "site");
    REQUIRE(Group::init_replica(work / ("site/" + name), identity, small_options()).ok());
  }
  const size_t before = own_threads();
  LocalSite site(work / "site");
  REQUIRE(site->groups().size() == kGroups);
  // Router, readers, libzmq's two, housekeepers, RocksDB's flushers, compactors and timer.
  CHECK(own_threads() - before <= 20);
}

}  // namespace tidemark::test
