#include "tests/restore/scratch.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include <catch2/catch.hpp>

#include "restore/remove_tree.h"

namespace tidemark::test {

Scratch::Scratch(const std::string& parent) {
  const char* base = std::getenv("TMPDIR");
  path_ = (!parent.empty() ? parent : base != nullptr ? base : "/tmp") + "/tidemark-restore-XXXXXX";
  REQUIRE(::mkdtemp(path_.data()) != nullptr);
}

Scratch::~Scratch() {
  std::filesystem::path path(path_);
  int parent = ::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  static_cast<void>(remove_tree(parent, path.filename().string()).ok());
  ::close(parent);
}

void write_file(const std::string& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

std::string read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return "(missing)";
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

struct stat look(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) info = {};
  return info;
}

std::vector<std::string> names(const std::string& directory) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) found.push_back(entry.path().filename());
  std::sort(found.begin(), found.end());
  return found;
}

std::string random_bytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, std::min<size_t>(8, size - at));
  }
  return bytes;
}

Ran run(const std::vector<std::string>& command) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(ends[1], 1);
    ::dup2(ends[1], 2);
    ::execvp(words[0], words.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  Ran ran;
  std::array<char, 4096> piece{};
  for (ssize_t got; (got = ::read(ends[0], piece.data(), piece.size())) > 0;) {
    ran.output.append(piece.data(), static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  ran.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  if (ran.exit == 127) ran.exit = -1;
  return ran;
}

bool have_tool(const std::string& name) {
  if (run({name, "--version"}).exit != -1) return true;
  const char* ci = std::getenv("CI");
  if (ci != nullptr && std::string(ci) == "true") FAIL(name << " is not installed, and this is CI");
  WARN("SKIP: " << name << " is not installed");
  return false;
}

}  // namespace tidemark::test
