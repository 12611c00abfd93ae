// The index's disk fills up where the log's does not: between two records, or in the middle of one commit.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "log/read/cursor.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"

namespace tidemark::test {
namespace {

// Lets `writes` more writes of rows through, then none until it is told that there is space.
struct IndexDisk {
  int64_t writes = INT64_MAX;
  std::function<Status()> gate() {
    return [this]() -> Status {
      if (writes <= 0) return errno_status(ENOSPC, "injected");
      --writes;
      return Status();
    };
  }
};

GroupOptions on(IndexDisk& disk) {
  GroupOptions options;
  options.log.segment_bytes = 1 << 20;
  options.before_index_write = disk.gate();
  return options;
}

std::unique_ptr<Group> open_group(const std::string& directory, OpenMode mode, const GroupOptions& options) {
  auto group = Group::open(directory, mode, options);
  INFO(group.status().text());
  REQUIRE(group.ok());
  return std::move(group).value();
}

std::unique_ptr<Group> make_primary(const std::string& directory, const GroupOptions& options = {}) {
  REQUIRE(Group::init(directory, {.name = "test"}, options).ok());
  return open_group(directory, OpenMode::kPrimary, options);
}

std::unique_ptr<Group> make_copy(const std::string& directory, Group& source, const GroupOptions& options) {
  REQUIRE(Group::init_replica(directory, {source.identity().id, "test", Role::kReplica}, options).ok());
  return open_group(directory, OpenMode::kReplica, options);
}

// One run of what the copy lacks, as a shipper sends it: after what its log holds.
Status ship(Group& from, Group& to, size_t bytes_max) {
  LogCursor cursor(from.log(), to.log().appended().next());
  auto run = cursor.read(bytes_max, from.log().appended());
  REQUIRE(run.ok());
  return run->bytes.empty() ? Status() : to.ingest(run->bytes).status();
}

void same(Group& source, Group& copy) {
  CHECK(copy.position() == source.position());
  CHECK(copy.newest() == source.newest());
  CHECK(copy.index_fingerprint().value() == source.index_fingerprint().value());
}

}  // namespace

TEST_CASE("a copy whose index's disk was full at any write goes on once there is space, without being opened anew") {
  const uint64_t seed = GENERATE(1u, 2u, 3u);
  INFO("seed " << seed);
  Scratch scratch;
  auto source = make_primary(scratch / "source");
  RandomOps ops(source->volume(), seed);
  for (int i = 0; i < 400; ++i) ops.step();
  REQUIRE(source->sync().ok());
  IndexDisk disk;
  auto copy = make_copy(scratch / "copy", *source, on(disk));
  int met = 0;
  while (copy->log().appended() < source->log().appended()) {
    disk.writes = static_cast<int64_t>(ops.below(6));
    const size_t bytes = 1 + ops.below(50'000);
    const Status taken = ship(*source, *copy, bytes);
    if (taken.ok()) continue;
    INFO(taken.text());
    REQUIRE(taken.code() == Code::kNoSpace);
    ++met;
    // As long as it is full nothing more is taken, and the log stays where it is.
    disk.writes = 0;
    const Seq held = copy->log().appended();
    if (held == source->log().appended()) break;
    CHECK(ship(*source, *copy, bytes).code() == Code::kNoSpace);
    CHECK(copy->log().appended() == held);
  }
  CHECK(met > 10);
  disk.writes = INT64_MAX;
  auto mark = source->create_mark({.name = "end"});
  REQUIRE(mark.ok());
  REQUIRE(ship(*source, *copy, 1 << 20).ok());
  same(*source, *copy);
}

TEST_CASE("a primary whose index's disk fills up inside a commit goes on once there is space, without being opened anew") {
  Scratch scratch;
  IndexDisk disk;
  auto group = make_primary(scratch / "group", on(disk));
  Volume& volume = group->volume();
  const Ino file = volume.make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  const std::string content(3 * kBlockSize, 'x');
  REQUIRE(volume.write(file, 0, as_bytes(content), false).ok());
  REQUIRE(volume.set_xattr(file, "user.a", "1", Volume::XattrMode::kEither).ok());
  disk.writes = 0;
  // Each is logged, and meets the full disk while it is applied.
  const auto change = GENERATE(0, 1, 2, 3);
  Status refused;
  if (change == 0) refused = volume.set_xattr(file, "user.b", "2", Volume::XattrMode::kEither);
  if (change == 1) refused = volume.set_attr(file, {.mask = kSetSize, .size = kBlockSize}).status();
  if (change == 2) refused = volume.write(file, 0, as_bytes(content), false).status();
  if (change == 3) refused = group->create_mark({.name = "m"}).status();
  INFO(refused.text());
  CHECK(refused.code() == Code::kNoSpace);
  CHECK(volume.write(file, 0, as_bytes(content), false).status().code() == Code::kNoSpace);
  disk.writes = INT64_MAX;
  // Who asks first learns that his look at the tree is old; then everything goes on, with what was logged.
  CHECK(volume.write(file, 0, as_bytes(content), false).status().code() == Code::kNoSpace);
  REQUIRE(volume.write(file, 0, as_bytes(content), false).ok());
  CHECK(group->newest() == group->log().appended());
  if (change == 0) CHECK(volume.get_xattr(file, "user.b").value() == "2");
  if (change == 3) CHECK(group->find_mark("m").ok());
  REQUIRE(group->sync().ok());
  const uint64_t fingerprint = group->index_fingerprint().value();
  group.reset();
  std::filesystem::remove_all(scratch / "group/index");
  group = open_group(scratch / "group", OpenMode::kPrimary, on(disk));
  CHECK(group->index_fingerprint().value() == fingerprint);
}

}  // namespace tidemark::test
