// verify --against --deep: two copies compared block by block, also while they are in use.
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/cli/program.h"
#include "volume/index/index.h"
#include "volume/tree/chunk_map.h"

namespace tidemark::cli {
namespace {

namespace fs = std::filesystem;

std::string filler(size_t size, unsigned seed) {
  std::string content(size, '\0');
  for (char& byte : content) byte = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
  return content;
}

struct Site {
  explicit Site(const std::string& directory) {
    auto started = Child::start({program(), "serve", "--dir", directory, "--listen", "tcp://127.0.0.1:*", "--json"});
    REQUIRE(started.ok());
    child = std::move(*started);
    endpoint = Json::parse(child->read_line(std::chrono::seconds(20)).value())["endpoint"].get<std::string>();
  }
  std::unique_ptr<Child> child;
  std::string endpoint;
};

void overwrite(const std::string& path, uint64_t at, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at)).write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
  REQUIRE(file.good());
}

// A tree with a bit of everything.
void fill(const std::string& mountpoint) {
  fs::create_directories(mountpoint + "/a/b");
  write_file(mountpoint + "/a/big", filler(9 << 20, 1));
  write_file(mountpoint + "/a/b/small", "twelve bytes");
  write_file(mountpoint + "/a/tail", filler(10'000, 2));
  fs::create_hard_link(mountpoint + "/a/tail", mountpoint + "/a/again");
  fs::create_symlink("big", mountpoint + "/a/link");
  REQUIRE(::setxattr((mountpoint + "/a/b/small").c_str(), "user.note", "one", 3, 0) == 0);
  std::ofstream(mountpoint + "/sparse") << "x";
  REQUIRE(::truncate((mountpoint + "/sparse").c_str(), off_t{1} << 40) == 0);
  overwrite(mountpoint + "/sparse", uint64_t{1} << 39, "y");
}

const Json* difference(const Json& report, const std::string& path, const std::string& what) {
  for (const Json& each : report["deep"]["differences"]) {
    if (each["path"] == path && each["what"].get<std::string>().find(what) != std::string::npos) return &each;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("verify --deep: a site has the same blocks, while the volume is mounted and written to") {
  if (!can_mount()) return;
  Scratch work;
  Site site(work / "site");
  const std::string volume = work / "vol";
  const std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume, "--name", "shop"});
  fs::create_directory(mountpoint);
  tidemark_ok({"mount", volume, mountpoint});
  fill(mountpoint);
  tidemark_ok({"pair", "create", volume, "away", site.endpoint});
  tidemark_ok({"mark", "create", mountpoint, "filled", "--wait", "away"});
  CHECK(tidemark_run({"verify", volume, "--deep"}).exit_code == 2);
  const Json still = tidemark_json({"verify", volume, "--against", site.endpoint + "/shop", "--deep"});
  CHECK(still["relation"] == "equal");
  CHECK(still["deep"]["entries"] == 8);
  CHECK(still["deep"]["bytes"] == (9 << 20) + 4096 + 3 * 4096 + 2 * 4096);
  CHECK(still["deep"]["differences"].empty());

  std::atomic<bool> stop{false};
  std::atomic<int> written{0};
  std::thread writer([&] {
    for (unsigned i = 0; !stop; ++i) {
      overwrite(mountpoint + "/a/big", (i * 7919u) % (9u << 20), filler(5000, i));
      write_file(mountpoint + "/new" + std::to_string(i % 20), filler(3000, i));
      if (i % 3 == 0) fs::remove(mountpoint + "/new" + std::to_string(i % 20));
      ++written;
    }
  });
  for (int i = 0; i < 5; ++i) {
    const int before = written;
    for (const auto& [ours, theirs] : {std::pair(volume, site.endpoint + "/shop"),
                                       std::pair(site.endpoint + "/shop", volume), std::pair(volume, work / "site/shop")}) {
      const Json busy = tidemark_json({"verify", ours, "--against", theirs, "--deep"});
      CHECK(busy["relation"] != "diverged");
      CHECK(busy["deep"]["differences"].empty());
      CHECK(busy["deep"]["bytes"] > 9 << 20);
    }
    CHECK(written > before);
  }
  stop = true;
  writer.join();
  // A point of the past, and one that only one of them has.
  CHECK(tidemark_json({"verify", volume + "@filled", "--against", site.endpoint + "/shop", "--deep"})["deep"]["point"] ==
        still["deep"]["point"]);
  tidemark_ok({"umount", mountpoint});
}

TEST_CASE("verify --deep: what another history made of a copy is listed by file and byte range") {
  if (!can_mount()) return;
  Scratch work;
  const std::string volume = work / "vol";
  const std::string copy = work / "copy";
  const std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume});
  fs::create_directory(mountpoint);
  tidemark_ok({"mount", volume, mountpoint});
  fill(mountpoint);
  tidemark_ok({"umount", mountpoint});
  fs::copy(volume, copy, fs::copy_options::recursive);
  CHECK(tidemark_json({"verify", volume, "--against", copy, "--deep"})["relation"] == "equal");

  const auto change = [&](const std::string& where, unsigned seed) {
    tidemark_ok({"mount", where, mountpoint});
    overwrite(mountpoint + "/a/big", 5u << 20, filler(3 * 4096, seed));  // three blocks of 2,304
    overwrite(mountpoint + "/a/big", (9u << 20) - 10, filler(10, seed));
    overwrite(mountpoint + "/sparse", 1u << 30, std::string(1, static_cast<char>(seed)));
    overwrite(mountpoint + "/a/again", 9'999, std::string(1, static_cast<char>(seed)));
    REQUIRE(::setxattr((mountpoint + "/a/b/small").c_str(), "user.note", seed == 1 ? "two" : "six", 3, 0) == 0);
    write_file(mountpoint + "/a/b/only" + std::to_string(seed), "here");
    REQUIRE(::chmod((mountpoint + "/a/tail").c_str(), seed == 1 ? 0600 : 0640) == 0);
    for (int i = 0; i < 10; ++i) write_file(mountpoint + "/same", "the same at both");  // and some records more
    fs::remove(mountpoint + "/same");
    tidemark_ok({"umount", mountpoint});
  };
  change(volume, 1);
  change(copy, 2);
  CHECK(tidemark_json({"verify", volume, "--against", copy}, 1)["relation"] == "diverged");
  const Json report = tidemark_json({"verify", volume, "--against", copy, "--deep"}, 13);
  CHECK(report["relation"] == "diverged");
  const Json* middle = difference(report, "a/big", "content");
  REQUIRE(middle != nullptr);
  CHECK((*middle)["byte"] == 5 << 20);
  CHECK((*middle)["bytes"] == 3 * 4096);
  std::vector<uint64_t> at;
  for (const Json& each : report["deep"]["differences"]) {
    if (each["path"] == "a/big" && each["what"] == "content") at.push_back(each["byte"]);
  }
  CHECK(at == std::vector<uint64_t>{5u << 20, (9u << 20) - 4096});
  const Json* hole = difference(report, "sparse", "content");
  REQUIRE(hole != nullptr);
  CHECK((*hole)["byte"] == 1u << 30);
  CHECK((*hole)["bytes"] == 4096);
  CHECK(difference(report, "a/b/only1", "only here") != nullptr);
  CHECK(difference(report, "a/b/only2", "only there") != nullptr);
  CHECK(difference(report, "a/b/small", "extended attribute user.note") != nullptr);
  CHECK(difference(report, "a/tail", "mode") != nullptr);
  CHECK(difference(report, "a/link", "") == nullptr);
  const Ended text = tidemark_run({"verify", volume, "--against", copy, "--deep"});
  CHECK(text.out.find("different: a/big: content, bytes 5242880 to 5255168") != std::string::npos);
  CHECK(text.out.find("DIFFERENT at seq") != std::string::npos);
}

TEST_CASE("verify --deep: equal histories and a block that cannot be read at one of them") {
  if (!can_mount()) return;
  Scratch work;
  Site site(work / "site");
  const std::string volume = work / "vol";
  const std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume, "--name", "shop"});
  fs::create_directory(mountpoint);
  tidemark_ok({"mount", volume, mountpoint});
  fill(mountpoint);
  tidemark_ok({"pair", "create", volume, "away", site.endpoint});
  tidemark_ok({"mark", "create", mountpoint, "filled", "--wait", "away"});
  tidemark_ok({"umount", mountpoint});  // else the site has its copy repaired by its source
  fs::path segment;
  for (const auto& entry : fs::directory_iterator(work / "site/shop/log")) {
    if (entry.path().extension() == ".seg") segment = entry.path();
  }
  const std::string content = read_whole(segment);
  const size_t found = content.find(filler(9 << 20, 1).substr(6u << 20, 64));
  REQUIRE(found != std::string::npos);
  overwrite(segment, found, std::string(1, static_cast<char>(content[found] ^ 1)));
  CHECK(tidemark_json({"verify", volume, "--against", site.endpoint + "/shop"})["relation"] == "equal");
  const Json report = tidemark_json({"verify", volume, "--against", site.endpoint + "/shop", "--deep"}, 13);
  REQUIRE(report["deep"]["differences"].size() == 1);
  const Json one = report["deep"]["differences"][0];
  CHECK(one["path"] == "a/big");
  CHECK(one["byte"] == 6 << 20);
  CHECK(one["bytes"] == 4096);
  CHECK(one["what"].get<std::string>().find("cannot be read there") == 0);
  const Json turned = tidemark_json({"verify", site.endpoint + "/shop", "--against", volume, "--deep"}, 13);
  CHECK(turned["deep"]["differences"][0]["what"].get<std::string>().find("cannot be read here") == 0);
  // With its source it is whole again.
  tidemark_ok({"mount", volume, mountpoint});
  tidemark_ok({"mark", "create", mountpoint, "back", "--wait", "away"});
  // (What could not be repaired is not tried again for some seconds.)
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  int differs = 13;
  while (differs == 13 && std::chrono::steady_clock::now() < deadline) {
    differs = tidemark_run({"verify", volume, "--against", site.endpoint + "/shop", "--deep"}).exit_code;
  }
  CHECK(differs == 0);
  tidemark_ok({"umount", mountpoint});
}

TEST_CASE("verify --deep: equal histories and sound checksums, but an index that shows other blocks of them") {
  if (!can_mount()) return;
  Scratch work;
  auto site = std::make_unique<Site>(work / "site");
  const std::string volume = work / "vol";
  const std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume, "--name", "shop"});
  fs::create_directory(mountpoint);
  tidemark_ok({"mount", volume, mountpoint});
  fill(mountpoint);
  struct stat file {};
  REQUIRE(::stat((mountpoint + "/a/big").c_str(), &file) == 0);
  tidemark_ok({"pair", "create", volume, "away", site->endpoint});
  tidemark_ok({"mark", "create", mountpoint, "filled", "--wait", "away"});
  tidemark_ok({"umount", mountpoint});
  site.reset();
  {
    auto index = Index::open(work / "site/shop/index", {.before_flush = [] { return Status(); }});
    REQUIRE(index.ok());
    const std::string subject = extent_subject(Ino(file.st_ino), 20);
    auto row = (*index)->newest(subject, kLatest);
    REQUIRE((row.ok() && row->has_value()));
    ExtentRow shown = decode_extent_row((*row)->value).value();
    REQUIRE((!shown.keyframe && shown.runs.size() == 1 && shown.runs[0].count > 1));
    shown.runs[0].extent.index += 1;
    shown.runs[0].count -= 1;
    IndexBatch batch;
    batch.put(as_of_key(subject, (*row)->seq), encode_extent_delta(shown.runs[0], false));
    REQUIRE((*index)->write(batch).ok());
    REQUIRE((*index)->flush().ok());
  }
  site = std::make_unique<Site>(work / "site");
  CHECK(tidemark_json({"verify", site->endpoint + "/shop"})["sound"] == true);
  CHECK(tidemark_json({"verify", volume, "--against", site->endpoint + "/shop"})["relation"] == "equal");
  const Json report = tidemark_json({"verify", volume, "--against", site->endpoint + "/shop", "--deep"}, 13);
  CHECK(report["relation"] == "equal");
  REQUIRE(report["deep"]["differences"].size() == 1);
  const Json one = report["deep"]["differences"][0];
  CHECK(one["path"] == "a/big");
  CHECK(one["what"] == "content");
  CHECK(one["byte"].get<uint64_t>() / kChunkBytes == 20);
  CHECK(one["bytes"] == 16 * 4096);
}

}  // namespace tidemark::cli
