#include "tests/fs/parity.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <sstream>

namespace tidemark::test {

long Trace::call(const std::string& what, long result) {
  const int error = errno;
  note(what + " = " + std::to_string(result) + (result == -1 ? std::string(" ") + strerrorname_np(error) : std::string()));
  errno = error;
  return result;
}

void Trace::stat(const std::string& name) {
  struct stat about {};
  if (::lstat(at(name).c_str(), &about) != 0) {
    note("stat " + name + ": " + strerrorname_np(errno));
    return;
  }
  std::ostringstream text;
  text << "stat " << name << ": mode " << std::oct << about.st_mode << std::dec << " links " << about.st_nlink << " owner "
       << about.st_uid << ":" << about.st_gid;
  if (!S_ISDIR(about.st_mode)) text << " size " << about.st_size;
  if (S_ISCHR(about.st_mode) || S_ISBLK(about.st_mode))
    text << " device " << major(about.st_rdev) << "," << minor(about.st_rdev);
  note(text.str());
}

void Trace::list(const std::string& name) {
  DIR* directory = ::opendir(at(name).c_str());
  if (!directory) {
    note("list " + name + ": " + strerrorname_np(errno));
    return;
  }
  std::vector<std::string> names;
  while (dirent* entry = ::readdir(directory)) names.emplace_back(entry->d_name);
  ::closedir(directory);
  std::sort(names.begin(), names.end());
  for (const std::string& found : names) note("list " + name + ": " + found);
}

void Trace::content(const std::string& name) {
  const std::string content = read_file(at(name));
  note("content " + name + ": " + std::to_string(content.size()) + " bytes, hash " +
       std::to_string(std::hash<std::string>{}(content)));
}

bool equal_traces(Mounted& mounted, const std::function<void(Trace&)>& script, std::string& difference) {
  static int number = 0;
  const std::string name = "parity-" + std::to_string(++number);
  const std::string native = mounted.scratch() / ("native-" + name);
  REQUIRE(::mkdir((mounted / name).c_str(), 0777) == 0);
  REQUIRE(::mkdir(native.c_str(), 0777) == 0);
  REQUIRE(::chmod((mounted / name).c_str(), 0777) == 0);
  REQUIRE(::chmod(native.c_str(), 0777) == 0);
  Trace here(mounted / name);
  Trace there(native);
  script(here);
  script(there);
  const size_t lines = std::max(here.lines().size(), there.lines().size());
  for (size_t i = 0; i < lines; ++i) {
    const std::string ours = i < here.lines().size() ? here.lines()[i] : "(nothing)";
    const std::string theirs = i < there.lines().size() ? there.lines()[i] : "(nothing)";
    if (ours != theirs) difference += "mount:  " + ours + "\nnative: " + theirs + "\n";
  }
  return difference.empty();
}

void same_as_native(Mounted& mounted, const std::function<void(Trace&)>& script) {
  std::string difference;
  const bool equal = equal_traces(mounted, script, difference);
  INFO(difference);
  CHECK(equal);
}

}  // namespace tidemark::test
