// What readers hold of a site, and for how long; and that keys take turns.
#include <catch2/catch.hpp>

#include "replicator/site/read_service.h"
#include "replicator/site/reader_views.h"
#include "replicator/wire/read_protocol.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;
using namespace std::chrono_literals;

namespace {

class HandClock final : public Clock {
 public:
  int64_t wall_ns() override { return now_; }
  int64_t steady_ns() override { return now_; }
  void advance(std::chrono::nanoseconds time) { now_ += time.count(); }

 private:
  int64_t now_ = 1'000'000'000;
};

struct Held {
  Held() : group(make_primary(work / "p")), views(clock, 1h) {
    for (int i = 0; i < 6; ++i) touch(*group, "file" + std::to_string(i), "x");
    REQUIRE(group->sync().ok());
  }
  void pass(std::chrono::minutes time) {
    for (auto passed = 0min; passed < time; ++passed) {
      clock.advance(1min);
      views.expire();
    }
  }
  // How far a prune to the newest point would get.
  Seq could_prune_to() {
    PruneRequest request;
    request.to = group->newest();
    request.dry_run = true;
    auto report = group->prune(request);
    INFO(report.status().text());
    REQUIRE(report.ok());
    return report->base;
  }
  Status look(const std::string& key, uint64_t seq) {
    TM_ASSIGN(auto tree, views.view(*group, key, Seq(seq)));
    return tree->get_attr(kRootIno).status();
  }
  Scratch work;
  std::unique_ptr<Group> group;
  HandClock clock;
  ReaderViews views;
};

}  // namespace

TEST_CASE("a point is held while a session of its key is open, however long it says nothing, and a moment longer") {
  Held held;
  held.views.came("slow");
  held.views.came("slow");
  REQUIRE(held.look("slow", 3).ok());
  held.pass(9min);
  CHECK(held.could_prune_to() == Seq(3));
  held.views.left("slow");
  held.pass(1min);
  CHECK(held.could_prune_to() == Seq(3));
  held.views.left("slow");
  held.views.expire();
  CHECK(held.could_prune_to() == Seq(3));
  held.pass(1min);
  CHECK(held.could_prune_to() == held.group->newest());
}

TEST_CASE("no key holds the history for longer than it may, at whichever points it looks, and whether it comes and goes") {
  Held held;
  const bool comes_and_goes = GENERATE(false, true);
  held.views.came("greedy");
  held.views.came("other");
  uint64_t held_minutes = 0;
  for (int minute = 0; minute < 300; ++minute) {
    REQUIRE(held.look("greedy", 2 + static_cast<uint64_t>(minute) % 3).ok());  // nothing has been pruned, so it reads on
    if (comes_and_goes && minute % 20 == 19) {
      held.views.left("greedy");
      held.pass(1min);
      held.views.came("greedy");
    } else {
      held.pass(1min);
    }
    if (held.could_prune_to() != held.group->newest()) ++held_minutes;
    if (minute == 30) CHECK(held.could_prune_to() != held.group->newest());
    if (minute == 70) CHECK(held.could_prune_to() == held.group->newest());
  }
  CHECK(held_minutes >= 100);
  CHECK(held_minutes <= 180);
  // Another key has its own time, and what is pruned meanwhile is gone for who holds nothing.
  held.pass(61min);
  REQUIRE(held.look("greedy", 2).ok());
  held.pass(61min);
  REQUIRE(held.look("other", 5).ok());
  CHECK(held.could_prune_to() == Seq(5));
  PruneRequest request;
  request.to = held.group->newest();
  REQUIRE(held.group->prune(request).ok());
  CHECK(held.look("other", 5).ok());
  CHECK(held.look("greedy", 2).code() == Code::kNoSuchPoint);
}

TEST_CASE("a key holds a few points at a time, and takes none of another's") {
  Held held;
  REQUIRE(held.look("one", 2).ok());
  for (uint64_t seq = 3; seq < 3 + kViewsPerKeyMax; ++seq) REQUIRE(held.look("two", seq).ok());
  CHECK(held.could_prune_to() == Seq(2));
  for (uint64_t seq = 3; seq < 3 + kViewsPerKeyMax; ++seq) REQUIRE(held.look("one", seq).ok());
  CHECK(held.could_prune_to() == Seq(3));
}

// At which place the one request of a modest key is answered, beside as many of a greedy one as may wait.
static long place_of_the_modest() {
  Scratch work;
  SiteOptions options;
  options.directory = work / "groups";
  Outbox outbox;
  SiteGroups groups(options, outbox);
  ReadService service(groups, outbox);
  WireHeader header;
  header.type = MessageType::kListGroups;
  std::vector<ReadSession> sessions;  // they count what is waiting
  const auto count = std::make_shared<ReadCount>(0);
  for (uint32_t i = 0; i < kReadsPerKeyMax; ++i) {
    if (i % kReadsPerSessionMax == 0) {
      ReadSession& session = sessions.emplace_back();
      session.key = "greedy";
      session.routing_id = "greedy";
      session.pending_of_key = count;
    }
    REQUIRE(service.post(sessions.back(), nullptr, header, Message(kWireHeaderSize)));
  }
  ReadSession modest;
  modest.key = modest.routing_id = "modest";
  modest.pending_of_key = std::make_shared<ReadCount>(0);
  REQUIRE(service.post(modest, nullptr, header, Message(kWireHeaderSize)));
  service.start();
  std::vector<std::string> answered;
  REQUIRE(eventually([&] {
    for (const Outgoing& outgoing : outbox.take_all()) answered.push_back(outgoing.routing_id);
    return answered.size() == kReadsPerKeyMax + 1;
  }));
  service.stop();
  const auto found = std::find(answered.begin(), answered.end(), "modest");
  return found - answered.begin();
}

TEST_CASE("keys take turns: one request is answered at once, whatever another key has waiting") {
  // The thread that has the request may be put aside for a moment by the machine. Without turns it is last every time.
  long place = kReadsPerKeyMax;
  for (int attempt = 0; attempt < 20 && place > static_cast<long>(2 * kReadThreads); ++attempt) {
    place = std::min(place, place_of_the_modest());
  }
  CHECK(place <= static_cast<long>(2 * kReadThreads));
}
