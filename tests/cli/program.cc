#include "tests/cli/program.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "fs/mount.h"

namespace tidemark::cli {

Scratch::Scratch() : path_("/var/tmp/tidemark-cli-test-XXXXXX") { REQUIRE(::mkdtemp(path_.data()) != nullptr); }

Scratch::~Scratch() {
  if (auto mounts = list_mounts(); mounts.ok()) {
    for (const MountedVolume& mount : *mounts) {
      if (!mount.mountpoint.starts_with(path_ + "/")) continue;
      if (Result<Ended> ended = run_to_end({program(), "umount", mount.mountpoint}); !ended.ok() || ended->exit_code != 0) {
        if (!unmount(mount.mountpoint, true).ok()) std::cerr << "still mounted: " << mount.mountpoint << "\n";
      }
    }
  }
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string program() { return TIDEMARK_BINARY; }
std::string example_program() { return TIDEMARK_EXAMPLE_MARK; }
std::string examples_folder() { return TIDEMARK_EXAMPLES; }

Ended tidemark_run(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {program()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  Result<Ended> ended = run_to_end(all);
  INFO(ended.status().text());
  REQUIRE(ended.ok());
  return *ended;
}

Json tidemark_json(std::vector<std::string> arguments, int exit_code) {
  arguments.emplace_back("--json");
  Ended ended = tidemark_run(arguments);
  INFO(ended.out << ended.err);
  REQUIRE(ended.exit_code == exit_code);
  Json parsed = Json::parse(ended.out, nullptr, false);
  REQUIRE(!parsed.is_discarded());
  return parsed;
}

Json tidemark_status(const std::string& source) {
  Ended ended = tidemark_run({"status", source, "--json"});
  INFO(ended.out << ended.err);
  Json parsed = Json::parse(ended.out, nullptr, false);
  REQUIRE((parsed.is_object() && !parsed["volumes"].empty()));
  return parsed["volumes"][0];
}

std::string tidemark_ok(const std::vector<std::string>& arguments) {
  Ended ended = tidemark_run(arguments);
  INFO(ended.out << ended.err);
  REQUIRE(ended.exit_code == 0);
  return ended.out;
}

void write_file(const std::string& path, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  REQUIRE(file.good());
}

std::string read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

bool can_mount() {
  if (::access("/dev/fuse", R_OK | W_OK) == 0) return true;
  const char* ci = std::getenv("CI");
  if (ci != nullptr && std::string(ci) == "true") FAIL("no /dev/fuse, and this is CI");
  std::cout << "SKIP: no /dev/fuse here\n";
  return false;
}

}  // namespace tidemark::cli
