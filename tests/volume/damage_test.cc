// One flipped bit anywhere in a volume's directory: either it is reported, or everything reads exactly as before. Nothing wrong is
// ever returned as data.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>

#include "base/hash.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

using Tree = std::map<std::string, std::string>;  // path → attributes and a sum of the content

// The tree, or the first failure.
Status read_tree(TreeView& view, const Attr& attr, const std::string& path, Tree& tree) {
  std::string content;
  if (S_ISREG(attr.mode)) {
    content.resize(attr.size);
    TM_TRY(view.read(attr.ino, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()}).status());
  }
  if (S_ISLNK(attr.mode)) {
    TM_ASSIGN(content, view.read_link(attr.ino));
  }
  TM_ASSIGN(auto names, view.list_xattr(attr.ino));
  for (const std::string& name : names) {
    TM_ASSIGN(std::string value, view.get_xattr(attr.ino, name));
    content += name + "=" + value;
  }
  tree[path] = std::to_string(attr.mode) + " " + std::to_string(attr.size) + " " + std::to_string(attr.mtime.nanoseconds) +
               " " + std::to_string(hash64(as_bytes(content)));
  if (!S_ISDIR(attr.mode)) return Status();
  TM_ASSIGN(auto entries, view.list(attr.ino, "", 1000));
  for (const DirEntry& entry : entries) {
    TM_ASSIGN(Attr child, view.lookup(attr.ino, entry.name));
    TM_TRY(read_tree(view, child, path + "/" + entry.name, tree));
  }
  return Status();
}

Status read_group(const std::string& directory, Seq point, Tree& tree) {
  TM_ASSIGN(auto group, Group::open(directory, OpenMode::kPrimary));
  TM_ASSIGN(auto view, group->view(point));
  TM_ASSIGN(Attr root, view->get_attr(kRootIno));
  return read_tree(*view, root, "", tree);
}

std::vector<fs::path> files_below(const std::string& directory) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file() && entry.file_size() > 0) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void flip_bit(const fs::path& path, uint64_t byte, unsigned bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(byte));
  const int value = file.get();
  file.seekp(static_cast<std::streamoff>(byte));
  file.put(static_cast<char>(value ^ (1 << bit)));
}

}  // namespace

TEST_CASE("a flipped bit anywhere is reported, or changes nothing") {
  const uint64_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261120;
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  Scratch scratch;
  const std::string original = scratch / "original";
  GroupOptions options;
  options.log.segment_bytes = 256 * 1024;
  options.index_write_buffer_bytes = 64 * 1024;
  Tree expected;
  Seq point;
  {
    REQUIRE(Group::init(original, {.name = "test"}, options).ok());
    auto group = Group::open(original, OpenMode::kPrimary, options).value();
    RandomOps ops(group->volume(), seed);
    for (int i = 0; i < 400; ++i) ops.step();
    REQUIRE(group->sync().ok());
    point = group->newest();
  }
  REQUIRE(read_group(original, point, expected).ok());
  int reported = 0, harmless = 0;
  for (int round = 0; round < 500; ++round) {
    const std::string damaged = scratch / "damaged";
    fs::copy(original, damaged, fs::copy_options::recursive);
    const auto files = files_below(damaged);
    // Every second time in the log, however small its share of the files is.
    fs::path victim;
    do {
      victim = files[random() % files.size()];
    } while (round % 2 == 0 && victim.extension() != ".seg");
    const uint64_t byte = random() % fs::file_size(victim);
    const unsigned bit = static_cast<unsigned>(random() % 8);
    flip_bit(victim, byte, bit);
    INFO("round " << round << ": " << victim.filename() << " byte " << byte << " bit " << bit);
    Tree got;
    const Status read = read_group(damaged, point, got);
    if (read.ok()) {
      REQUIRE((got == expected));
      ++harmless;  // history behind the newest state, an unused part, or an index that was rebuilt
    } else {
      INFO(read.text());
      REQUIRE(!read.text().empty());
      ++reported;
    }
    fs::remove_all(damaged);
  }
  std::cout << reported << " reported, " << harmless << " without effect on this point\n";
  CHECK(reported > 50);
}

}  // namespace tidemark::test
