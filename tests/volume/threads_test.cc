// Many threads at once: writers in files of their own and in one they share, readers of the past, marks, checkpoints.
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include <thread>

#include "base/mutex.h"
#include "tests/support/scratch.h"
#include "tests/volume/model.h"
#include "volume/group/group.h"

namespace tidemark::test {
namespace {

constexpr uint64_t kShared = 64;  // blocks of the file all write to, each its own part of every block

// Catch2's macros are for one thread: failures are counted here and asserted at the end.
class Failures {
 public:
  void expect(bool good, const char* what) {
    if (good) return;
    ++count_;
    first_ = what;
  }
  [[nodiscard]] int count() const { return count_; }
  [[nodiscard]] const char* first() const { return first_; }

 private:
  std::atomic<int> count_{0};
  std::atomic<const char*> first_{""};
};

// Makes, writes, reads back, renames and removes files of its own.
void own_files(Group& group, int id, int rounds, Failures& failures) {
  Volume& volume = group.volume();
  std::mt19937_64 random(static_cast<uint64_t>(id));
  for (int round = 0; round < rounds; ++round) {
    const std::string name = "t" + std::to_string(id) + "-" + std::to_string(round);
    auto made = volume.make_node(kRootIno, name, {.mode = S_IFREG | 0644});
    failures.expect(made.ok(), "make");
    if (!made.ok()) return;
    std::string content(1 + random() % 150'000, static_cast<char>('a' + id));
    for (size_t i = 0; i < content.size(); i += 97) content[i] = static_cast<char>(random());
    failures.expect(volume.write(made->ino, 0, as_bytes(content), false).ok(), "write");
    const uint64_t at = random() % content.size();
    const size_t size = std::min<size_t>(5000, content.size() - at);
    content.replace(at, size, size, 'X');
    failures.expect(volume.write(made->ino, at, as_bytes(content).subspan(at, size), true).ok(), "overwrite");
    std::string got(content.size(), '\0');
    auto read = volume.read(made->ino, 0, {reinterpret_cast<std::byte*>(got.data()), got.size()});
    failures.expect(read.ok() && *read == content.size() && got == content, "read back");
    failures.expect(volume.rename(kRootIno, name, kRootIno, name + "-moved", RenameMode::kReplace, 0, 0).ok(), "rename");
    if (round % 3 == 0) {
      failures.expect(volume.unlink(kRootIno, name + "-moved").ok(), "unlink");
      failures.expect(volume.free_inodes({made->ino}).ok(), "free");
    }
  }
}

// Writes its own 512 bytes of every block of the shared file: read-merge-write must lose nobody's.
void shared_file(Volume& volume, Ino ino, int id, int rounds, Failures& failures) {
  const std::string part(512, static_cast<char>('A' + id));
  for (int round = 0; round < rounds; ++round) {
    for (uint64_t block = 0; block < kShared; ++block) {
      const uint64_t at = block * kBlockSize + static_cast<uint64_t>(id) * 512;
      failures.expect(volume.write(ino, at, as_bytes(part), false).ok(), "shared write");
    }
  }
}

// Of a fixed point every entry has its inode; in the live tree a file may go between the listing and the look at it.
void walk(TreeView& view, Failures& failures) {
  const bool fixed = view.point() != kLatest;
  auto entries = view.list(kRootIno, "", 10'000);
  failures.expect(entries.ok(), "list");
  if (!entries.ok()) return;
  for (const DirEntry& entry : *entries) {
    auto attr = view.get_attr(entry.ino);
    failures.expect(attr.ok() || (!fixed && attr.status().code() == Code::kStale), "an entry without its inode");
    if (!attr.ok() || !S_ISREG(attr->mode)) continue;
    std::string content(attr->size, '\0');
    auto read = view.read(entry.ino, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()});
    failures.expect(fixed ? read.ok() && *read == attr->size : read.ok() || read.status().code() == Code::kStale, "reading");
  }
}

}  // namespace

TEST_CASE("threads: nobody's write is lost, the past stays readable, the index is what the log says") {
  Scratch scratch;
  GroupOptions options;
  options.log.segment_bytes = 4 << 20;
  options.log.commit_interval = std::chrono::milliseconds(5);
  options.index_write_buffer_bytes = 1 << 20;
  REQUIRE(Group::init(scratch / "group", {.name = "test"}, options).ok());
  auto group = Group::open(scratch / "group", OpenMode::kPrimary, options).value();
  const Ino shared = group->volume().make_node(kRootIno, "shared", {.mode = S_IFREG | 0644})->ino;
  Failures failures;
  std::atomic<bool> done{false};
  std::vector<std::thread> workers;
  for (int id = 0; id < 4; ++id) {
    workers.emplace_back([&, id] { own_files(*group, id, 25, failures); });
    workers.emplace_back([&, id] { shared_file(group->volume(), shared, id, 6, failures); });
  }
  std::thread observer([&] {
    for (int round = 0; !done; ++round) {
      auto view = group->view(kLatest);
      failures.expect(view.ok(), "view");
      if (view.ok()) walk(**view, failures);
      walk(group->volume(), failures);
      failures.expect(group->create_mark({.name = "m" + std::to_string(round)}).ok(), "mark");
      if (round % 3 == 0) failures.expect(group->checkpoint().ok(), "checkpoint");
    }
  });
  for (std::thread& worker : workers) worker.join();
  done = true;
  observer.join();
  INFO(failures.first());
  REQUIRE(failures.count() == 0);
  std::string content(kShared * kBlockSize, '\0');
  REQUIRE(group->volume().read(shared, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()}).ok());
  for (uint64_t block = 0; block < kShared; ++block) {
    for (int id = 0; id < 4; ++id) {
      REQUIRE(content.substr(block * kBlockSize + static_cast<uint64_t>(id) * 512, 512) ==
              std::string(512, static_cast<char>('A' + id)));
    }
  }
  const uint64_t fingerprint = group->index_fingerprint().value();
  group.reset();
  std::filesystem::remove_all(scratch / "group/index");
  group = Group::open(scratch / "group", OpenMode::kPrimary, options).value();
  CHECK(group->index_fingerprint().value() == fingerprint);
}

TEST_CASE("readers open an index while its owner puts its files together and removes them") {
  Scratch scratch(memory_directory());
  REQUIRE(Group::init(scratch / "group", {.name = "test"}).ok());
  auto group = Group::open(scratch / "group", OpenMode::kPrimary).value();
  std::atomic<bool> done{false};
  std::string failed;
  std::atomic<int> opened{0};
  std::vector<std::thread> readers;
  Mutex mutex;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        auto reader = Group::open(scratch / "group", OpenMode::kRead);
        MutexLock lock(mutex);
        if (!reader.ok()) failed = reader.status().text();
        ++opened;
      }
    });
  }
  for (int round = 0; round < 400 || opened < 20; ++round) {
    const std::string name = "f" + std::to_string(round);
    REQUIRE(group->volume().make_node(kRootIno, name, {.mode = S_IFREG | 0644}).ok());
    REQUIRE(group->checkpoint().ok());
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  INFO(opened << " opened");
  CHECK(failed == "");
}

}  // namespace tidemark::test
