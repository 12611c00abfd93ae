// The base moves: every point from it on reads exactly as before, with the index that lived through it, with one rebuilt from the
// base image, and at a replica; nothing below it can be asked for, and the disk gets its space back.
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <thread>

#include "log/read/cursor.h"
#include "log/repair/verify.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"
#include "volume/history/base_image.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

GroupOptions small_segments() {
  GroupOptions options;
  options.log.segment_bytes = 256 * 1024;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

std::unique_ptr<Group> open(const std::string& directory, OpenMode mode = OpenMode::kPrimary) {
  auto group = Group::open(directory, mode, small_segments());
  INFO(group.status().text());
  REQUIRE(group.ok());
  return std::move(group).value();
}

std::unique_ptr<Group> make_group(const std::string& directory) {
  REQUIRE(Group::init(directory, {.name = "test"}, small_segments()).ok());
  return open(directory);
}

PruneReport prune_to(Group& group, Seq base) {
  auto report = group.prune({.to = base});
  INFO(report.status().text());
  REQUIRE(report.ok());
  return *report;
}

using States = std::map<Seq, std::string>;

// What every point looks like from `from` on.
States all_points(Group& group, Seq from) {
  States states;
  for (Seq seq = from; seq <= group.newest(); seq = seq.next()) {
    auto view = group.view(seq);
    REQUIRE(view.ok());
    states[seq] = dump_view(**view);
  }
  return states;
}

void compare(Group& group, const States& states, Seq base) {
  for (const auto& [seq, expected] : states) {
    auto view = group.view(seq);
    if (seq < base) {
      CHECK(view.status().code() == Code::kNoSuchPoint);
      continue;
    }
    INFO("at seq " << seq.value() << ", base " << base.value() << ": " << view.status().text());
    REQUIRE(view.ok());
    const std::string got = dump_view(**view);
    REQUIRE((got == expected));
  }
}

void ship(Group& from, Group& to) {
  LogCursor cursor(from.log(), to.position().seq.next());
  while (cursor.next() <= from.log().appended()) {
    auto run = cursor.read(300'000, from.log().appended());
    REQUIRE(run.ok());
    REQUIRE(to.ingest(run->bytes).ok());
  }
  REQUIRE(to.sync().ok());
}

void write_random(Volume& volume, Ino ino, uint64_t at, uint64_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string content(size, '\0');
  for (char& byte : content) byte = static_cast<char>(random());
  for (uint64_t done = 0; done < size; done += 1 << 20) {
    const auto part = as_bytes(content).subspan(done, std::min<uint64_t>(1 << 20, size - done));
    REQUIRE(volume.write(ino, at + done, part, false).ok());
  }
}

std::string read_whole(TreeView& view, Ino ino) {
  auto attr = view.get_attr(ino);
  REQUIRE(attr.ok());
  std::string content(attr->size, '\0');
  auto read = view.read(ino, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()});
  INFO(read.status().text());
  REQUIRE(read.ok());
  return content;
}

uint64_t disk_usage(const std::string& directory) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    struct stat info {};
    if (::lstat(entry.path().c_str(), &info) == 0) bytes += static_cast<uint64_t>(info.st_blocks) * 512;
  }
  return bytes;
}

}  // namespace

TEST_CASE("prune: every point from the base on equals the model, rebuilt and copied as well") {
  const uint64_t base_seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261121;
  const uint64_t seed = base_seed + static_cast<uint64_t>(GENERATE(0, 1, 2, 3));
  INFO("seed " << seed);
  Scratch scratch;
  const std::string directory = scratch / "group";
  const std::string copy = scratch / "copy";
  auto group = make_group(directory);
  REQUIRE(Group::init_replica(copy, group->identity()).ok());
  auto replica = open(copy, OpenMode::kReplica);
  RandomOps ops(group->volume(), seed);
  Seq base(1);
  for (int round = 0; round < 4; ++round) {
    States from_model;
    for (int i = 0; i < 120; ++i) {
      ops.step();
      if (i % 30 == 0) REQUIRE(group->create_mark({.name = std::to_string(round) + "-" + std::to_string(i)}).ok());
      if (ops.below(4) == 0) from_model[group->newest()] = ops.model().dump();
    }
    REQUIRE(group->sync().ok());
    ship(*group, *replica);
    const Seq next(base.value() + 1 + ops.below(group->newest().value() - base.value()));
    States states = all_points(*group, next);
    const PruneReport report = prune_to(*group, next);
    CHECK(report.base == next);
    CHECK(group->base() == next);
    base = next;
    compare(*group, states, base);
    compare(*group, from_model, base);
    const uint64_t fingerprint = group->index_fingerprint().value();

    (void)prune_to(*replica, next);
    CHECK(replica->index_fingerprint().value() == fingerprint);
    compare(*replica, states, base);

    const bool rebuild = round % 2 == 0;
    group.reset();
    if (rebuild) fs::remove_all(directory + "/index");
    group = open(directory);
    CHECK(group->base() == base);
    CHECK(group->index_fingerprint().value() == fingerprint);
    compare(*group, states, base);
    ops.rebind(group->volume());
  }
  // The replica still takes what follows, and stays the same.
  for (int i = 0; i < 60; ++i) ops.step();
  ship(*group, *replica);
  CHECK(replica->index_fingerprint().value() == group->index_fingerprint().value());
  REQUIRE((dump_view(group->volume()) == ops.model().dump()));
  group.reset();
  auto verdict = verify_log(posix_file_system(), directory + "/log", kLatest, nullptr);
  REQUIRE(verdict.ok());
  CHECK(verdict->damage.empty());
}

TEST_CASE("prune: what it never passes, and says so") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  std::map<std::string, Mark> marks;
  for (const char* name : {"a", "b", "c", "d"}) {
    write_random(group->volume(), file, 0, 600'000, static_cast<uint64_t>(name[0]));
    marks[name] = *group->create_mark({.name = name});
  }
  REQUIRE(group->hold_mark("b", true).ok());
  const auto said = [](const PruneReport& report, const std::string& text) {
    INFO(report.stopped_by);
    return report.stopped_by.find(text) != std::string::npos;
  };
  // A dry run changes nothing, and says what would go.
  auto plan = group->prune({.to = marks["d"].seq, .dry_run = true});
  REQUIRE(plan.ok());
  CHECK(plan->base == marks["b"].seq);
  CHECK(plan->wanted == marks["d"].seq);
  CHECK(said(*plan, "held mark 'b'"));
  REQUIRE(plan->marks.size() == 1);
  CHECK(plan->marks[0].name == "a");
  CHECK(plan->segments > 0);
  CHECK(group->base() == Seq(1));
  CHECK(group->view(Seq(1)).ok());

  CHECK(said(*group->prune({.to = marks["d"].seq, .keep = {{Seq(1), "the pair with site 'far'"}}}), "site 'far'"));
  CHECK(group->base() == Seq(1));
  {
    auto view = group->view(marks["a"].seq).value();
    const std::string before = read_whole(*view, file);
    CHECK(said(prune_to(*group, marks["d"].seq), "view of seq:" + std::to_string(marks["a"].seq.value())));
    CHECK(group->base() == marks["a"].seq);
    CHECK(read_whole(*view, file) == before);
  }
  auto passing = group->passing_view(marks["a"].seq).value();
  auto staying = group->passing_view(marks["c"].seq).value();
  const std::string passing_by = read_whole(*staying, file);
  CHECK(said(prune_to(*group, marks["d"].seq), "held mark 'b'"));
  CHECK(group->base() == marks["b"].seq);
  CHECK(passing->get_attr(file).status().code() == Code::kNoSuchPoint);
  CHECK(passing->list(kRootIno, "", 10).status().code() == Code::kNoSuchPoint);
  CHECK(read_whole(*staying, file) == passing_by);
  CHECK(group->passing_view(marks["a"].seq).status().code() == Code::kNoSuchPoint);
  // Below the base: not listed, refused by name, and the name stays taken.
  CHECK(group->list_marks(MarkId(0), 10)->size() == 3);
  CHECK(group->list_marks(MarkId(0), 1)->at(0).name == "b");
  for (const Status& refused : {group->find_mark("a").status(), group->resolve("a").status(), group->hold_mark("a", true),
                                group->view(marks["a"].seq).status(), group->resolve("seq:1").status(),
                                group->resolve("1999-01-01T00:00:00Z").status()}) {
    INFO(refused.text());
    CHECK(refused.code() == Code::kNoSuchPoint);
    CHECK(refused.text().find("seq:" + std::to_string(marks["b"].seq.value())) != std::string::npos);
    CHECK(refused.text().find(format_time(marks["b"].time_ns)) != std::string::npos);
  }
  CHECK(group->create_mark({.name = "a"}).status().code() == Code::kExists);
  CHECK(group->resolve("b").value() == marks["b"].seq);
  // Released, it goes on; never backwards.
  REQUIRE(group->hold_mark("b", false).ok());
  CHECK(prune_to(*group, marks["c"].seq).stopped_by.empty());
  CHECK(prune_to(*group, marks["b"].seq).base == marks["c"].seq);
  staying.reset();
  CHECK(said(prune_to(*group, Seq(group->newest().value() + 1000)), "durable"));
  CHECK(group->base() == group->log().durable());
  // The same after the index was lost.
  passing.reset();
  group.reset();
  fs::remove_all(scratch / "group/index");
  group = open(scratch / "group");
  CHECK(group->create_mark({.name = "a"}).status().code() == Code::kExists);
  CHECK(group->create_mark({.name = "d"}).status().code() == Code::kExists);
  CHECK(group->create_mark({.name = "e"})->id == MarkId(5));
}

TEST_CASE("prune: by age and by size") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  for (uint64_t i = 0; i < 20; ++i) write_random(group->volume(), file, 0, 256 * 1024, i);
  REQUIRE(group->sync().ok());
  CHECK(group->prune({.policy = {std::chrono::hours(1), 0}})->base == Seq(1));
  const auto report = group->prune({.policy = {std::chrono::hours(1), 1 << 20}});
  REQUIRE(report.ok());
  CHECK(report->segments > 10);
  CHECK(group->log().bytes() <= 1 << 20);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  CHECK(group->prune({.policy = {std::chrono::seconds(1), 0}})->base == group->newest());
}

TEST_CASE("prune: clones, holes, links, attributes and files in use live on, from packs") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  auto group = make_group(directory);
  Volume& volume = group->volume();
  const auto make = [&](const char* name) { return volume.make_node(kRootIno, name, {.mode = S_IFREG | 0644})->ino; };
  const Ino source = make("source");
  write_random(volume, source, 0, 1 << 20, 1);
  const Ino clone = make("clone");
  REQUIRE(volume.copy_range(source, 0, clone, 0, 1 << 20).ok());
  const Ino holes = make("holes");
  write_random(volume, holes, 0, 400'000, 2);
  REQUIRE(volume.punch(holes, 8192, 100'000).ok());
  const Ino cut = make("cut");
  write_random(volume, cut, 0, 300'000, 3);
  SetAttr resize{.mask = kSetSize};
  resize.size = 123'457;
  REQUIRE(volume.set_attr(cut, resize).ok());
  REQUIRE(volume.link(cut, kRootIno, "cut too").ok());
  REQUIRE(volume.set_xattr(cut, "user.a", "value", Volume::XattrMode::kEither).ok());
  NewNode link{.mode = S_IFLNK | 0777};
  link.symlink_target = "clone";
  REQUIRE(volume.make_node(kRootIno, "link", link).ok());
  const Ino in_use = make("in use");
  write_random(volume, in_use, 0, 200'000, 4);
  const std::string used = read_whole(volume, in_use);
  REQUIRE(volume.unlink(kRootIno, "in use").ok());
  REQUIRE(volume.unlink(kRootIno, "source").ok());
  REQUIRE(volume.free_inodes({source}).ok());
  const Ino gone = make("gone");
  write_random(volume, gone, 0, 4 << 20, 5);
  REQUIRE(volume.unlink(kRootIno, "gone").ok());
  REQUIRE(volume.free_inodes({gone}).ok());
  REQUIRE(group->sync().ok());
  const std::string before = dump_view(volume);
  const uint64_t bytes = group->log().bytes();
  const PruneReport report = prune_to(*group, group->newest());
  CHECK(report.pack_bytes > 1'500'000);
  CHECK(report.log_bytes + report.pack_bytes + 4'000'000 < bytes);
  for (const bool rebuild : {false, true}) {
    CHECK(dump_view(group->volume()) == before);
    CHECK(read_whole(group->volume(), in_use) == used);
    CHECK(group->volume().unnamed_inodes(10)->size() == 1);
    if (!rebuild) group.reset();
    if (!rebuild) fs::remove_all(directory + "/index");
    if (!rebuild) group = open(directory);
  }
  // The file in use goes when nobody uses it any more, and numbers are never used twice.
  REQUIRE(group->volume().free_inodes({in_use}).ok());
  CHECK(group->volume().make_node(kRootIno, "new", {.mode = S_IFREG | 0644})->ino > gone);
  CHECK(dump_view(*group->view(group->base()).value()) == before);
}

TEST_CASE("prune: deleted files give their space back") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  GroupOptions options;
  options.log.segment_bytes = 4 << 20;
  REQUIRE(Group::init(directory, {.name = "test"}, options).ok());
  auto group = Group::open(directory, OpenMode::kPrimary, options).value();
  const Ino kept = group->volume().make_node(kRootIno, "kept", {.mode = S_IFREG | 0644})->ino;
  const Ino big = group->volume().make_node(kRootIno, "big", {.mode = S_IFREG | 0644})->ino;
  for (uint64_t part = 0; part < 16; ++part) {
    write_random(group->volume(), kept, part * 100'000, 100'000, part);
    write_random(group->volume(), big, part << 22, 4 << 20, part);
  }
  REQUIRE(group->volume().unlink(kRootIno, "big").ok());
  REQUIRE(group->volume().free_inodes({big}).ok());
  REQUIRE(group->checkpoint().ok());
  const uint64_t before = disk_usage(directory);
  const std::string content = read_whole(group->volume(), kept);
  (void)prune_to(*group, group->newest());
  const uint64_t after = disk_usage(directory);
  std::cout << "64 MiB deleted: " << (before >> 20) << " MiB on disk before the prune, " << (after >> 20) << " after\n";
  CHECK(before > 64 << 20);
  CHECK(after < 10 << 20);
  CHECK(read_whole(group->volume(), kept) == content);
}

TEST_CASE("prune: a reader in another process reads on, or is told that it was pruned; never anything else") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  auto group = make_group(directory);
  RandomOps ops(group->volume(), 5);
  for (int i = 0; i < 250; ++i) ops.step();
  REQUIRE(group->checkpoint().ok());
  auto reader = open(directory, OpenMode::kRead);
  const Seq early(reader->newest().value() / 3);
  auto view = reader->view(early).value();
  (void)dump_view(*view);  // has every file open from here on
  const States points = all_points(*reader, Seq(reader->newest().value() - 20));
  auto fresh = open(directory, OpenMode::kRead);
  auto old_view = fresh->view(early).value();
  for (int i = 0; i < 100; ++i) ops.step();
  REQUIRE(group->sync().ok());
  const Seq base(fresh->newest().value() - 10);
  (void)prune_to(*group, base);
  // `fresh` has opened no file yet: what the new base still needs it finds in the packs.
  for (const auto& [seq, expected] : points) {
    if (seq < base) continue;
    REQUIRE((dump_view(*fresh->view(seq).value()) == expected));
  }
  int told = 0;
  for (const Ino ino : {Ino(2), Ino(3), Ino(4), Ino(5), Ino(6), Ino(7), Ino(8), Ino(9), Ino(10), Ino(11), Ino(12)}) {
    auto attr = old_view->get_attr(ino);
    if (!attr.ok() || !S_ISREG(attr->mode) || attr->size == 0) continue;
    std::string got(attr->size, '\0');
    auto read = old_view->read(ino, 0, {reinterpret_cast<std::byte*>(got.data()), got.size()});
    if (read.ok()) {
      CHECK(got == read_whole(*view, ino));
    } else {
      CHECK(read.status().code() == Code::kNoSuchPoint);
      CHECK(read.status().text().find("pruned") != std::string::npos);
      ++told;
    }
  }
  CHECK(told > 0);
  CHECK(open(directory, OpenMode::kRead)->base() == base);
  CHECK(fresh->view(early).status().code() == Code::kNoSuchPoint);
}

TEST_CASE("prune: a damaged block stops it by name, and everything stays as it was") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  auto group = make_group(directory);
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  write_random(group->volume(), file, 0, 1 << 20, 1);
  REQUIRE(group->checkpoint().ok());
  {
    std::fstream segment(directory + "/log/00000000000000000001.seg", std::ios::in | std::ios::out | std::ios::binary);
    segment.seekp(100'000);
    segment.put('!');
    segment.put('?');
  }
  const auto listing = [&] {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.path().string().find("/index/") == std::string::npos) names.insert(entry.path());
    }
    return names;
  };
  const auto before = listing();
  const auto pruned = group->prune({.to = group->newest()});
  CHECK(pruned.status().code() == Code::kCorrupt);
  CHECK(pruned.status().text().find("segment 00000000000000000001.seg") != std::string::npos);
  CHECK(group->base() == Seq(1));
  CHECK(group->view(Seq(1)).ok());
  auto after = listing();
  after.erase(directory + "/base");
  CHECK(after == before);
}

TEST_CASE("a flipped bit anywhere in a base image is noticed") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  auto group = make_group(directory);
  RandomOps ops(group->volume(), 11);
  for (int i = 0; i < 60; ++i) ops.step();
  REQUIRE(group->sync().ok());
  const Seq base = prune_to(*group, group->newest()).base;
  const States states = all_points(*group, base);
  group.reset();
  const std::string path = base_image_path(directory, base);
  const std::string content = read_file(posix_file_system(), path).value();
  const auto flip = [&](uint64_t byte) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(byte));
    file.put(static_cast<char>(content[byte] ^ (1 << (byte % 8))));
  };
  for (uint64_t byte = 0; byte < content.size(); ++byte) {
    flip(byte);
    auto read = read_base_image(posix_file_system(), directory, base, nullptr);
    INFO("byte " << byte);
    REQUIRE(read.status().code() != Code::kOk);
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(static_cast<std::streamoff>(byte))
        .put(content[byte]);
  }
  // With a sound index nothing is lost but the way to rebuild it.
  flip(200);
  compare(*open(directory), states, base);
  REQUIRE(open(directory)->rewrite_base_image().ok());
  CHECK(read_file(posix_file_system(), path).value() == content);
  flip(50);  // the header
  REQUIRE(open(directory)->rewrite_base_image().ok());
  CHECK(read_base_image(posix_file_system(), directory, base, nullptr).ok());
  fs::remove_all(directory + "/index");
  compare(*open(directory), states, base);
  flip(200);
  fs::remove_all(directory + "/index");
  CHECK(Group::open(directory, OpenMode::kPrimary, small_segments()).status().code() == Code::kCorrupt);
}

TEST_CASE("prune: tombstones stay as long as somebody must hear of them") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  auto group = make_group(directory);
  const auto remove = [&](const std::string& name) {
    const Ino ino = group->volume().make_node(kRootIno, name, {.mode = S_IFREG | 0644})->ino;
    REQUIRE(group->volume().unlink(kRootIno, name).ok());
    REQUIRE(group->volume().free_inodes({ino}).ok());
  };
  remove("early");
  REQUIRE(group->sync().ok());
  const Seq copied_to = group->newest();
  remove("late");
  REQUIRE(group->sync().ok());
  const auto tombstones = [&] {
    std::string names;
    auto read =
        read_base_image(posix_file_system(), directory, group->base(), [&](std::string_view key, std::string_view value) {
          if (key[0] == 'D' && value.empty()) names += std::string(name_of(subject_of(key))) + " ";
          return Status();
        });
    REQUIRE(read.ok());
    return names;
  };
  REQUIRE(group->prune({.to = group->newest(), .tombstones_from = copied_to}).ok());
  CHECK(tombstones() == "late ");
  const uint64_t fingerprint = group->index_fingerprint().value();
  group.reset();
  fs::remove_all(directory + "/index");
  group = open(directory);
  CHECK(group->index_fingerprint().value() == fingerprint);
  remove("last");
  REQUIRE(group->sync().ok());
  (void)prune_to(*group, group->newest());
  CHECK(tombstones() == "");
}

TEST_CASE("needed records are found in windows where there are too many for one") {
  Scratch scratch;
  auto group = make_group(scratch / "group");
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  std::mt19937_64 random(3);
  for (uint64_t block = 0; block < 400; ++block) {
    write_random(group->volume(), file, random() % 400 * kBlockSize, kBlockSize, block);
  }
  REQUIRE(group->checkpoint().ok());
  const Seq base = group->newest();
  group.reset();
  auto index = Index::open(scratch / "group/index", {.read_only = true}).value();
  const BaseRule rule{base, base};
  const LiveWindow whole = find_needed_records(*index, rule, 0, UINT64_MAX).value();
  REQUIRE(whole.offsets.size() > 3);
  std::map<uint64_t, std::vector<uint32_t>> pieces;
  int windows = 0;
  for (uint64_t from = 0; from != UINT64_MAX; ++windows) {
    const LiveWindow window = find_needed_records(*index, rule, from, UINT64_MAX, 100).value();
    REQUIRE(window.end > from);
    for (const auto& [segment, offsets] : window.offsets) {
      REQUIRE(segment >= from);
      REQUIRE(segment < window.end);
      pieces[segment] = offsets;
    }
    from = window.end;
  }
  CHECK(windows > 2);
  CHECK(pieces == whole.offsets);
}

TEST_CASE("prune beside writers and readers: nobody notices") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  auto group = make_group(directory);
  std::vector<Ino> files;
  for (int i = 0; i < 3; ++i) {
    files.push_back(group->volume().make_node(kRootIno, "f" + std::to_string(i), {.mode = S_IFREG | 0644})->ino);
    write_random(group->volume(), files.back(), 0, 256 * 1024, static_cast<uint64_t>(i));
  }
  std::atomic<bool> done{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (uint64_t id = 0; id < 2; ++id) {
    threads.emplace_back([&, id] {
      std::mt19937_64 random(id);
      // Each block says in all its words which write it is from: a reader sees no mixture.
      std::vector<uint64_t> block(kBlockSize / 8);
      while (!done) {
        std::fill(block.begin(), block.end(), random());
        const Ino ino = files[random() % files.size()];
        const Bytes bytes{reinterpret_cast<const std::byte*>(block.data()), kBlockSize};
        failures += !group->volume().write(ino, random() % 64 * kBlockSize, bytes, false).ok();
      }
    });
  }
  threads.emplace_back([&] {
    std::string content(256 * 1024, '\0');
    while (!done) {
      for (const Ino ino : files) {
        auto live = group->volume().read(ino, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()});
        if (!live.ok()) std::cout << live.status().text() + "\n";
        failures += !live.ok();
        auto view = group->view(kLatest);
        failures += !view.ok();
        if (view.ok())
          failures += !(*view)->read(ino, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()}).ok();
      }
    }
  });
  int moved = 0;
  for (int round = 0; round < 12 || (moved <= 3 && round < 500); ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    auto report = group->prune({.to = Seq(group->log().durable().value())});
    if (!report.ok()) std::cout << report.status().text() << "\n";
    CHECK((report.ok() || report.status().code() == Code::kBusy));
    moved += report.ok() && report->segments > 0;
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(moved > 3);
  (void)prune_to(*group, group->log().durable());
  const uint64_t fingerprint = group->index_fingerprint().value();
  const std::string before = dump_view(group->volume());
  group.reset();
  fs::remove_all(directory + "/index");
  group = open(directory);
  CHECK(group->index_fingerprint().value() == fingerprint);
  CHECK(dump_view(group->volume()) == before);
}

}  // namespace tidemark::test
