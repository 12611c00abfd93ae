// The log limit with real processes: who is dropped, what stays bounded, and what goes on by itself.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/file.h"
#include "tests/cli/program.h"

namespace tidemark::cli {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kLimit = 128 * kMiB;
constexpr uint64_t kSegment = 64 * kMiB;

bool within(std::chrono::seconds patience, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(20ms);
  }
  return true;
}

// A site, a process of its own.
struct Target {
  Target(const std::string& directory, const std::string& listen) {
    auto started = Child::start({program(), "serve", "--dir", directory, "--listen", listen, "--json"});
    REQUIRE(started.ok());
    child = std::move(*started);
    endpoint = Json::parse(child->read_line(20s).value())["endpoint"].get<std::string>();
  }
  std::unique_ptr<Child> child;
  std::string endpoint;
};

// A mounted volume with a limit.
struct Limited {
  Limited(const Scratch& work, std::vector<std::string> flags) : volume(work / "vol"), mountpoint(work / "mnt") {
    tidemark_ok({"init", volume, "--name", "shop"});
    std::filesystem::create_directory(mountpoint);
    std::vector<std::string> words{"mount", volume, mountpoint, "--max-log", "128MiB"};
    words.insert(words.end(), flags.begin(), flags.end());
    tidemark_ok(words);
  }
  ~Limited() { static_cast<void>(tidemark_run({"umount", mountpoint})); }

  [[nodiscard]] Json status() const {
    const auto outcome = tidemark_run({"status", volume, "--json"});
    // 3: a copy is behind; 15: the log limit alerts
    REQUIRE((outcome.exit_code == 0 || outcome.exit_code == 3 || outcome.exit_code == 15));
    return Json::parse(outcome.out)["volumes"][0];
  }
  [[nodiscard]] Json pair(const std::string& site) const {
    const Json all = status();
    for (const Json& pair : all["pairs"]) {
      if (pair["site"] == site) return pair;
    }
    return {};
  }
  [[nodiscard]] bool becomes(const std::string& site, const std::string& state) const {
    return within(60s, [&] { return pair(site)["state"] == state; });
  }
  // Writes 4 MiB over a small file again and again, durable each time. errno of the first failure.
  int churn(uint64_t bytes, std::chrono::milliseconds pause = 0ms) {
    std::string content(4 * kMiB, '\0');
    for (uint64_t done = 0; done < bytes; done += content.size()) {
      for (char& byte : content) byte = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
      const int fd = ::open((mountpoint + "/churn").c_str(), O_WRONLY | O_CREAT, 0644);
      if (fd < 0) return errno;
      const bool good =
          ::pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()) && ::fsync(fd) == 0;
      const int error = good ? 0 : errno;
      ::close(fd);
      if (error != 0) return error;
      log_max = std::max(log_max, log_files());
      std::this_thread::sleep_for(pause);
    }
    return 0;
  }
  // What the segments take on the disk.
  [[nodiscard]] uint64_t log_files() const {
    uint64_t bytes = 0;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator(volume + "/log")) {
      if (entry.path().extension() == ".seg") bytes += std::filesystem::file_size(entry.path(), gone);
    }
    return bytes;
  }

  const std::string volume;
  const std::string mountpoint;
  unsigned seed = 1;
  uint64_t log_max = 0;
};

}  // namespace

TEST_CASE("suspend-pair: the pair of a dead site is dropped at the limit, the other goes on, and the disk stays bounded") {
  if (!can_mount()) return;
  Scratch work, near_work, far_work;
  Limited limited(work, {});
  Target near(near_work / "site", "tcp://127.0.0.1:*");
  auto far = std::make_unique<Target>(far_work / "site", "tcp://127.0.0.1:*");
  tidemark_ok({"pair", "create", limited.volume, "near", near.endpoint});
  tidemark_ok({"pair", "create", limited.volume, "far", far->endpoint});
  REQUIRE(limited.becomes("near", "duplex"));
  REQUIRE(limited.becomes("far", "duplex"));
  std::ofstream(limited.mountpoint + "/greeting") << "as it was";
  tidemark_ok({"mark", "create", limited.mountpoint, "before", "--wait", "all"});
  const std::string far_endpoint = far->endpoint;
  far.reset();
  REQUIRE(limited.becomes("far", "failure-suspended"));
  const uint64_t before = limited.status()["base"];
  REQUIRE(limited.churn(96 * kMiB, 20ms) == 0);
  CHECK(limited.pair("far")["parked"] == false);
  CHECK(limited.status()["base"] == before);
  REQUIRE(limited.churn(200 * kMiB, 100ms) == 0);
  REQUIRE(within(30s, [&] { return limited.status()["base"].get<uint64_t>() > before; }));
  CHECK(limited.log_max <= kLimit + kSegment);

  const Json dropped = limited.pair("far");
  CHECK(dropped["state"] == "failure-suspended");
  CHECK(dropped["parked"] == true);
  CHECK(dropped["cause"].get<std::string>().find("dropped by the log limit: it needs records from seq") == 0);
  CHECK(dropped["advice"].get<std::string>().find("tidemark pair resume DIR far") != std::string::npos);
  CHECK(tidemark_run({"status", limited.volume}).out.find("pair resume") != std::string::npos);
  CHECK(limited.becomes("near", "duplex"));
  CHECK(limited.pair("near")["parked"] == false);
  CHECK(within(20s, [&] { return limited.status()["log_pressure"] != "full"; }));
  // Its site is back: nothing begins before somebody says so.
  far = std::make_unique<Target>(far_work / "site", far_endpoint);
  std::this_thread::sleep_for(500ms);
  CHECK(limited.pair("far")["parked"] == true);
  CHECK(tidemark_json({"pair", "list", limited.volume})["pairs"][1]["parked"] == true);

  // Then it gets the difference: the same 4 MiB were written again and again.
  const auto shipped = [&] { return limited.pair("far")["shipped_bytes"].get<uint64_t>(); };
  const uint64_t shipped_before = shipped();
  tidemark_ok({"pair", "resume", limited.volume, "far"});
  REQUIRE(limited.becomes("far", "duplex"));
  const uint64_t kept = limited.status()["log_bytes"];
  CHECK(shipped() - shipped_before < kept + 8 * kMiB);
  const std::string far_shop = far_endpoint + "/shop";
  CHECK(tidemark_run({"restore", far_shop + "@seq:" + std::to_string(limited.status()["base"].get<uint64_t>() - 1),
                      "--target", work / "none"})
            .exit_code == 10);
  tidemark_ok({"restore", far_shop + "@before", "--target", work / "before"});
  CHECK(read_file(posix_file_system(), work / "before/greeting").value() == "as it was");

  // A site that is new gets what there is, from the base on.
  Scratch third_work;
  Target third(third_work / "site", "tcp://127.0.0.1:*");
  tidemark_ok({"pair", "create", limited.volume, "third", third.endpoint});
  REQUIRE(limited.becomes("third", "duplex"));
  REQUIRE(limited.churn(4 * kMiB) == 0);
  CHECK(tidemark_json({"mark", "create", limited.mountpoint, "after", "--wait", "all"})["name"] == "after");
  for (const std::string& endpoint : {near.endpoint, far_endpoint, third.endpoint}) {
    const std::string restored = work / ("after" + endpoint.substr(endpoint.rfind(':') + 1));
    tidemark_ok({"restore", endpoint + "/shop@after", "--target", restored});
    for (const char* file : {"/churn", "/greeting"}) {
      CHECK((read_file(posix_file_system(), restored + file).value() ==
             read_file(posix_file_system(), limited.mountpoint + file).value()));
    }
  }
  // The log is listed up to the gap and from it on; a site that began at the base has it from there.
  const auto listed = [&](const std::string& endpoint) { return tidemark_ok({"log", endpoint + "/shop"}); };
  CHECK(listed(far_endpoint).find("before") != std::string::npos);
  CHECK(listed(far_endpoint).find("after") != std::string::npos);
  CHECK(listed(third.endpoint).find("after") != std::string::npos);
  CHECK(listed(third.endpoint).find("before") == std::string::npos);
  tidemark_ok({"umount", limited.mountpoint});
  for (const std::string& endpoint : {far_endpoint, third.endpoint}) {
    CHECK(tidemark_json({"verify", limited.volume, "--against", endpoint + "/shop"})["relation"] == "equal");
  }
  far.reset();
  third.child.reset();
  CHECK(tidemark_json({"verify", far_work / "site/shop"})["sound"] == true);
  CHECK(tidemark_json({"verify", third_work / "site/shop"})["sound"] == true);
  CHECK(tidemark_json({"verify", limited.volume, "--against", near.endpoint + "/shop"})["relation"] == "equal");
  CHECK(tidemark_json({"verify", limited.volume})["sound"] == true);
}

TEST_CASE("suspend-pair: a site that is merely slow is dropped the same way, and costs no memory") {
  if (!can_mount()) return;
  Scratch work, site_work;
  Limited limited(work, {"--retention-bytes", "64MiB"});
  Target site(site_work / "site", "tcp://127.0.0.1:*");
  tidemark_ok({"pair", "create", limited.volume, "slow", site.endpoint, "--bandwidth", "1MiB"});
  REQUIRE(limited.becomes("slow", "duplex"));
  REQUIRE(limited.churn(280 * kMiB, 100ms) == 0);
  REQUIRE(within(30s, [&] { return limited.pair("slow")["parked"] == true; }));
  CHECK(limited.log_max <= kLimit + kSegment);
  CHECK(limited.status()["base"] > 1);
}

TEST_CASE("suspend-pair: the pair of a site that is being sent a difference is dropped the same way") {
  if (!can_mount()) return;
  Scratch work, site_work;
  Limited limited(work, {});
  auto site = std::make_unique<Target>(site_work / "site", "tcp://127.0.0.1:*");
  const std::string endpoint = site->endpoint;
  tidemark_ok({"pair", "create", limited.volume, "slow", endpoint, "--bandwidth", "1MiB"});
  REQUIRE(limited.becomes("slow", "duplex"));
  site.reset();
  REQUIRE(limited.becomes("slow", "failure-suspended"));
  {
    std::ofstream big(limited.mountpoint + "/big");  // for the difference to take longer than the test
    std::string block(kMiB, '\0');
    for (int i = 0; i < 48; ++i) {
      for (char& byte : block) byte = static_cast<char>((limited.seed = limited.seed * 1664525u + 1013904223u) >> 24);
      big << block;
    }
  }
  REQUIRE(limited.churn(160 * kMiB, 50ms) == 0);
  REQUIRE(within(30s, [&] { return limited.pair("slow")["parked"] == true; }));
  site = std::make_unique<Target>(site_work / "site", endpoint);
  REQUIRE(within(30s, [&] { return limited.status()["log_pressure"] != "full"; }));
  tidemark_ok({"pair", "resume", limited.volume, "slow"});
  REQUIRE(limited.becomes("slow", "resyncing"));
  REQUIRE(limited.churn(280 * kMiB, 100ms) == 0);
  REQUIRE(within(30s, [&] { return limited.pair("slow")["parked"] == true; }));
  CHECK(limited.log_max <= kLimit + kSegment);
  REQUIRE(within(30s, [&] { return limited.status()["log_pressure"] != "full"; }));
}

TEST_CASE("block-writes: ENOSPC while a site is behind, and writing goes on by itself once it has caught up") {
  if (!can_mount()) return;
  Scratch work, site_work;
  Limited limited(work, {"--retention-bytes", "64MiB", "--on-full", "block-writes"});
  Target site(site_work / "site", "tcp://127.0.0.1:*");
  tidemark_ok({"pair", "create", limited.volume, "away", site.endpoint});
  REQUIRE(limited.becomes("away", "duplex"));
  const std::string endpoint = site.endpoint;
  site.child.reset();
  REQUIRE(limited.becomes("away", "failure-suspended"));
  CHECK(limited.churn(400 * kMiB) == ENOSPC);
  CHECK(limited.log_files() <= kLimit + kSegment);
  CHECK(limited.pair("away")["parked"] == false);
  CHECK(limited.status()["log_pressure"] == "full");
  CHECK(::unlink((limited.mountpoint + "/churn").c_str()) == 0);
  // The first one hears of the writes that were refused.
  CHECK(within(10s, [&] { return tidemark_run({"mark", "create", limited.mountpoint, "full"}).exit_code == 0; }));

  Target back(site_work / "site", endpoint);
  REQUIRE(limited.becomes("away", "duplex"));
  REQUIRE(within(30s, [&] { return limited.churn(4 * kMiB) == 0; }));
  CHECK(limited.status()["base"] > 1);
  CHECK(tidemark_json({"verify", limited.volume})["sound"] == true);
}

}  // namespace tidemark::cli
