// tidemark prune, end to end: on a mounted volume, on one that is not, at a site; marks that hold it back.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "cli/settings/size.h"
#include "tests/cli/program.h"

namespace tidemark::cli {
namespace {

namespace fs = std::filesystem;

std::string filler(size_t size, unsigned seed) {
  std::string content(size, '\0');
  for (char& byte : content) byte = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
  return content;
}

// A file that changes, marked each time, over several segments of 64 MiB.
void fill(const std::string& mountpoint) {
  for (unsigned i = 0; i < 3; ++i) {
    write_file(mountpoint + "/file", filler(50 << 20, i));
    tidemark_ok({"mark", "create", mountpoint, "m" + std::to_string(i)});
  }
}

uint64_t log_files(const std::string& volume) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(volume + "/log")) bytes += entry.file_size();
  return bytes;
}

}  // namespace

TEST_CASE("amounts of bytes") {
  CHECK(parse_size("4096B").value() == 4096);
  CHECK(parse_size("0").value() == 0);
  CHECK(parse_size("4096").status().text().find("write \"4096B\"") != std::string::npos);
  CHECK(parse_size("64KiB").value() == 65'536);
  CHECK(parse_size("10G").value() == uint64_t{10} << 30);
  CHECK(parse_size("1TiB").value() == uint64_t{1} << 40);
  for (const char* bad : {"", "-1", "4096", "GiB", "1.5G", "1 G", "1GB", "99999999999T"}) {
    CHECK(parse_size(bad).status().code() == Code::kInvalid);
  }
}

TEST_CASE("prune on a mounted volume: marks, dry run, status, verify, and what cannot be had any more") {
  if (!can_mount()) return;
  Scratch work;
  const std::string volume = work / "vol";
  const std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume});
  fs::create_directory(mountpoint);
  tidemark_ok({"mount", volume, mountpoint});
  fill(mountpoint);
  CHECK(tidemark_run({"prune", volume}).exit_code == 2);
  CHECK(tidemark_run({"prune", volume, "--keep", "soon"}).exit_code == 2);
  CHECK(tidemark_run({"prune", volume, "--to", "no-such-mark"}).exit_code == 10);
  CHECK(tidemark_run({"prune", "tcp://127.0.0.1:1/x", "--to", "latest"}).exit_code == 14);
  CHECK(tidemark_run({"prune", "tcp://127.0.0.1:1/x", "--keep", "7d"}).exit_code == 2);

  tidemark_ok({"mark", "hold", mountpoint, "m1"});
  const uint64_t before = log_files(volume);
  Json plan = tidemark_json({"prune", mountpoint, "--to", "latest", "-n"});
  CHECK(plan["stopped_by"].get<std::string>().find("'m1'") != std::string::npos);
  CHECK(plan["marks"].size() == 1);
  CHECK(plan["segments"] > 0);
  CHECK(log_files(volume) == before);
  Json report = tidemark_json({"prune", volume, "--to", "latest", "--yes"});
  CHECK(report["base"] == plan["base"]);
  CHECK(tidemark_run({"restore", volume + "@m0", "--target", work / "m0"}).exit_code == 10);
  tidemark_ok({"restore", volume + "@m1", "--target", work / "m1"});
  CHECK((read_whole(work / "m1/file") == filler(50 << 20, 1)));
  CHECK((read_whole(mountpoint + "/file") == filler(50 << 20, 2)));
  CHECK(tidemark_json({"mark", "list", volume})["marks"].size() == 2);
  CHECK(tidemark_run({"mark", "create", mountpoint, "m0"}).exit_code == 1);
  CHECK(tidemark_run({"mark", "hold", mountpoint, "m0"}).exit_code == 10);

  // Nor does a look at a point from within the mount hold the base.
  CHECK(read_whole(mountpoint + "/.tidemark/at/m1/file").size() == 50 << 20);
  tidemark_ok({"mark", "release", mountpoint, "m1"});
  report = tidemark_json({"prune", mountpoint, "--to", "latest", "--yes"});
  CHECK(report["stopped_by"] == "");
  CHECK_FALSE(fs::exists(mountpoint + "/.tidemark/at/m0"));
  CHECK(log_files(volume) < before / 2);
  CHECK((read_whole(mountpoint + "/file") == filler(50 << 20, 2)));
  Json status = tidemark_status(volume);
  CHECK(status["base"] == report["base"]);
  CHECK(status["base_time"] == report["base_time"]);
  CHECK(status["pack_bytes"] > 20 << 20);  // the end of the file lies in the segment of the base
  CHECK(status["pack_bytes"].get<uint64_t>() + status["log_bytes"].get<uint64_t>() > 50 << 20);
  CHECK(tidemark_ok({"status", volume}).find("packs") != std::string::npos);
  CHECK(tidemark_json({"verify", volume})["sound"] == true);
  tidemark_ok({"umount", mountpoint});

  // Not mounted: opened for the moment; and whatever is changed in a pack or the base image is found.
  CHECK(tidemark_ok({"prune", volume, "--keep", "365d"}).find("nothing to prune") != std::string::npos);
  fs::path pack;
  for (const auto& entry : fs::directory_iterator(volume + "/log")) {
    if (entry.path().extension() == ".pack") pack = entry.path();
  }
  const fs::path image = fs::directory_iterator(volume + "/base")->path();
  for (const fs::path& victim : {pack, image}) {
    std::fstream file(victim, std::ios::in | std::ios::out | std::ios::binary);
    const auto at = static_cast<std::streamoff>(fs::file_size(victim) / 2);
    file.seekg(at);
    const int value = file.get();
    file.seekp(at).put(static_cast<char>(value ^ 4)).flush();
    Json damaged = tidemark_json({"verify", volume}, 13);
    CHECK(damaged["log_damage"][0]["segment"].get<std::string>().find(victim.filename()) != std::string::npos);
    file.seekp(at).put(static_cast<char>(value)).flush();
    CHECK(tidemark_json({"verify", volume})["sound"] == true);
  }
}

TEST_CASE("a mount with a log limit: refused where it says so, shown by status, and relieved by a prune") {
  if (!can_mount()) return;
  Scratch work;
  const std::string volume = work / "vol";
  const std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume});
  fs::create_directory(mountpoint);
  CHECK(tidemark_run({"mount", volume, mountpoint, "--max-log", "1MiB"}).exit_code == 2);
  CHECK(tidemark_run({"mount", volume, mountpoint, "--on-full", "panic"}).exit_code == 2);
  CHECK(tidemark_run({"mount", volume + "@latest", mountpoint, "--retention", "7d"}).exit_code == 2);
  tidemark_ok({"mount", volume, mountpoint, "--retention", "7d", "--max-log", "128MiB", "--on-full", "block-writes"});
  const auto put = [&](const std::string& name) {
    const std::string content = filler(8 << 20, 7);
    const int fd = ::open((mountpoint + "/" + name).c_str(), O_WRONLY | O_CREAT, 0644);
    if (fd < 0) return errno;
    const bool good =
        ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) && ::fsync(fd) == 0;
    const int error = good ? 0 : errno;
    ::close(fd);
    return error;
  };
  const auto status = [&](int exit_code = 0) { return tidemark_json({"status", volume}, exit_code)["volumes"][0]; };
  CHECK(status()["log_pressure"] == "ok");
  int error = 0;
  int files = 0;
  for (; error == 0 && files < 20; ++files) error = put("f" + std::to_string(files));
  CHECK(error == ENOSPC);
  CHECK(files > 14);
  CHECK(status(15)["log_pressure"] == "full");
  CHECK(status(15)["on_full"] == "block-writes");
  const Ended full = tidemark_run({"status", volume});
  CHECK(full.exit_code == 15);
  CHECK(full.out.find("FULL") != std::string::npos);
  CHECK(full.err.find("the log is full") != std::string::npos);
  for (int i = 0; i < files; ++i) fs::remove(mountpoint + "/f" + std::to_string(i));
  tidemark_ok({"prune", volume, "--to", "latest", "--yes"});
  CHECK(status()["log_pressure"] == "ok");
  CHECK(put("again") == 0);
  tidemark_ok({"umount", mountpoint});
}

TEST_CASE("prune at a site: its own history, while the primary keeps its own") {
  if (!can_mount()) return;
  Scratch work;
  auto site = Child::start({program(), "serve", "--dir", work / "site", "--listen", "tcp://127.0.0.1:*", "--json"});
  REQUIRE(site.ok());
  const std::string endpoint = Json::parse((*site)->read_line(std::chrono::seconds(20)).value())["endpoint"];
  const std::string volume = work / "vol";
  const std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume, "--name", "shop"});
  fs::create_directory(mountpoint);
  tidemark_ok({"mount", volume, mountpoint});
  fill(mountpoint);
  tidemark_ok({"umount", mountpoint});
  tidemark_ok({"pair", "create", volume, "away", endpoint});
  // The pair has never connected: nobody knows what it needs.
  Json unknown = tidemark_json({"prune", volume, "--to", "latest", "--yes"});
  CHECK(unknown["stopped_by"].get<std::string>().find("'away'") != std::string::npos);
  CHECK(unknown["segments"] == 0);
  tidemark_ok({"mount", volume, mountpoint});
  tidemark_ok({"mark", "create", mountpoint, "end", "--wait", "away", "--timeout", "60s"});
  Json there = tidemark_json({"prune", work / "site/shop", "--to", "m2", "-y"});
  CHECK(there["segments"] > 0);
  CHECK(tidemark_run({"restore", endpoint + "/shop@m1", "--target", work / "m1"}).exit_code == 10);
  tidemark_ok({"restore", endpoint + "/shop@m2", "--target", work / "m2"});
  CHECK((read_whole(work / "m2/file") == filler(50 << 20, 2)));
  CHECK(tidemark_json({"verify", endpoint + "/shop"})["sound"] == true);
  tidemark_ok({"restore", volume + "@m0", "--target", work / "m0"});
  CHECK((read_whole(work / "m0/file") == filler(50 << 20, 0)));
  // What the site has, the primary may let go; and the shipping goes on.
  CHECK(tidemark_json({"prune", mountpoint, "--to", "m2", "--yes"})["stopped_by"] == "");
  write_file(mountpoint + "/more", "more");
  CHECK(tidemark_json({"mark", "create", mountpoint, "more", "--wait", "away", "--timeout", "60s"})["confirmed"] == true);
  tidemark_ok({"umount", mountpoint});
}

TEST_CASE("prune from afar: with a key that has the right, and the site's list is read again without a restart") {
  if (!can_mount()) return;
  Scratch work;
  for (const char* who : {"site.key", "writer", "keeper", "late"}) tidemark_ok({"keygen", work / who});
  const auto line = [&](const std::string& who, const std::string& rights) {
    const std::string key = read_whole(work / (who + ".pub"));
    return key.substr(0, key.find('\n')) + " " + rights + " groups=* " + who + "\n";
  };
  const auto allow = [&](const std::string& list) {
    write_file(work / "allow.new", list);
    fs::rename(work / "allow.new", work / "allow");
  };
  const std::vector<std::string> serve = {
      program(), "serve",           "--dir",   work / "site",  "--listen", "tcp://127.0.0.1:*",
      "--key",   work / "site.key", "--allow", work / "allow", "--json"};
  allow(line("writer", "append,create,read") + line("keeper", ""));
  CHECK(run_to_end(serve)->exit_code == 13);
  CHECK(run_to_end(serve)->err.find("allow:2: this key has no right") != std::string::npos);
  allow(line("writer", "append,create,read") + line("keeper", "read,prune"));
  auto site = Child::start(serve);
  REQUIRE(site.ok());
  const std::string endpoint = Json::parse((*site)->read_line(std::chrono::seconds(20)).value())["endpoint"];
  const std::string volume = work / "vol";
  const std::string mountpoint = work / "mnt";
  tidemark_ok({"init", volume, "--name", "shop"});
  fs::create_directory(mountpoint);
  tidemark_ok({"mount", volume, mountpoint});
  tidemark_ok({"pair", "create", volume, "away", endpoint, "--key", work / "writer", "--server-key", work / "site.key.pub"});
  fill(mountpoint);
  tidemark_ok({"mark", "create", mountpoint, "end", "--wait", "away", "--timeout", "60s"});
  const auto prune = [&](const std::string& who, const std::vector<std::string>& more) {
    std::vector<std::string> all = {"prune", endpoint + "/shop", "--key", work / who, "--server-key", work / "site.key.pub"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const uint64_t before = log_files(work / "site/shop");
  CHECK(tidemark_run(prune("writer", {"--to", "m2", "--yes"})).exit_code == 12);
  CHECK(tidemark_run(prune("late", {"--to", "m2", "--yes"})).exit_code == 12);
  CHECK(tidemark_run(prune("keeper", {"--keep", "1s"})).exit_code == 2);
  CHECK(tidemark_run(prune("keeper", {"--to", "no-such-mark"})).exit_code == 10);
  Json plan = tidemark_json(prune("keeper", {"--to", "m2", "-n"}));
  CHECK(plan["dry_run"] == true);
  CHECK(plan["segments"] > 0);
  CHECK(plan["marks"].size() == 2);
  CHECK(plan["base_time"].is_string());
  const Ended unasked = tidemark_run(prune("keeper", {"--to", "m2"}));
  CHECK(unasked.exit_code == 2);
  CHECK(unasked.err.find("2 marks: m0, m1;") != std::string::npos);
  CHECK(log_files(work / "site/shop") == before);
  Json done = tidemark_json(prune("keeper", {"--to", "m2", "--yes"}));
  CHECK(done["base"] == plan["base"]);
  CHECK(done["base_time"].is_string());
  CHECK(log_files(work / "site/shop") < before);
  CHECK(tidemark_status(volume)["base"] < done["base"]);

  // A key that comes late, at once with SIGHUP; and who is gone from the list is out.
  allow(line("writer", "append") + line("late", "read"));
  ::kill((*site)->pid(), SIGHUP);
  const std::vector<std::string> list = {"mark", "list", endpoint + "/shop", "--server-key", work / "site.key.pub", "--key"};
  const auto list_as = [&](const std::string& who) {
    std::vector<std::string> all = list;
    all.push_back(work / who);
    return tidemark_run(all).exit_code;
  };
  CHECK(list_as("late") == 0);
  CHECK(list_as("keeper") == 12);
  CHECK(list_as("writer") == 12);
  CHECK(tidemark_json({"mark", "create", mountpoint, "still", "--wait", "away", "--timeout", "60s"})["confirmed"] == true);
  tidemark_ok({"umount", mountpoint});
}

}  // namespace tidemark::cli
