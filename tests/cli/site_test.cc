// Commands that involve a second site.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "tests/cli/program.h"

namespace tidemark::cli {
namespace {

struct Site {
  explicit Site(const Scratch& work) {
    auto started = Child::start({program(), "serve", "--dir", work / "site", "--listen", "tcp://127.0.0.1:*", "--json"});
    REQUIRE(started.ok());
    child = std::move(*started);
    Result<std::string> line = child->read_line(std::chrono::seconds(20));
    REQUIRE(line.ok());
    endpoint = Json::parse(*line)["endpoint"].get<std::string>();
  }
  std::unique_ptr<Child> child;
  std::string endpoint;
};

}  // namespace

TEST_CASE("a pair is suspended and resumed, mounted or not, and says how it stands at both ends") {
  if (!can_mount()) return;
  Scratch work;
  Site site(work);
  std::string volume = work / "vol";
  std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume, "--name", "shop"});
  std::filesystem::create_directory(mountpoint);
  tidemark_ok({"pair", "create", volume, "away", site.endpoint, "--mode", "sync", "--fence", "data"});
  CHECK(tidemark_run({"pair", "create", volume, "other", site.endpoint, "--fence", "data"}).exit_code == 2);
  CHECK(tidemark_run({"pair", "create", volume, "other", site.endpoint, "--mode", "both"}).exit_code == 2);
  auto pair = [&] { return tidemark_json({"pair", "list", volume})["pairs"][0]; };
  CHECK(pair()["state"] == "simplex");
  CHECK(pair()["mode"] == "sync");
  tidemark_ok({"pair", "suspend", volume, "away"});
  CHECK(pair()["state"] == "suspended");

  tidemark_ok({"mount", volume, mountpoint});
  write_file(mountpoint + "/file", "not shipped");
  CHECK(pair()["running"] == true);
  CHECK(pair()["state"] == "suspended");
  tidemark_ok({"pair", "resume", volume, "away"});
  CHECK(tidemark_run({"pair", "resume", volume, "away"}).exit_code == 2);
  auto becomes = [&](const std::string& state) {
    for (int i = 0; i < 1000 && pair()["state"] != state; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return pair()["state"] == state;
  };
  REQUIRE(becomes("duplex"));
  Json mark = tidemark_json({"mark", "create", mountpoint, "good"});
  Json copy = tidemark_status(work / "site");
  CHECK(copy["durable"].get<uint64_t>() >= mark["seq"].get<uint64_t>());
  CHECK(copy["source"]["state"] == "duplex");
  CHECK(copy["source"]["fence"] == "data");
  CHECK(tidemark_run({"status", volume, "--rpo", "30s"}).exit_code == 0);
  CHECK(tidemark_run({"status", work / "site", "--rpo", "1s"}).exit_code == 0);

  site.child.reset();  // gone: the mount refuses writes until an operator decides
  REQUIRE(becomes("failure-suspended"));
  CHECK(pair()["fenced"] == true);
  CHECK(::mkdir((mountpoint + "/refused").c_str(), 0755) == -1);
  CHECK(errno == EROFS);
  CHECK(read_whole(mountpoint + "/file") == "not shipped");
  tidemark_ok({"pair", "suspend", volume, "away"});
  CHECK(::mkdir((mountpoint + "/accepted").c_str(), 0755) == 0);
  // Against an RPO: long enough it is nothing, then it is, unlike without one.
  CHECK(tidemark_run({"status", volume, "--rpo", "1h"}).exit_code == 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  const Ended exceeded = tidemark_run({"status", volume, "--rpo", "1s"});
  CHECK(exceeded.exit_code == 15);
  CHECK(exceeded.err.find("'away' has been suspended for") != std::string::npos);
  const Ended plain = tidemark_run({"status", volume});
  CHECK(plain.exit_code == 3);
  CHECK(plain.out.find("AT RISK") != std::string::npos);
  CHECK(tidemark_run({"status", "tcp://127.0.0.1:1/shop", "--rpo", "1s"}).exit_code == 2);
  CHECK(tidemark_run({"status", volume, "--rpo", "soon"}).exit_code == 2);
  tidemark_ok({"umount", mountpoint});
}

TEST_CASE("a site forwards its copy, and the primary's status shows the whole chain") {
  if (!can_mount()) return;
  Scratch work, far_work;
  Site near(work);
  Site far(far_work);
  std::string volume = work / "vol";
  tidemark_ok({"init", volume, "--name", "shop"});
  std::filesystem::create_directory(work / "mnt");
  tidemark_ok({"mount", volume, work / "mnt"});
  tidemark_ok({"pair", "create", volume, "near", near.endpoint});
  Json first = tidemark_json({"mark", "create", work / "mnt", "first", "--wait", "near", "--timeout", "30s"});
  CHECK(first["confirmed"] == true);
  tidemark_ok({"pair", "create", work / "site/shop", "far", far.endpoint});
  auto behind = [&] {
    Json status = tidemark_status(volume)["downstream"];
    return !status.empty() && status[0]["site"] == "near/far" && status[0]["state"] == "duplex";
  };
  for (int i = 0; i < 1000 && !behind(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  REQUIRE(behind());
  Json second = tidemark_json({"mark", "create", work / "mnt", "second", "--wait", "near/far", "--timeout", "30s"});
  CHECK(second["confirmed"] == true);
  CHECK(tidemark_json({"mark", "list", far.endpoint + "/shop"})["marks"].size() == 2);
  tidemark_ok({"umount", work / "mnt"});
}

TEST_CASE("a mounted volume is paired, shipped, and read at the site in every way") {
  if (!can_mount()) return;
  Scratch work;
  Site site(work);
  std::string volume = work / "vol";
  std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume, "--name", "shop"});
  std::filesystem::create_directory(mountpoint);
  tidemark_ok({"mount", volume, mountpoint});
  write_file(mountpoint + "/before", "was there before the pair");
  tidemark_ok({"pair", "create", volume, "away", site.endpoint});
  write_file(mountpoint + "/file", "shipped");
  Json mark = tidemark_json({"mark", "create", mountpoint, "good", "--wait", "away", "--timeout", "30s"});
  CHECK(mark["confirmed"] == true);
  std::string remote = site.endpoint + "/shop";

  Json pairs = tidemark_json({"pair", "list", volume})["pairs"];
  REQUIRE(pairs.size() == 1);
  CHECK(pairs[0]["connected"] == true);
  CHECK(pairs[0]["durable"].get<uint64_t>() >= mark["seq"].get<uint64_t>());

  CHECK(tidemark_json({"mark", "list", remote})["marks"][0]["name"] == "good");
  CHECK(tidemark_status(remote)["name"] == "shop");
  CHECK(tidemark_status(work / "site")["role"] == "replica");
  CHECK(tidemark_ok({"log", remote}).find("\"file\"") != std::string::npos);
  CHECK(tidemark_json({"verify", remote})["sound"] == true);
  tidemark_ok({"restore", remote + "@good", "--target", work / "back"});
  CHECK(read_whole(work / "back/file") == "shipped");
  CHECK(read_whole(work / "back/before") == "was there before the pair");

  std::filesystem::create_directory(work / "remote-mnt");
  tidemark_ok({"mount", remote + "@good", work / "remote-mnt"});
  CHECK(read_whole(work / "remote-mnt/file") == "shipped");
  tidemark_ok({"umount", work / "remote-mnt"});

  std::filesystem::create_directory(work / "replica-mnt");
  tidemark_ok({"mount", work / "site/shop@good", work / "replica-mnt"});  // on the site's own machine
  CHECK(read_whole(work / "replica-mnt/file") == "shipped");
  tidemark_ok({"umount", work / "replica-mnt"});

  CHECK(tidemark_run({"restore", remote + "@bad", "--target", work / "x"}).exit_code == 10);
  CHECK(tidemark_run({"restore", site.endpoint + "/nothing", "--target", work / "x"}).exit_code == 10);
  CHECK(tidemark_run({"mark", "create", work / "site/shop", "no"}).exit_code == 1);
  tidemark_ok({"umount", mountpoint});
  CHECK(tidemark_json({"verify", volume, "--against", remote})["relation"] == "equal");
  tidemark_ok({"pair", "delete", volume, "away", "--yes"});
}

TEST_CASE("a site that is not there is exit code 14") {
  Scratch work;
  Ended ended = tidemark_run({"restore", "tcp://127.0.0.1:1/shop", "--target", work / "x"});
  CHECK(ended.exit_code == 14);
  CHECK(!ended.err.empty());
}

TEST_CASE("a mark that no site confirms in time is made, and says so with 14") {
  if (!can_mount()) return;
  Scratch work;
  std::string volume = work / "vol";
  tidemark_ok({"init", volume});
  std::filesystem::create_directory(work / "mnt");
  tidemark_ok({"mount", volume, work / "mnt"});
  tidemark_ok({"pair", "create", volume, "away", "tcp://127.0.0.1:1"});
  Json mark = tidemark_json({"mark", "create", work / "mnt", "alone", "--wait", "all", "--timeout", "1s"}, 14);
  CHECK(mark["confirmed"] == false);
  mark = tidemark_json({"mark", "create", volume, "alone too", "--wait", "away", "--timeout", "1s"}, 14);
  CHECK(mark["confirmed"] == false);
  CHECK(tidemark_json({"mark", "list", volume})["marks"].size() == 2);
}

TEST_CASE("a public endpoint without keys is refused") {
  Scratch work;
  Ended ended = tidemark_run({"serve", "--dir", work / "site", "--listen", "tcp://0.0.0.0:0"});
  CHECK(ended.exit_code == 12);
}

TEST_CASE("the two-site example works") {
  if (!can_mount()) return;
  ::setenv("TIDEMARK", program().c_str(), 1);
  Result<Ended> ended = run_to_end({"/bin/bash", examples_folder() + "/two_site_restore.sh"});
  REQUIRE(ended.ok());
  INFO(ended->out << ended->err);
  CHECK(ended->exit_code == 0);
  CHECK(ended->out.find("restored exactly") != std::string::npos);
}

}  // namespace tidemark::cli
