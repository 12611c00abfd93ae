// Commands on volumes that nobody has mounted.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/cli/program.h"

namespace tidemark::cli {
namespace {

// A volume with a few files in it, imported from a directory.
struct Fixture {
  Fixture() {
    write_file(work / "from/a.txt", "first\n");
    write_file(work / "from/dir/b.bin", std::string(300'000, 'b'));
    std::filesystem::create_symlink("a.txt", work / "from/link");
    std::filesystem::create_hard_link(work / "from/a.txt", work / "from/dir/hard");
    imported = tidemark_json({"init", volume, "--from", work / "from"});
  }
  Scratch work;
  std::string volume = work / "vol";
  Json imported;
};

}  // namespace

TEST_CASE("init makes a volume, and only where there is room for one") {
  Scratch work;
  Json made = tidemark_json({"init", work / "my vol"});
  CHECK(made["name"] == "my-vol");
  CHECK(tidemark_run({"init", work / "my vol"}).exit_code == 1);
  CHECK(tidemark_run({"init", work / "other", "--name", "not a name"}).exit_code == 2);
  write_file(work / "full/file", "x");
  CHECK(tidemark_run({"init", work / "full"}).exit_code == 1);
  CHECK(read_whole(work / "full/file") == "x");
}

TEST_CASE("init --from takes a directory with everything in it") {
  Fixture fixture;
  CHECK(fixture.imported["imported"]["files"] == 2);
  CHECK(fixture.imported["imported"]["symlinks"] == 1);
  CHECK(fixture.imported["imported"]["hard_links"] == 1);
  CHECK(tidemark_run({"init", fixture.work / "from/inside", "--from", fixture.work / "from"}).exit_code == 2);
  CHECK(tidemark_run({"init", fixture.work / "v2", "--from", fixture.work / "nothing"}).exit_code == 10);
}

TEST_CASE("marks are made, listed, shown and held") {
  Fixture fixture;
  Json made = tidemark_json({"mark", "create", fixture.volume, "good", "--note", "a remark"});
  CHECK(made["name"] == "good");
  CHECK(made["confirmed"] == true);
  CHECK(tidemark_run({"mark", "create", fixture.volume, "good"}).exit_code == 1);
  CHECK(tidemark_run({"mark", "create", fixture.volume, "a@b"}).exit_code == 2);
  CHECK(tidemark_run({"mark", "create", fixture.volume, ""}).exit_code == 2);
  CHECK(tidemark_run({"mark", "create", fixture.volume, "later", "--wait", "all"}).exit_code == 10);  // no pair
  tidemark_ok({"mark", "hold", fixture.volume, "good"});
  Json list = tidemark_json({"mark", "list", fixture.volume});
  REQUIRE(list["marks"].size() == 1);
  CHECK(list["marks"][0]["seq"] == made["seq"]);
  CHECK(list["marks"][0]["held"] == true);
  CHECK(list["marks"][0]["note"] == "a remark");
  tidemark_ok({"mark", "release", fixture.volume, "good"});
  CHECK(tidemark_json({"mark", "show", fixture.volume, "good"})["held"] == false);
  Ended missing = tidemark_run({"mark", "show", fixture.volume, "bad"});
  CHECK(missing.exit_code == 10);
}

TEST_CASE("flags may stand anywhere") {
  Fixture fixture;
  tidemark_ok({"mark", "create", "--note", "n", fixture.volume, "--wait", "local", "good"});
  tidemark_ok({"restore", "--target", fixture.work / "r1", fixture.volume, "--at", "good"});
  tidemark_ok(
      {"restore", fixture.volume, "--at", "good", "--jobs", "2", "--target", fixture.work / "r2", "--include", "dir"});
  CHECK(std::filesystem::exists(fixture.work / "r1/a.txt"));
  CHECK(std::filesystem::exists(fixture.work / "r2/dir/b.bin"));
  CHECK(!std::filesystem::exists(fixture.work / "r2/a.txt"));
}

TEST_CASE("restore gives back what was there, and refuses what it should") {
  Fixture fixture;
  Json report = tidemark_json({"restore", fixture.volume, "--target", fixture.work / "back"});
  CHECK(report["files"] == 2);
  CHECK(read_whole(fixture.work / "back/dir/b.bin") == std::string(300'000, 'b'));
  CHECK(std::filesystem::read_symlink(fixture.work / "back/link") == "a.txt");
  CHECK(std::filesystem::hard_link_count(fixture.work / "back/a.txt") == 2);
  CHECK(tidemark_run({"restore", fixture.volume, "--target", fixture.work / "back"}).exit_code == 1);
  tidemark_ok({"restore", fixture.volume, "--target", fixture.work / "back", "--force"});
  CHECK(tidemark_run({"restore", fixture.volume}).exit_code == 2);
  CHECK(tidemark_run({"restore", fixture.volume + "@nowhen", "--target", fixture.work / "x"}).exit_code == 10);
  CHECK(tidemark_run({"restore", fixture.volume, "--target", fixture.work / "x", "--include", "nothing"}).exit_code == 10);
  CHECK(!std::filesystem::exists(fixture.work / "x/a.txt"));
}

TEST_CASE("a time in the future is no point, and a list of records ends where they do") {
  Fixture fixture;
  const std::string later = "2199-01-01T00:00:00Z";
  const Ended refused = tidemark_run({"restore", fixture.volume + "@" + later, "--target", fixture.work / "back"});
  CHECK(refused.exit_code == 10);
  CHECK(refused.err.find("in the future") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(fixture.work / "back"));
  CHECK(tidemark_run({"log", fixture.volume + "@" + later}).exit_code == 10);
  CHECK(tidemark_run({"log", fixture.volume, "--from", later}).exit_code == 10);
  CHECK(tidemark_run({"log", fixture.volume, "--to", "-1h"}).exit_code == 10);
  const Ended whole = tidemark_run({"log", fixture.volume});
  CHECK(whole.err.empty());
  const Ended hour = tidemark_run({"log", fixture.volume, "--from", "-1h", "--to", later});
  INFO(hour.err);
  CHECK(hour.exit_code == 0);
  CHECK(hour.out == whole.out);
  CHECK(hour.err.find("--from -1h is before the oldest record here: the list begins with seq 1 of 20") != std::string::npos);
  CHECK(hour.err.find("--to " + later + " is after the newest record here: the list ends with seq ") != std::string::npos);
  CHECK(tidemark_ok({"log", fixture.volume, "--from", "seq:0", "--to", "seq:999999"}) == whole.out);
}

TEST_CASE("a dry run writes nothing") {
  Fixture fixture;
  Json plan = tidemark_json({"restore", fixture.volume, "--target", fixture.work / "back", "-n"});
  CHECK(plan["entries"].get<size_t>() == plan["plan"].size());
  CHECK(plan["files"] == 2);
  CHECK(!std::filesystem::exists(fixture.work / "back"));
  CHECK(tidemark_ok({"restore", fixture.volume, "--dry-run"}).find("dir/b.bin") != std::string::npos);
}

TEST_CASE("restore to a volume gives a volume") {
  Fixture fixture;
  tidemark_ok({"restore", fixture.volume, "--as", "volume", "--target", fixture.work / "vol2", "--name", "second"});
  CHECK(tidemark_json({"status", fixture.work / "vol2"})["volumes"][0]["name"] == "second");
  tidemark_ok({"restore", fixture.work / "vol2", "--target", fixture.work / "back"});
  CHECK(read_whole(fixture.work / "back/a.txt") == "first\n");
}

TEST_CASE("the log is listed, whole, in part, and for one file") {
  Fixture fixture;
  tidemark_ok({"mark", "create", fixture.volume, "end"});
  std::string whole = tidemark_ok({"log", fixture.volume});
  CHECK(whole.find("genesis") != std::string::npos);
  CHECK(whole.find("\"b.bin\"") != std::string::npos);
  std::string lines = tidemark_ok({"log", fixture.volume, "--json", "--path", "dir/b.bin"});
  size_t count = 0;
  for (size_t at = 0, end = 0; (end = lines.find('\n', at)) != std::string::npos; at = end + 1, ++count) {
    Json record = Json::parse(lines.substr(at, end - at), nullptr, false);
    REQUIRE(record.is_object());
    CHECK(record.contains("seq"));
    CHECK(record["type"] != "mark");
  }
  CHECK(count >= 2);
  std::string last = tidemark_ok({"log", fixture.volume, "--from", "end", "--to", "end", "--json"});
  CHECK(Json::parse(last)["detail"]["name"] == "end");
  CHECK(tidemark_run({"log", fixture.volume, "--path", "no/such"}).exit_code == 10);
  CHECK(tidemark_run({"log", fixture.volume + "@end", "--to", "latest"}).exit_code == 2);
}

TEST_CASE("verify finds a sound volume sound") {
  Fixture fixture;
  Json verdict = tidemark_json({"verify", fixture.volume});
  CHECK(verdict["sound"] == true);
  CHECK(verdict["entries"].get<int>() == 5);
  CHECK(tidemark_json({"verify", fixture.volume, "--against", fixture.volume})["relation"] == "equal");
}

TEST_CASE("verify finds a flipped bit, and says in which file") {
  Fixture fixture;
  tidemark_ok({"mark", "create", fixture.volume, "after"});  // the damage must not be at the very end, where a tear is legal
  std::string segment;
  for (const auto& entry : std::filesystem::directory_iterator(fixture.volume + "/log")) {
    if (entry.path().extension() == ".seg" && (segment.empty() || entry.path().string() < segment))
      segment = entry.path().string();
  }
  REQUIRE(!segment.empty());
  std::string records = tidemark_ok({"log", fixture.volume, "--json", "--path", "dir/b.bin"});
  // Where the file's first data record lies: 64 bytes of segment header, then every record before it.
  uint64_t at = 64;
  std::string all = tidemark_ok({"log", fixture.volume, "--json"});
  uint64_t size = 0;
  for (size_t from = 0, end = 0; (end = all.find('\n', from)) != std::string::npos; from = end + 1) {
    Json record = Json::parse(all.substr(from, end - from));
    size = record["bytes"].get<uint64_t>();
    if (record["type"] == "data" && records.find(all.substr(from, end - from)) != std::string::npos) break;
    at += size;
  }
  int fd = ::open(segment.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(fd >= 0);
  char byte = 0;
  auto where = static_cast<off_t>(at + size / 2);
  REQUIRE(::pread(fd, &byte, 1, where) == 1);
  byte = static_cast<char>(byte ^ 0x10);
  REQUIRE(::pwrite(fd, &byte, 1, where) == 1);
  ::close(fd);
  Json verdict = tidemark_json({"verify", fixture.volume}, 13);
  CHECK(verdict["sound"] == false);
  REQUIRE(!verdict["log_damage"].empty());
  CHECK(verdict["log_damage"][0]["byte"].get<uint64_t>() == at);
  Ended restored = tidemark_run({"restore", fixture.volume, "--target", fixture.work / "back"});
  CHECK(restored.exit_code == 13);
}

TEST_CASE("status describes a volume that is not mounted") {
  Fixture fixture;
  Json status = tidemark_json({"status", fixture.volume})["volumes"][0];
  CHECK(status["role"] == "primary");
  CHECK(status["mountpoint"] == "");
  CHECK(status["healthy"] == true);
  CHECK(status["position"]["seq"].get<uint64_t>() >= 1);
  CHECK(status["position"]["chain"].get<std::string>().size() == 16);
  CHECK(tidemark_ok({"status", fixture.volume}).find("position") != std::string::npos);
}

TEST_CASE("keys are made once and kept secret") {
  Scratch work;
  Json key = tidemark_json({"keygen", work / "key"});
  CHECK(key["public_key"].get<std::string>().size() >= 40);
  CHECK(tidemark_run({"keygen", work / "key"}).exit_code == 1);
  struct stat found {};
  REQUIRE(::stat((work / "key").c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0600);
}

TEST_CASE("pairs of a volume that is not mounted are kept in its directory") {
  Fixture fixture;
  tidemark_ok({"pair", "create", fixture.volume, "away", "tcp://127.0.0.1:7400"});
  CHECK(tidemark_run({"pair", "create", fixture.volume, "away", "tcp://127.0.0.1:7401"}).exit_code == 1);
  CHECK(tidemark_run({"pair", "create", fixture.volume, "far", "tcp://example.org:7400"}).exit_code == 12);
  CHECK(tidemark_run({"pair", "create", fixture.volume, "x y", "tcp://127.0.0.1:1"}).exit_code == 2);
  Json pairs = tidemark_json({"pair", "list", fixture.volume})["pairs"];
  REQUIRE(pairs.size() == 1);
  CHECK(pairs[0]["site"] == "away");
  tidemark_ok({"pair", "delete", fixture.volume, "away", "--yes"});
  CHECK(tidemark_run({"pair", "delete", fixture.volume, "away", "--yes"}).exit_code == 10);
  CHECK(tidemark_json({"pair", "list", fixture.volume})["pairs"].empty());
}

TEST_CASE("a full disk below the output is a failure") {
  if (::access("/dev/full", W_OK) != 0) return;
  Fixture fixture;
  Result<Ended> ended = run_to_end({"/bin/sh", "-c", program() + " log " + fixture.volume + " > /dev/full"});
  REQUIRE(ended.ok());
  CHECK(ended->exit_code == 1);
}

}  // namespace tidemark::cli
