// The configuration file: read strictly, shown with its origins, and less than a flag.
#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "cli/settings/settings.h"
#include "tests/cli/program.h"

namespace tidemark::cli {
namespace {

// The value of a setting as `config show` gives it, and where it comes from.
struct Shown {
  std::string value;
  std::string from;
};
Shown shown(const std::string& file, const std::string& name) {
  const Json all = tidemark_json({"--config", file, "config", "show"});
  for (const Json& one : all["settings"]) {
    if (one["name"] == name) return {one["value"], one["from"]};
  }
  return {"(not shown)", ""};
}

struct Fault {
  const char* content;
  size_t line;
  size_t column;
  const char* says;
};

}  // namespace

TEST_CASE("the example has every setting there is, and no fault") {
  const std::string example = examples_folder() + "/tidemark.toml";
  CHECK(tidemark_ok({"config", "check", example}).starts_with("OK"));
  CHECK(tidemark_ok({"--config", example, "config", "check"}).starts_with("OK"));
  for (const Setting* setting : all_settings()) {
    INFO(setting->name());
    CHECK(shown(example, setting->name()).from.starts_with(example + ":"));
  }
  CHECK(shown(example, "mount.options").value == "noexec,nosuid");
  CHECK(shown(example, "group.shop.history.retention").value == "7d");
  CHECK(shown(example, "group.\"/srv/site/shop\".history.retention").value == "90d");
  CHECK(shown(example, "site.\"tcp://far.example.org:7400\".keys.server").value == "/etc/tidemark/far.key.pub");
}

TEST_CASE("without a file everything is as it would be without a word") {
  for (const Setting* setting : all_settings()) {
    INFO(setting->name());
    CHECK(shown("/dev/null", setting->name()).from == "default");
    CHECK(shown("/dev/null", setting->name()).value == setting->fallback);
  }
  CHECK(tidemark_ok({"--config", "/dev/null", "config", "show"}).find("history.max_log") != std::string::npos);
}

TEST_CASE("every fault of a file is named with line, column and what is allowed") {
  const Fault faults[] = {
      {"[history\n", 1, 9, ""},
      {"[serve]\ndir = /srv\n", 2, 7, ""},
      {"[history]\nretention = \"7d\"\nretention = \"8d\"\n", 3, 0, ""},
      {"[hystory]\nmax_log = \"1GiB\"\n", 1, 2, "did you mean 'history'?"},
      {"retention = \"7d\"\n", 1, 1, "known: serve, history"},
      {"[history]\nmax_lgo = \"1GiB\"\n", 2, 1, "did you mean 'max_log'? known: retention, retention_bytes"},
      {"[history]\nretention = 7\n", 2, 13, "history.retention must be a string in quotes"},
      {"[history]\nretention = \"soon\"\n", 2, 13, "invalid duration 'soon' (use ms, s, m, h, d)"},
      {"[history]\nretention = \"0s\"\n", 2, 13, "at least 1s"},
      {"[history]\nmax_log = \"1MiB\"\n", 2, 11, "at least 128MiB"},
      {"[history]\nretention = \"7\"\n", 2, 13, "'7' has no unit; write 7s, 7m, 7h or 7d"},
      {"[history]\nmax_log = 1073741824\n", 2, 11, "'1073741824' has no unit; write \"1073741824B\""},
      {"[history]\npool = [\"/mnt/more:134217728\"]\n", 2, 9, "has no unit"},
      {"[history]\nmax_log = -1\n", 2, 11, "invalid size '-1'"},
      {"[history]\nmax_log = true\n", 2, 11, "must be a string like \"10GiB\""},
      {"[history]\non_full = \"panic\"\n", 2, 11, "suspend-pair or block-writes"},
      {"[history]\npool = [\"/mnt/more:1MiB\"]\n", 2, 9, "at least one segment"},
      {"[history]\npool = [\"more\"]\n", 2, 9, "absolute path"},
      {"[serve]\nlisten = \"7400\"\n", 2, 10, "tcp://"},
      {"[serve]\nkey = \"site.key\"\n", 2, 7, "absolute path"},
      {"[mount]\noptions = \"sync\"\n", 2, 11, "a list"},
      {"[mount]\noptions = [\"sync\", \"fast\"]\n", 2, 20, "unknown mount option 'fast'"},
      {"[mount]\noptions = [1]\n", 2, 12, "a list"},
      {"[pair]\nmode = \"both\"\n", 2, 8, "async or sync"},
      {"[pair]\nserver_key = \"/x\"\n", 2, 1, "unknown key"},
      {"pair = \"sync\"\n", 1, 8, "must be a table"},
      {"group = 7\n", 1, 9, "must be a table"},
      {"[group.\"a b\".history]\nretention = \"7d\"\n", 1, 8, "a b"},
      {"[group.shop.serve]\ndir = \"/srv\"\n", 2, 1, "known: max_group_bytes"},
      {"[group.shop]\nretention = \"7d\"\n", 2, 1, "known: serve, history, mount, pair"},
      {"[site.far.keys]\nown = \"/k\"\n", 1, 7, "tcp://"},
      {"[site.\"tcp://far:1\".pair]\nmode = \"sync\"\n", 1, 21, "known: keys"},
  };
  Scratch work;
  const std::string file = work / "t.toml";
  for (const Fault& fault : faults) {
    write_file(file, fault.content);
    Ended ended = tidemark_run({"config", "check", file});
    INFO(fault.content << ended.err);
    CHECK(ended.exit_code == 2);
    CHECK(ended.out.empty());
    std::string place = file + ":" + std::to_string(fault.line) + ":";
    if (fault.column != 0) place += std::to_string(fault.column) + ": ";
    CHECK(ended.err.find(place) != std::string::npos);
    CHECK(ended.err.find(fault.says) != std::string::npos);
  }
  write_file(file, "[history]\nretention = 7\nmax = 1\n\n[other]\nx = 1\n");
  Ended ended = tidemark_run({"config", "check", file, "--json"});
  CHECK(ended.exit_code == 2);
  Json report = Json::parse(ended.out);
  CHECK(report["ok"] == false);
  REQUIRE(report["faults"].size() == 3);
  CHECK(report["faults"][0]["line"] == 2);
  CHECK(report["faults"][2]["line"] == 5);
  // Nobody goes on with such a file, nor with one that is not there.
  CHECK(tidemark_run({"--config", file, "status"}).exit_code == 2);
  CHECK(tidemark_run({"status", "--config", file}).exit_code == 2);
  CHECK(tidemark_run({"status", "--config", work / "none"}).exit_code == 2);
  CHECK(tidemark_run({"config", "check", work / "none"}).exit_code == 2);
  CHECK(tidemark_run({"status", "--config", "/dev/null", work / "none"}).exit_code == 10);
}

TEST_CASE("a pair takes mode, fence, bandwidth and keys from the file, and flags before it") {
  Scratch work;
  const std::string file = work / "t.toml";
  const std::string volume = work / "vol";
  tidemark_ok({"init", volume, "--name", "shop"});
  for (const char* key : {"own", "near", "far"}) tidemark_ok({"keygen", work / key});
  write_file(file, "[pair]\nmode = \"sync\"\nbandwidth = \"1MiB\"\n[group.shop.pair]\nfence = \"data\"\n[keys]\nown = \"" +
                       (work / "own") + "\"\n[site.\"tcp://far:1\".keys]\nserver = \"" + (work / "far.pub") + "\"\n");
  const auto create = [&](const std::string& site, std::vector<std::string> more) {
    std::vector<std::string> all = {"--config", file, "pair", "create", volume, site};
    all.insert(all.end(), more.begin(), more.end());
    return tidemark_json(all);
  };
  Json local = create("here", {"ipc:///x"});  // our own key alone is none
  CHECK(local["mode"] == "sync");
  CHECK(local["fence"] == "data");
  CHECK(local["bytes_per_second"] == 1 << 20);
  CHECK(local["own_key"] == "");
  Json far = create("far", {"tcp://far:1", "--mode", "async", "--bandwidth", "none"});
  CHECK(far["mode"] == "async");
  CHECK(far["fence"] == "never");
  CHECK(far["bytes_per_second"] == 0);
  CHECK(far["own_key"] == work / "own");
  CHECK(far["server_key"] == work / "far.pub");
  Json near = create("near", {"tcp://near:1", "--server-key", work / "near.pub", "--fence", "never"});
  CHECK(near["own_key"] == work / "own");
  CHECK(near["server_key"] == work / "near.pub");
  CHECK(near["fence"] == "never");
  CHECK(tidemark_run({"--config", file, "pair", "create", volume, "other", "tcp://other:1"}).exit_code == 12);
}

TEST_CASE("a site that runs from the file alone: keys, and history by group") {
  if (!can_mount()) return;
  Scratch work;
  const std::string file = work / "t.toml";
  const std::string volume = work / "vol";
  tidemark_ok({"keygen", work / "own"});
  tidemark_ok({"keygen", work / "site-key"});
  std::string key = read_whole(work / "own.pub");
  key.erase(key.find('\n'));
  write_file(work / "allow", key + " append,create,read groups=* me\n");
  const auto quoted = [&](const char* name) { return '"' + (work / name) + "\"\n"; };
  std::string settings =
      "[serve]\ndir = " + quoted("site") + "listen = \"tcp://127.0.0.1:*\"\nkey = " + quoted("site-key") +
      "allow = " + quoted("allow") + "[keys]\nown = " + quoted("own") + "server = " + quoted("site-key.pub") +
      "[history]\nmax_log = \"1GiB\"\n[group.shop.history]\nmax_log = \"2GiB\"\n" + "[group." + '"' + (work / "site/shop") +
      "\".history]\nmax_log = \"3GiB\"\non_full = " + "\"block-writes\"\n[mount]\noptions = [\"noexec\", \"nodev\"]\n";
  write_file(file, settings);
  auto site = Child::start({program(), "serve", "--json", "--config", file});
  REQUIRE(site.ok());
  const std::string endpoint = Json::parse((*site)->read_line(std::chrono::seconds(20)).value())["endpoint"];
  tidemark_ok({"init", volume, "--name", "shop"});
  std::filesystem::create_directory(work / "mnt");
  const auto mount = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = {"mount", volume, work / "mnt", "--config", file};
    all.insert(all.end(), more.begin(), more.end());
    tidemark_ok(all);
    Json status = tidemark_status(volume);
    std::string mounts = read_whole("/proc/mounts");
    const size_t at = mounts.find(" " + (work / "mnt") + " ");
    REQUIRE(at != std::string::npos);
    status["options"] = mounts.substr(at, mounts.find('\n', at) - at);
    return status;
  };
  Json own = mount({"-o", "exec"});
  CHECK(own["log_limit"] == uint64_t{2} << 30);
  CHECK(own["on_full"] == "suspend-pair");
  CHECK(own["options"].get<std::string>().find("nodev") != std::string::npos);
  CHECK(own["options"].get<std::string>().find("noexec") == std::string::npos);
  tidemark_ok({"pair", "create", volume, "away", endpoint, "--config", file});
  Json mark = tidemark_json({"mark", "create", work / "mnt", "m", "--wait", "away", "--timeout", "30s"});
  CHECK(mark["confirmed"] == true);
  Json copy = tidemark_status(work / "site");
  CHECK(copy["log_limit"] == uint64_t{3} << 30);
  CHECK(copy["on_full"] == "block-writes");
  // Reading takes the keys as well.
  CHECK(tidemark_json({"mark", "list", endpoint + "/shop", "--config", file})["marks"].size() == 1);
  CHECK(tidemark_run({"mark", "list", endpoint + "/shop", "--config", "/dev/null"}).exit_code == 12);
  tidemark_ok({"umount", work / "mnt"});
  CHECK(mount({"--max-log", "512MiB"})["log_limit"] == 512 << 20);
  tidemark_ok({"umount", work / "mnt"});
  CHECK(mount({"--max-log", "none"}).contains("log_limit") == false);
  tidemark_ok({"umount", work / "mnt"});
}

}  // namespace tidemark::cli
