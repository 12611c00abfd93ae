// The engine against the model: at many points of the past, after the index is lost, and at a replica.
#include <catch2/catch.hpp>
#include <filesystem>
#include <future>
#include <thread>

#include "log/read/cursor.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"

namespace tidemark::test {
namespace {

GroupOptions small_segments() {
  GroupOptions options;
  options.log.segment_bytes = 1 << 20;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

std::unique_ptr<Group> make_group(const std::string& directory, const GroupOptions& options = small_segments()) {
  REQUIRE(Group::init(directory, {.name = "test"}, options).ok());
  auto group = Group::open(directory, OpenMode::kPrimary, options);
  INFO(group.status().text());
  REQUIRE(group.ok());
  return std::move(group).value();
}

using Snapshots = std::map<Seq, std::string>;

void compare(Group& group, const Snapshots& snapshots) {
  for (const auto& [seq, expected] : snapshots) {
    INFO("at seq " << seq.value());
    auto view = group.view(seq);
    REQUIRE(view.ok());
    const std::string got = dump_view(**view);
    REQUIRE((got == expected));
  }
}

Snapshots run(Group& group, RandomOps& ops, int steps) {
  Snapshots snapshots;
  for (int i = 0; i < steps; ++i) {
    ops.step();
    if (ops.below(40) == 0) snapshots[group.newest()] = ops.model().dump();
  }
  snapshots[group.newest()] = ops.model().dump();
  return snapshots;
}

// Everything `from` has, in runs of random size.
void copy_log(Group& from, Group& to, RandomOps& dice) {
  LogCursor cursor(from.log(), to.position().seq.next());
  while (cursor.next() <= from.log().appended()) {
    auto run = cursor.read(1 + dice.below(300'000), from.log().appended());
    REQUIRE(run.ok());
    auto taken = to.ingest(run->bytes);
    INFO(taken.status().text());
    REQUIRE(taken.ok());
  }
  REQUIRE(to.sync().ok());
}

}  // namespace

TEST_CASE("engine equals the model at every point of the past, rebuilt and copied") {
  const uint64_t seed = GENERATE(1u, 2u, 3u, 4u, 5u, 6u);
  INFO("seed " << seed);
  Scratch scratch;
  const std::string directory = scratch / "group";
  auto group = make_group(directory);
  RandomOps ops(group->volume(), seed);
  const Snapshots snapshots = run(*group, ops, 1500);
  REQUIRE((dump_view(group->volume()) == ops.model().dump()));
  compare(*group, snapshots);
  // Points between operations open and read without an error as well.
  for (int i = 0; i < 20; ++i) {
    (void)dump_view(**group->view(Seq(1 + ops.below(group->newest().value()))));
  }
  const uint64_t fingerprint = group->index_fingerprint().value();
  const Position position = group->position();

  SECTION("opened again") {
    group.reset();
    group = Group::open(directory, OpenMode::kPrimary, small_segments()).value();
    CHECK(group->index_fingerprint().value() == fingerprint);
    compare(*group, snapshots);
    ops.rebind(group->volume());
    compare(*group, run(*group, ops, 200));
  }
  SECTION("without its index") {
    group.reset();
    std::filesystem::remove_all(directory + "/index");
    group = Group::open(directory, OpenMode::kPrimary, small_segments()).value();
    CHECK(group->index_fingerprint().value() == fingerprint);
    CHECK(group->position() == position);
    compare(*group, snapshots);
  }
  SECTION("at a replica") {
    const std::string copy = scratch / "copy";
    REQUIRE(Group::init_replica(copy, group->identity()).ok());
    auto replica = Group::open(copy, OpenMode::kReplica, small_segments()).value();
    copy_log(*group, *replica, ops);
    CHECK(replica->position() == position);
    CHECK(replica->index_fingerprint().value() == fingerprint);
    compare(*replica, snapshots);
    CHECK(replica->volume().make_node(kRootIno, "new", {.mode = 0100644}).status().code() == Code::kReadOnly);
  }
}

TEST_CASE("a replica refuses what was changed on the way, and stays as it was") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  RandomOps ops(group->volume(), 77);
  (void)run(*group, ops, 60);
  REQUIRE(Group::init_replica(scratch / "copy", group->identity()).ok());
  auto replica = Group::open(scratch / "copy", OpenMode::kReplica, small_segments()).value();
  LogCursor cursor(group->log(), Seq(1));
  auto read = cursor.read(1 << 20, group->log().appended());
  REQUIRE(read.ok());
  const std::string good(as_text(read->bytes));
  for (int i = 0; i < 300; ++i) {
    std::string bad = good;
    bad[ops.below(bad.size())] ^= static_cast<char>(1 << ops.below(8));
    if (as_text(read->bytes) == bad) continue;
    auto taken = replica->ingest(as_bytes(bad));
    // A flipped bit in the padding between records means nothing; all else is refused.
    if (taken.ok()) FAIL("a changed run was taken");
    REQUIRE(replica->position() == Position{});
  }
  CHECK(replica->ingest(as_bytes(std::string_view(good).substr(0, good.size() - 1))).status().code() == Code::kCorrupt);
  CHECK(replica->ingest(as_bytes(good)).ok());
  CHECK_FALSE(replica->ingest(as_bytes(good)).ok());  // twice
}

TEST_CASE("marks: names, duplicates, points") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  Volume& volume = group->volume();
  const Ino file = volume.make_node(kRootIno, "f", {.mode = 0100644})->ino;
  REQUIRE(volume.write(file, 0, as_bytes("one"), false).ok());
  auto mark = group->create_mark({.name = "first ä", .note = "note", .application = "test", .pid = 7, .uid = 8});
  REQUIRE(mark.ok());
  CHECK(mark->id == MarkId(1));
  CHECK(group->log().durable() >= mark->seq);
  REQUIRE(volume.write(file, 0, as_bytes("two"), false).ok());
  CHECK(group->create_mark({.name = "first ä"}).status().code() == Code::kExists);
  for (const char* bad : {"", "a@b", "a/b", "a:b", "a\nb", "\xff", "latest", "-10m", "..", "\xc2\x85"}) {
    CHECK(group->create_mark({.name = bad}).status().code() == Code::kInvalid);
  }
  CHECK(group->create_mark({.name = std::string(256, 'x')}).status().code() == Code::kNameTooLong);
  CHECK(group->create_mark({.name = "n", .note = std::string(5000, 'x')}).status().code() == Code::kInvalid);
  CHECK(group->create_mark({.name = std::string(255, 'x')})->id == MarkId(2));
  CHECK(group->hold_mark("first ä", true).ok());
  CHECK(group->find_mark("first ä")->held);
  CHECK(group->resolve("first ä").value() == mark->seq);
  CHECK(group->resolve("nope").status().code() == Code::kNoSuchPoint);
  CHECK(group->resolve("seq:999999").status().code() == Code::kNoSuchPoint);
  CHECK(group->resolve("seq:0").status().code() == Code::kNoSuchPoint);
  CHECK(group->resolve("latest").value() == group->newest());
  CHECK(group->resolve(format_time(mark->time_ns)).value() >= mark->seq);
  CHECK(group->resolve("1999-01-01T00:00:00Z").status().code() == Code::kNoSuchPoint);
  const Status future = group->resolve("2199-01-01T00:00:00Z").status();
  CHECK(future.code() == Code::kNoSuchPoint);
  CHECK(future.text().find("in the future") != std::string::npos);
  CHECK(group->resolve(format_time(system_clock().wall_ns())).value() == group->newest());
  std::string content(3, '\0');
  auto view = group->view(mark->seq).value();
  REQUIRE(view->read(file, 0, {reinterpret_cast<std::byte*>(content.data()), 3}).value() == 3);
  CHECK(content == "one");
  CHECK(group->list_marks(MarkId(0), 10)->size() == 2);
  CHECK(group->list_marks(MarkId(1), 10)->size() == 1);
  const uint64_t fingerprint = group->index_fingerprint().value();
  view.reset();
  group.reset();
  std::filesystem::remove_all(scratch / "group/index");
  group = Group::open(scratch / "group", OpenMode::kPrimary).value();
  CHECK(group->index_fingerprint().value() == fingerprint);
  CHECK(group->find_mark("first ä")->held);
}

TEST_CASE("holding a mark that somebody else has just held waits until that is durable") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  REQUIRE(group->create_mark({.name = "good"}).ok());
  SiteProgress site;  // a sync pair's, which has everything so far
  site.waits = true;
  site.durable = group->newest();
  group->watermarks().update("near", site);
  auto hold = [&] { return std::async(std::launch::async, [&] { return group->hold_mark("good", true); }); };
  auto first = hold();
  while (group->newest() == site.durable) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  auto second = hold();
  CHECK(second.wait_for(std::chrono::milliseconds(300)) == std::future_status::timeout);
  site.durable = group->newest();
  group->watermarks().update("near", site);
  CHECK(first.get().ok());
  CHECK(second.get().ok());
}

TEST_CASE("what a record must never hold is refused or left out before it is written") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  Volume& volume = group->volume();
  auto fifo = volume.make_node(kRootIno, "fifo", {.mode = 0010644, .device = 77});
  REQUIRE(fifo.ok());
  CHECK(fifo->device == 0);
  NewNode link{.mode = 0120777};
  link.symlink_target = std::string("a\0b", 3);
  CHECK(volume.make_node(kRootIno, "link", link).status().code() == Code::kInvalid);
  CHECK(volume.make_node(kRootIno, "none", {.mode = 0644}).status().code() == Code::kInvalid);
  CHECK(volume.make_node(kRootIno, "a/b", {.mode = 0100644}).status().code() == Code::kInvalid);
  CHECK(volume.make_node(kRootIno, std::string(256, 'n'), {.mode = 0100644}).status().code() == Code::kNameTooLong);
  CHECK(volume.make_node(kRootIno, std::string(255, '\xff'), {.mode = 0100644}).ok());
  SetAttr times;
  times.mask = kSetMtime;
  times.mtime.nanoseconds = 1'000'000'000;
  CHECK(volume.set_attr(fifo->ino, times).status().code() == Code::kInvalid);
  const Ino file = volume.make_node(kRootIno, "f", {.mode = 0100644})->ino;
  CHECK(volume.write(file, kFileSizeMax - 1, as_bytes("ab"), false).status().code() == Code::kTooLarge);
  CHECK(volume.write(file, kFileSizeMax - 1, as_bytes("a"), false).ok());
  SetAttr size;
  size.mask = kSetSize;
  size.size = kFileSizeMax + 1;
  CHECK(volume.set_attr(file, size).status().code() == Code::kTooLarge);
  size.size = 5;
  CHECK(volume.set_attr(file, size).ok());
  CHECK(group->create_mark({.name = "m", .note = std::string("a\0b", 3)}).status().code() == Code::kInvalid);
  group.reset();
  CHECK(Group::open(scratch / "group", OpenMode::kPrimary).ok());
}

TEST_CASE("readers beside a writer see what was flushed; a second writer is refused by name") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = 0100644})->ino;
  REQUIRE(group->volume().write(file, 0, as_bytes(std::string(100'000, 'x')), false).ok());
  auto second = Group::open(scratch / "group", OpenMode::kPrimary);
  CHECK(second.status().code() == Code::kBusy);
  CHECK(second.status().text().find(std::to_string(::getpid())) != std::string::npos);
  REQUIRE(group->checkpoint().ok());
  auto reader = Group::open(scratch / "group", OpenMode::kRead);
  INFO(reader.status().text());
  REQUIRE(reader.ok());
  CHECK((*reader)->newest() == group->newest());
  CHECK(dump_view((*reader)->volume()) == dump_view(group->volume()));
  CHECK((*reader)->create_mark({.name = "m"}).status().code() == Code::kReadOnly);
  CHECK((*reader)->volume().unlink(kRootIno, "f").status().code() == Code::kReadOnly);
  reader->reset();
  group.reset();
  CHECK(Group::open(scratch / "group", OpenMode::kRead).ok());
  CHECK_FALSE(lock_holder(scratch / "group")->has_value());
}

TEST_CASE("a damaged block is never returned as data") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = 0100644})->ino;
  RandomOps dice(group->volume(), 9);
  std::string content(64 * 1024, '\0');
  for (char& byte : content) byte = static_cast<char>(dice.below(256));
  REQUIRE(group->volume().write(file, 0, as_bytes(content), false).ok());
  const Position end = group->position();
  group.reset();
  const std::string segment = scratch / "group/log/00000000000000000001.seg";
  auto handle = posix_file_system().open(segment, FileSystem::Open::kReadWrite).value();
  const uint64_t size = handle->size().value();
  std::byte byte{};
  const uint64_t at = size - 20'000;
  REQUIRE(handle->read(at, {&byte, 1}).ok());
  byte ^= std::byte{0x10};
  const iovec part{&byte, 1};
  REQUIRE(handle->write(at, {&part, 1}).ok());
  auto opened = Group::open(scratch / "group", OpenMode::kPrimary);
  // The last record is looked at when the log is opened, and costs its blocks alone.
  REQUIRE(opened.ok());
  CHECK((*opened)->recovery().alarm);
  CHECK((*opened)->position() == end);
  std::string got(content.size(), '\0');
  auto read = (*opened)->volume().read(file, 0, {reinterpret_cast<std::byte*>(got.data()), got.size()});
  CHECK(read.status().code() == Code::kCorrupt);
  CHECK(read.status().text().find("segment 00000000000000000001.seg") != std::string::npos);
}

}  // namespace tidemark::test
