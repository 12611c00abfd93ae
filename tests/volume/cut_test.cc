// A copy that gives up its newest records is what it would be had it never got them: the log, every row of the index, every point.
#include <catch2/catch.hpp>

#include "log/read/cursor.h"
#include "tests/support/rounds.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"

namespace tidemark::test {
namespace {

GroupOptions small_options() {
  GroupOptions options;
  options.log.segment_bytes = 64 * 1024;
  options.log.reserve_bytes = 0;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

std::unique_ptr<Group> open(const std::string& directory, OpenMode mode) {
  auto group = Group::open(directory, mode, small_options());
  INFO(directory << ": " << group.status().text());
  REQUIRE(group.ok());
  return std::move(group).value();
}

std::unique_ptr<Group> make_copy(const Group& source, const std::string& directory) {
  REQUIRE(Group::init_replica(directory, source.identity()).ok());
  return open(directory, OpenMode::kReplica);
}

void ship(Group& from, Group& to, Seq end) {
  LogCursor cursor(from.log(), to.position().seq.next());
  while (cursor.next() <= end) {
    auto run = cursor.read(100'000, end);
    REQUIRE(run.ok());
    auto taken = to.ingest(run->bytes, Seq());  // early, all of it
    INFO(taken.status().text());
    REQUIRE(taken.ok());
  }
  REQUIRE(to.sync().ok());
}

uint64_t fingerprint(Group& group) {
  auto sum = group.index_fingerprint();
  REQUIRE(sum.ok());
  return *sum;
}

// Random work, marks that come, are held and are released among it.
void work(Group& group, RandomOps& ops, int steps) {
  static int number = 0;
  for (int i = 0; i < steps; ++i) {
    ops.step();
    if (ops.below(25) == 0) {
      REQUIRE(group.create_mark({"m" + std::to_string(++number), "", "test", 0, 0}).ok());
    } else if (ops.below(25) == 0) {
      auto marks = group.list_marks(MarkId(0), 100);
      REQUIRE(marks.ok());
      if (marks->empty()) continue;
      const Mark& mark = (*marks)[ops.below(marks->size())];
      REQUIRE(group.hold_mark(mark.name, !mark.held).ok());
    }
  }
  REQUIRE(group.sync().ok());
}

}  // namespace

TEST_CASE("a copy that was cut has the index, the log and the points of one that never held more") {
  run_rounds("cuts of a copy", 12, [](uint64_t seed) {
    Scratch scratch(memory_directory());
    REQUIRE(Group::init(scratch / "source", {.name = "shop"}, small_options()).ok());
    auto source = open(scratch / "source", OpenMode::kPrimary);
    RandomOps ops(source->volume(), seed);
    work(*source, ops, 250);
    auto copy = make_copy(*source, scratch / "copy");
    ship(*source, *copy, source->newest());
    const uint64_t newest = source->newest().value();
    const Seq to(newest - 1 - ops.below(std::min<uint64_t>(newest - 1, 120)));
    auto position = source->log().position_at(to);
    REQUIRE(position.ok());
    {
      auto view = copy->view(to.next());
      REQUIRE(view.ok());
      CHECK(copy->cut_tail(*position).code() == Code::kBusy);
      CHECK(copy->newest() == source->newest());
    }
    const Status cut = copy->cut_tail(*position);
    INFO("to seq " << to.value() << " of " << newest << ": " << cut.text());
    REQUIRE(cut.ok());
    CHECK(copy->newest() == to);
    CHECK(copy->view(to.next()).status().code() == Code::kNoSuchPoint);
    auto less = make_copy(*source, scratch / "less");
    ship(*source, *less, to);
    REQUIRE(fingerprint(*copy) == fingerprint(*less));
    auto view = copy->view(to);
    auto wanted = source->view(to);
    REQUIRE((view.ok() && wanted.ok()));
    CHECK(dump_view(**view) == dump_view(**wanted));
    view->reset();
    // It goes on, and is the same after a restart.
    ship(*source, *copy, source->newest());
    CHECK(fingerprint(*copy) == fingerprint(*source));
    copy = nullptr;
    copy = open(scratch / "copy", OpenMode::kReplica);
    CHECK(copy->recovery().text.empty());
    CHECK(fingerprint(*copy) == fingerprint(*source));
  });
}

}  // namespace tidemark::test
