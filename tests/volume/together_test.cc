// Changes that are one for the user are one commit: whatever mark is made meanwhile shows all of them or none.
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "tests/support/scratch.h"
#include "volume/group/group.h"

namespace tidemark::test {
namespace {

constexpr std::string_view kName = "user.mode";

SetAttr mode_change(uint32_t mode) {
  SetAttr change;
  change.mask = kSetMode;
  change.mode = mode;
  return change;
}

struct Open {
  Open() {
    REQUIRE(Group::init(scratch / "volume", {.name = "test"}).ok());
    auto opened = Group::open(scratch / "volume", OpenMode::kPrimary);
    REQUIRE(opened.ok());
    group = std::move(*opened);
    auto made = group->volume().make_node(kRootIno, "f", {.mode = S_IFREG | 0600});
    REQUIRE(made.ok());
    ino = made->ino;
  }
  Scratch scratch{memory_directory()};
  std::unique_ptr<Group> group;
  Ino ino;
};

// Changes the file with `change` until `marks` marks were made; how many of them show a state that `whole` does not accept. Ends early
// once `enough` were found, and after a minute.
size_t halves(Open& open, size_t marks, size_t enough, const std::function<Status(int round)>& change,
              const std::function<bool(TreeView&)>& whole) {
  std::atomic<bool> stop{false};
  std::atomic<bool> failed{false};
  std::thread changer([&] {
    for (int round = 0; !stop; ++round) {
      if (!change(round).ok()) failed = true;
    }
  });
  size_t found = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  static int number = 0;
  for (size_t i = 0; i < marks && found < enough && std::chrono::steady_clock::now() < deadline; ++i) {
    auto mark = open.group->create_mark({"m" + std::to_string(number++), "", "test", 0, 0});
    if (!mark.ok()) continue;
    auto view = open.group->view(mark->seq);
    if (!view.ok() || !whole(**view)) ++found;
  }
  stop = true;
  changer.join();
  CHECK_FALSE(failed);
  return found;
}

}  // namespace

TEST_CASE("A mode and an extended attribute change together") {
  Open open;
  Volume& volume = open.group->volume();
  const auto same = [&](TreeView& view) {
    auto attr = view.get_attr(open.ino);
    auto value = view.get_xattr(open.ino, kName);
    return attr.ok() && value.ok() && *value == std::to_string(attr->mode & 0777);
  };
  const auto mode = [](int round) { return 0600u + static_cast<uint32_t>(round % 64); };
  const auto together = [&](int round) {
    return volume.set_attr_with(open.ino, mode_change(mode(round)), {kName, std::to_string(mode(round))}).status();
  };
  REQUIRE(together(0).ok());
  CHECK(halves(open, 300, 1, together, same) == 0);
  const auto apart = [&](int round) {  // control: that it would be seen
    TM_TRY(volume.set_attr(open.ino, mode_change(mode(round))).status());
    return volume.set_xattr(open.ino, kName, std::to_string(mode(round)), Volume::XattrMode::kEither);
  };
  CHECK(halves(open, 100'000, 1, apart, same) == 1);
}

TEST_CASE("An attribute goes together with a change of mode, and need not be there") {
  Open open;
  Volume& volume = open.group->volume();
  REQUIRE(volume.set_attr_with(open.ino, mode_change(0640), {kName, "x"}).ok());
  auto attr = volume.set_attr_with(open.ino, mode_change(0644), {kName, std::nullopt});
  REQUIRE(attr.ok());
  CHECK((attr->mode & 07777) == 0644);
  CHECK(attr->xattr_count == 0);
  CHECK(volume.set_attr_with(open.ino, {}, {kName, std::nullopt}).ok());
  CHECK(volume.set_attr_with(open.ino, mode_change(0600), {"", std::nullopt}).status().code() == Code::kRange);
  CHECK((volume.get_attr(open.ino)->mode & 07777) == 0644);
}

TEST_CASE("A zeroed range is zeros and taken at once") {
  Open open;
  Volume& volume = open.group->volume();
  const std::string content(10 * kBlockSize, 'c');
  // Cuts into the first and the last block, so that three kinds of records are needed.
  const uint64_t at = kBlockSize / 2, size = 6 * kBlockSize;
  const auto whole = [&](TreeView& view) {
    std::string got(content.size(), '\0');
    auto read = view.read(open.ino, 0, {reinterpret_cast<std::byte*>(got.data()), got.size()});
    auto attr = view.get_attr(open.ino);
    if (!read.ok() || !attr.ok() || attr->blocks_taken() != 10) return false;
    return got == content || got == std::string(content).replace(at, size, size, '\0');
  };
  const auto zero = [&](int) {
    TM_TRY(volume.write(open.ino, 0, as_bytes(content), false).status());
    return volume.zero(open.ino, at, size, true);
  };
  REQUIRE(zero(0).ok());
  CHECK(halves(open, 200, 1, zero, whole) == 0);
  const auto apart = [&](int) {
    TM_TRY(volume.write(open.ino, 0, as_bytes(content), false).status());
    TM_TRY(volume.punch(open.ino, at, size));
    return volume.allocate(open.ino, at, size, true);
  };
  CHECK(halves(open, 100'000, 1, apart, whole) == 1);
}

}  // namespace tidemark::test
