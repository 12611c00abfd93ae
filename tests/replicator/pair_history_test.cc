// What pairs keep from being pruned.
#include "replicator/source/pair_history.h"

#include <catch2/catch.hpp>

#include "tests/replicator/support.h"

namespace tidemark {

TEST_CASE("a prune leaves what pairs need: records unless they were dropped, deletions in any case") {
  test::Scratch work;
  const std::string volume = work / "vol";
  REQUIRE(Group::init(volume, {.name = "test"}).ok());
  auto group = Group::open(volume, OpenMode::kPrimary);
  REQUIRE(group.ok());
  const auto pair = [](const std::string& site, PairState state, uint64_t durable, bool parked) {
    return Pair{{.site = site, .endpoint = "ipc:///x"}, {.state = state, .parked = parked, .durable = Seq(durable)}};
  };
  const auto request = [&](const std::vector<Pair>& pairs) {
    PruneRequest made;
    keep_what_pairs_need(made, **group, pairs);
    return made;
  };
  CHECK(request({}).keep.empty());
  CHECK(request({}).tombstones_from == kLatest);
  const Pair following = pair("a", PairState::kDuplex, 90, false);
  const Pair suspended = pair("b", PairState::kSuspended, 50, false);
  const Pair dropped = pair("c", PairState::kFailed, 20, true);
  const PruneRequest made = request({following, suspended, dropped});
  REQUIRE(made.keep.size() == 2);
  CHECK(made.keep[0].seq == Seq(91));
  CHECK(made.keep[1].seq == Seq(51));
  CHECK(made.keep[1].what.find("'b'") != std::string::npos);
  CHECK(made.tombstones_from == Seq(20));
  // Never connected: its site may hold anything.
  const PruneRequest unknown = request({following, pair("d", PairState::kSimplex, 0, false)});
  CHECK(unknown.keep[1].seq == (*group)->base());
  CHECK(unknown.tombstones_from == Seq(0));
  // What it acknowledged since counts.
  SiteProgress progress;
  progress.durable = Seq(95);
  (*group)->watermarks().update("a", progress);
  CHECK(request({following}).keep[0].seq == Seq(96));
  CHECK(request({following}).tombstones_from == Seq(95));
}

}  // namespace tidemark
