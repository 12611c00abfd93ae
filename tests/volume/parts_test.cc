// The engine's parts on their own.
#include <catch2/catch.hpp>
#include <random>

#include "volume/group/sealed_json.h"
#include "volume/group/watermarks.h"
#include "volume/history/point.h"
#include "volume/index/hot_cache.h"
#include "volume/tree/chunk_map.h"

namespace tidemark::test {

TEST_CASE("a chunk map equals an array of blocks") {
  std::mt19937 engine(5);
  const auto random = [&] { return static_cast<uint32_t>(engine()); };
  for (int round = 0; round < 200; ++round) {
    ChunkMap map;
    struct Place {
      uint64_t seq = 0;
      uint32_t index = 0;
    };
    std::array<Place, kChunkBlocks> blocks{};
    for (int step = 0; step < 30; ++step) {
      const uint32_t first = random() % kChunkBlocks;
      const uint32_t count = 1 + random() % (kChunkBlocks - first);
      if (random() % 4 == 0) {
        map.erase(first, count);
        for (uint32_t i = 0; i < count; ++i) blocks[first + i] = {};
      } else {
        Extent extent;
        extent.seq = Seq(static_cast<uint64_t>(step) + 1);
        extent.index = static_cast<uint8_t>(random() % 3);
        map.assign(first, count, extent);
        for (uint32_t i = 0; i < count; ++i) blocks[first + i] = {extent.seq.value(), extent.index + i};
      }
      auto decoded = decode_extent_row(encode_extent_keyframe(map));
      REQUIRE(decoded.ok());
      REQUIRE(decoded->runs == map.runs());
      std::array<Place, kChunkBlocks> mapped{};
      for (const ChunkRun& run : map.runs()) {
        for (uint32_t i = 0; i < run.count; ++i) mapped[run.first + i] = {run.extent.seq.value(), run.extent.index + i};
      }
      for (uint32_t i = 0; i < kChunkBlocks; ++i) {
        REQUIRE(mapped[i].seq == blocks[i].seq);
        REQUIRE(mapped[i].index == blocks[i].index);
      }
    }
  }
}

TEST_CASE("points are read as they are written, and nothing else is one") {
  const int64_t now = 1'700'000'000'000'000'000;
  CHECK(parse_point("latest", now)->kind == PointText::Kind::kNewest);
  CHECK(parse_point("seq:42", now)->seq == Seq(42));
  CHECK(parse_point("-10m", now)->time_ns == now - 600'000'000'000);
  CHECK(parse_point("-2d", now)->time_ns == now - 2 * 86400 * int64_t{1'000'000'000});
  CHECK(parse_point("2023-11-14T22:13:20Z", now)->time_ns == now);
  CHECK(parse_point("2023-11-14T23:13:20.5+01:00", now)->time_ns == now + 500'000'000);
  CHECK(parse_point("before upgrade", now)->mark == "before upgrade");
  for (const char* bad : {"", "seq:", "seq:x", "seq:-1", "seq:99999999999999999999999", "a@b", "2023-13-14T22:13:20Z",
                          "2023-04-31T22:13:20Z", "2023-11-14T25:13:20Z", "a/b"}) {
    INFO(bad);
    CHECK(parse_point(bad, now).status().code() == Code::kInvalid);
  }
  CHECK(format_time(now) == "2023-11-14T22:13:20Z");
  CHECK(format_time(now + 1) == "2023-11-14T22:13:20.000000001Z");
}

TEST_CASE("a reader's find never overwrites what the writer put") {
  HotCache<int, int, std::hash<int>> cache(32);
  HotCache<int, int, std::hash<int>>::Ticket ticket;
  REQUIRE_FALSE(cache.get(1, ticket));
  cache.put(1, 20);
  cache.put_found(1, 10, ticket);
  CHECK(cache.get(1, ticket) == 20);
  for (int i = 2; i < 1000; ++i) cache.put(i, i);
  CHECK(cache.get(1, ticket) == 20);  // not in the index yet: kept
  cache.all_written();
  int kept = 0;
  for (int i = 1; i < 1000; ++i) kept += cache.get(i, ticket).has_value();
  CHECK(kept <= 64);
}

TEST_CASE("waiting for sites: known, in time, late") {
  Watermarks marks;
  CHECK(marks.wait_durable("local", Seq(5), std::chrono::milliseconds(1)).ok());
  // Nobody is there who could confirm it: that is no confirmation by all.
  CHECK(marks.wait_durable("all", Seq(5), std::chrono::milliseconds(1)).code() == Code::kNotFound);
  CHECK(!marks.knows("all"));
  CHECK(marks.wait_durable("B", Seq(5), std::chrono::milliseconds(1)).code() == Code::kNotFound);
  SiteProgress progress;
  progress.durable = Seq(4);
  marks.update("B", progress);
  CHECK(marks.wait_durable("B", Seq(5), std::chrono::milliseconds(5)).code() == Code::kTimeout);
  progress.durable = Seq(5);
  marks.update("B", progress);
  CHECK(marks.wait_durable("all", Seq(5), std::chrono::milliseconds(1)).ok());
}

TEST_CASE("every flipped bit of a sealed file is noticed") {
  const std::string sealed = seal_json({{"format", 1}, {"name", "shop"}, {"list", {1, 2, "x"}}});
  const auto opened = open_sealed_json(sealed, "f.json");
  REQUIRE(opened.ok());
  CHECK((*opened)["name"] == "shop");
  CHECK(!opened->contains("check"));
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string damaged = sealed;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    INFO(damaged);
    REQUIRE(open_sealed_json(damaged, "f.json").status().code() == Code::kCorrupt);
  }
  CHECK(!open_sealed_json(std::string(100'000, '['), "f.json").ok());
  CHECK(!open_sealed_json("{}", "f.json").ok());
  CHECK(!open_sealed_json("", "f.json").ok());
}

}  // namespace tidemark::test
