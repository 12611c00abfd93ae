// Blocks asked for in advance count as taken until they are given up, whatever is written, cut, punched or shared in between; in
// every form in which a tree is kept.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include <set>

#include "tests/support/rounds.h"
#include "tests/support/scratch.h"
#include "volume/group/group.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

GroupOptions small() {
  GroupOptions options;
  options.log.segment_bytes = 256 * 1024;
  options.log.reserve_bytes = 0;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

std::unique_ptr<Group> open(const std::string& directory) {
  auto group = Group::open(directory, OpenMode::kPrimary, small());
  INFO(group.status().text());
  REQUIRE(group.ok());
  return std::move(group).value();
}

// A file as ext4 has it: which blocks hold data, and which were asked for.
struct Blocks {
  std::set<uint64_t> data;
  std::set<uint64_t> asked;
  uint64_t size = 0;

  [[nodiscard]] uint64_t unwritten() const {
    return static_cast<uint64_t>(
        std::count_if(asked.begin(), asked.end(), [&](uint64_t block) { return !data.contains(block); }));
  }
  void write(uint64_t at, uint64_t bytes) {
    for (uint64_t block = at / kBlockSize; block * kBlockSize < at + bytes; ++block) data.insert(block);
    size = std::max(size, at + bytes);
  }
  void give_up(uint64_t first, uint64_t end) {
    for (auto* blocks : {&data, &asked}) blocks->erase(blocks->lower_bound(first), blocks->lower_bound(end));
  }
  // Nothing is known any more of what was asked for where all of it holds data.
  void settle() {
    if (unwritten() == 0) asked.clear();
  }
  [[nodiscard]] size_t ranges() const {
    size_t count = 0;
    for (const uint64_t block : asked) count += block == 0 || !asked.contains(block - 1);
    return count;
  }
};

class OneFile {
 public:
  OneFile()
      : group_([this] {
          REQUIRE(Group::init(directory(), {.name = "test"}, small()).ok());
          return open(directory());
        }()) {
    ino_ = volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0644})->ino;
  }
  [[nodiscard]] std::string directory() const { return scratch_ / "group"; }
  Volume& volume() { return group_->volume(); }
  [[nodiscard]] Ino ino() const { return ino_; }
  Attr attr() { return volume().get_attr(ino_).value(); }
  void allocate(uint64_t first, uint64_t count) {
    REQUIRE(volume().allocate(ino_, first * kBlockSize, count * kBlockSize, true).ok());
  }
  void write(uint64_t at, uint64_t bytes) {
    const std::string content(bytes, 'x');
    REQUIRE(volume().write(ino_, at, as_bytes(content), false).ok());
  }
  void resize(uint64_t size) {
    SetAttr change;
    change.mask = kSetSize;
    change.size = size;
    REQUIRE(volume().set_attr(ino_, change).ok());
  }
  Group& group() { return *group_; }
  void reopen(bool without_index) {
    group_.reset();
    if (without_index) fs::remove_all(directory() + "/index");
    group_ = open(directory());
  }

 private:
  Scratch scratch_;
  std::unique_ptr<Group> group_;
  Ino ino_;
};

void step(OneFile& file, Blocks& model, std::mt19937_64& random) {
  const auto below = [&](uint64_t bound) { return random() % bound; };
  const uint64_t at = below(400'000), bytes = 1 + below(60'000);
  const uint64_t first = at / kBlockSize, end = (at + bytes + kBlockSize - 1) / kBlockSize;
  switch (below(6)) {
    case 0:
    case 1:
      file.write(at, bytes);
      model.write(at, bytes);
      break;
    case 2: {
      const bool keep_size = below(2) == 0;
      REQUIRE(file.volume().allocate(file.ino(), at, bytes, keep_size).ok());
      for (uint64_t block = first; block < end; ++block) model.asked.insert(block);
      if (!keep_size) model.size = std::max(model.size, at + bytes);
      break;
    }
    case 3: {
      const uint64_t size = below(3) == 0 ? model.size : at;
      file.resize(size);
      if (size <= model.size) model.give_up((size + kBlockSize - 1) / kBlockSize, UINT64_MAX);
      model.size = size;
      break;
    }
    case 4: {
      REQUIRE(file.volume().punch(file.ino(), at, bytes).ok());
      const uint64_t stop = std::min(at + bytes, model.size);
      const uint64_t to = stop == model.size ? (stop + kBlockSize - 1) / kBlockSize : stop / kBlockSize;
      const uint64_t from = (at + kBlockSize - 1) / kBlockSize;
      if (at < stop && from < to) model.give_up(from, to);
      break;
    }
    default: {  // shared from a part that does not overlap
      const uint64_t count = 1 + below(16), source = below(60), target = source + count + below(20);
      const uint64_t size = count * kBlockSize;
      if (model.size < (source + count) * kBlockSize) return;
      REQUIRE(file.volume().copy_range(file.ino(), source * kBlockSize, file.ino(), target * kBlockSize, size).value() ==
              size);
      for (uint64_t i = 0; i < count; ++i) {
        if (model.data.contains(source + i))
          model.data.insert(target + i);
        else
          model.data.erase(target + i);
      }
      model.size = std::max(model.size, (target + count) * kBlockSize);
    }
  }
}

}  // namespace

TEST_CASE("preallocation: what counts as taken is what an array of blocks says") {
  run_rounds("preallocation", 20, [](uint64_t seed) {
    std::mt19937_64 random(seed);
    OneFile file;
    Blocks model;
    for (int i = 0; i < 150; ++i) {
      step(file, model, random);
      model.settle();
      const Attr attr = file.attr();
      INFO("step " << i);
      REQUIRE(attr.size == model.size);
      REQUIRE(attr.blocks == model.data.size());
      REQUIRE(model.ranges() <= Preallocation::kRangesMax);  // else the test asks for more than is remembered
      REQUIRE(attr.preallocation.unwritten() == model.unwritten());
    }
    const Attr before = file.attr();
    file.reopen(true);
    REQUIRE(file.attr() == before);
    REQUIRE(file.group().prune({.to = file.group().newest()}).ok());
    REQUIRE(file.attr() == before);
    file.reopen(true);
    REQUIRE(file.attr() == before);
  });
}

TEST_CASE("preallocation: a range of any size costs no more than a small one, and goes with the file's end") {
  OneFile file;
  file.allocate(0, kFileSizeMax / kBlockSize);
  CHECK(file.attr().blocks_taken() == kFileSizeMax / kBlockSize);
  CHECK(file.attr().size == 0);
  file.write(1 << 20, 100);
  CHECK(file.attr().blocks_taken() == kFileSizeMax / kBlockSize);
  CHECK(file.attr().blocks == 1);
  file.resize(uint64_t{4} << 30);
  CHECK(file.attr().blocks_taken() == kFileSizeMax / kBlockSize);  // growing gives up nothing
  file.resize(uint64_t{2} << 30);
  CHECK(file.attr().blocks_taken() == (uint64_t{2} << 30) / kBlockSize);
  file.allocate((uint64_t{2} << 30) / kBlockSize, 100);
  file.resize(uint64_t{2} << 30);  // the size it has: what lies behind goes
  CHECK(file.attr().blocks_taken() == (uint64_t{2} << 30) / kBlockSize);
  file.resize(0);
  CHECK(file.attr().blocks_taken() == 0);
  CHECK(file.attr().preallocation.empty());
}

TEST_CASE("preallocation: of more ranges than are remembered the smallest are forgotten") {
  OneFile file;
  uint64_t all = 0;
  for (uint64_t i = 0; i < Preallocation::kRangesMax; ++i) {
    file.allocate(i * 100, 10 + i);
    all += 10 + i;
  }
  CHECK(file.attr().blocks_taken() == all);
  file.write(3 * kBlockSize, kBlockSize);  // in the smallest
  file.allocate(5000, 50);
  CHECK(file.attr().blocks_taken() == all - 10 + 1 + 50);
  CHECK(file.attr().preallocation.ranges().size() == Preallocation::kRangesMax);
  file.allocate(6000, 3);
  CHECK(file.attr().blocks_taken() == all - 10 + 1 + 50);
  // A hole in the middle of one makes two of it; the next smallest, of 11, has to go.
  file.resize(uint64_t{7000} * kBlockSize);
  REQUIRE(file.volume().punch(file.ino(), uint64_t{5020} * kBlockSize, 5 * kBlockSize).ok());
  CHECK(file.attr().blocks_taken() == all - 10 + 1 + 45 - 11);
}

TEST_CASE("preallocation: a row that says what cannot be is damaged") {
  const auto row = [](uint64_t unwritten, const std::vector<BlockRange>& ranges) {
    std::string value = encode_inode_row(Attr());
    Encoder out(value);
    out.put(unwritten);
    for (const BlockRange& range : ranges) out.put(range.first).put(range.count);
    return value;
  };
  const auto taken = [&](const std::string& value) { return decode_inode_row(Ino(2), Seq(9), value); };
  const auto sound = taken(row(7, {{0, 5}, {6, 5}}));
  REQUIRE(sound.ok());
  CHECK(sound->preallocation.unwritten() == 7);
  CHECK(encode_inode_row(*sound) == row(7, {{0, 5}, {6, 5}}));
  CHECK(taken(encode_inode_row(Attr())).ok());
  CHECK_FALSE(taken(row(0, {{0, 5}})).ok());
  CHECK_FALSE(taken(row(1, {})).ok());
  CHECK_FALSE(taken(row(0, {})).ok());
  CHECK_FALSE(taken(row(11, {{0, 5}, {6, 5}})).ok());
  CHECK_FALSE(taken(row(7, {{0, 5}, {5, 5}})).ok());  // they touch
  CHECK_FALSE(taken(row(7, {{6, 5}, {0, 5}})).ok());
  CHECK_FALSE(taken(row(1, {{0, 0}, {6, 5}})).ok());
  CHECK_FALSE(taken(row(1, {{UINT64_MAX - 1, 5}})).ok());
  CHECK_FALSE(taken(row(1, std::vector<BlockRange>{{0, UINT64_MAX}, {UINT64_MAX, 1}})).ok());
  CHECK_FALSE(taken(row(7, {{0, 9}}) + "x").ok());
  std::vector<BlockRange> many;
  for (uint64_t i = 0; i <= Preallocation::kRangesMax; ++i) many.push_back({i * 2, 1});
  CHECK_FALSE(taken(row(5, many)).ok());
}

}  // namespace tidemark::test
